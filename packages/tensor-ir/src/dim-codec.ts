// Dims as JSON: for programs that are kept in a file and read again.

import { Dim } from './dim.ts';

/** A constant, a symbol's name, or a sum of terms: each a coefficient and its atoms. */
export type EncodedDim = number | string | readonly EncodedTerm[];
export type EncodedTerm = readonly [coefficient: number, ...atoms: EncodedAtom[]];
/** A symbol's name, or an operation on two dims. */
export type EncodedAtom = string | readonly [kind: string, a: EncodedDim, b: EncodedDim];

type Term = Dim['terms'][number];
type Atom = Term['atoms'][number];

export function encodeDim(dim: Dim): EncodedDim {
  return (
    dim.constant ??
    dim.symbolName ??
    dim.terms.map(({ coefficient, atoms }): EncodedTerm => [coefficient, ...atoms.map(encodeAtom)])
  );
}

function encodeAtom({ kind, name, a, b }: Atom): EncodedAtom {
  return name ?? [kind, encodeDim(a!), encodeDim(b!)];
}

const kinds: readonly string[] = ['floordiv', 'ceildiv', 'mod', 'min', 'max', 'broadcast'] satisfies Atom['kind'][];

/** @throws TypeError for what `encodeDim` did not write */
export function decodeDim(encoded: EncodedDim): Dim {
  if (typeof encoded === 'number') return Dim.constant(encoded);
  if (typeof encoded === 'string') return Dim.symbol(encoded);
  if (!Array.isArray(encoded)) throw new TypeError('this is no dim');
  return Dim.collect(
    encoded.map(([coefficient, ...atoms]: EncodedTerm): Term => ({ coefficient, atoms: atoms.map(decodeAtom) })),
  );
}

function decodeAtom(encoded: EncodedAtom): Atom {
  if (typeof encoded === 'string') return { kind: 'symbol', key: encoded, name: encoded };
  const [kind, left, right] = encoded;
  if (!kinds.includes(kind)) throw new TypeError(`this is no operation on dims: ${kind}`);
  const [a, b] = [decodeDim(left), decodeDim(right)];
  return { kind: kind as Atom['kind'], key: `${kind}(${a.key}, ${b.key})`, a, b };
}
