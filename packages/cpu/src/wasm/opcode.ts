// How an instruction is described: its encoding, its stack effect, and the row notation of the opcode tables.

import type { ValueType } from './types.ts';

/** What follows the opcode in the binary: nothing, a memory argument, a lane number, or both. */
export type Immediates = 'none' | 'memory' | 'lane' | 'memory-lane';

export interface Opcode {
  readonly name: string;
  /** One byte, or a prefix byte in bits 16-23 with the number after it in the low bits: `0xfd_00e4` is `fd e4`. */
  readonly code: number;
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
  readonly immediates: Immediates;
  /** Bytes touched by a memory access (also its natural alignment), or number of lanes of a lane access. */
  readonly extent: number;
}

type Words<Text extends string> = Text extends `${infer Head} ${infer Rest}` ? Head | Words<Rest> : Text;

/** The entries of a row: `Row<'i32', 'add _ sub'>` has the keys `i32.add` and `i32.sub`. */
export type Row<Family extends string, Names extends string> = {
  readonly [Name in Exclude<Words<Names>, '_'> as `${Family}.${Name}`]: Opcode;
};

const letters: Readonly<Record<string, ValueType>> = { i: 'i32', l: 'i64', f: 'f32', d: 'f64', v: 'v128' };

function typesOf(text: string): readonly ValueType[] {
  return Array.from(text, (letter) => letters[letter]);
}

/**
 * Instructions with consecutive codes and the same stack effect. `names` is separated by spaces, `_` skips a code;
 * `effect` is operands, colon, results, one letter each: i (i32), l (i64), f (f32), d (f64), v (v128).
 */
export function row<Family extends string, Names extends string>(
  family: Family,
  first: number,
  effect: string,
  names: Names,
  immediates: Immediates = 'none',
  extent = 0,
): Row<Family, Names> {
  const [params, results] = effect.split(':').map(typesOf);
  const entries: Record<string, Opcode> = {};
  let code = first;
  for (const word of names.split(' ')) {
    const name = `${family}.${word}`;
    if (word !== '_') entries[name] = { name, code, params, results, immediates, extent };
    code++;
  }
  return entries as Row<Family, Names>;
}

/** A row of loads or stores of `bytes` bytes each. */
export function memoryRow<Family extends string, Names extends string>(
  family: Family,
  first: number,
  effect: string,
  bytes: number,
  names: Names,
): Row<Family, Names> {
  return row(family, first, effect, names, 'memory', bytes);
}
