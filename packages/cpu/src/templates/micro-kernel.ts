// The innermost loop of matrix products and convolutions: a small block of the result held in registers.
//
// The rows of A are found through a table of addresses, so that one loop serves matrices (one run of K elements a row) and
// convolutions (one run of channels for each kernel tap, addresses of the image's pixels). B is packed into panels of
// `panelWidth` columns, in the order in which the loop reads them. The loop steps through words of 32 bits: one float32, or
// two int16 that are multiplied and added by one instruction.

import type { FunctionBuilder, Local } from '../wasm/function.ts';
import { FunctionBuilder as Builder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { FunctionRef } from '../wasm/types.ts';

/** Columns of a panel: two vectors of sums. */
export const panelWidth = 8;

/** Columns of a panel where the engine computes with pairs of vectors: see `probeWideVectors`. */
export const widePanelWidth = 16;

/** What is multiplied: float32 into float32 sums, or int16 into int32 sums. */
export type Arithmetic = 'float32' | 'int16';

/**
 * Rows that the largest micro-kernel holds; also the addresses per tap in the table. 6 × 2 accumulators with both vectors of
 * B and one of A fill the registers; products of integers need one more to be added from.
 */
export const turnRows: Readonly<Record<Arithmetic, number>> = { float32: 6, int16: 4 };

/** Words of k per turn of the unrolled loop. */
const unroll = 4;

/** Bytes between rows of the block that micro-kernels write to. */
export const blockColumns = 64;

export interface MicroKernelOptions {
  readonly arithmetic: Arithmetic;
  /** Elements of the panel; int8 ones are widened when they are loaded. */
  readonly panel: 'float32' | 'int16' | 'int8';
  readonly relaxed: boolean;
  /** Columns of a panel, a multiple of 4; `panelWidth` by default. */
  readonly width?: number;
  /** Adds a last parameter `keep`: −1 adds to what is in `out`, 0 overwrites it. */
  readonly accumulates?: boolean;
}

/** Bytes of a panel for one word of k. */
export function panelBytes(panel: MicroKernelOptions['panel'], width: number = panelWidth): number {
  return width * (panel === 'int8' ? 2 : 4);
}

/** The micro-kernel in a module, which has it once. See `emitMicroKernel`. */
export function defineMicroKernel(module: ModuleBuilder, rows: number, options: MicroKernelOptions): FunctionRef {
  const { arithmetic, panel, relaxed, width = panelWidth, accumulates = false } = options;
  const key = ['micro-kernel', rows, arithmetic, panel, relaxed, width, accumulates].join(' ');
  return module.defineOnce(key, () => emitMicroKernel(rows, options));
}

/**
 * Function (base, table, taps, run, panel, out) for `rows` rows:
 * out[r][c] = Σ over taps t and words k < run of A[table[t · turnRows + r] + k] · panel[t · run + k][c]
 * for the columns c of the panel.
 * `base` is the address of A, entries of the table are offsets in elements of A, rows of `out` are `blockColumns` sums
 * apart. Sums of no terms are 0.
 */
export function emitMicroKernel(rows: number, options: MicroKernelOptions): FunctionBuilder {
  const { arithmetic, panel: panelType, width = panelWidth, accumulates = false } = options;
  const vectors = width / 4;
  const common = { base: 'i32', table: 'i32', taps: 'i32', run: 'i32', panel: 'i32', out: 'i32' } as const;
  const params: Readonly<Record<string, 'i32'>> = accumulates ? { ...common, keep: 'i32' } : common;
  const f = new Builder(`product_${panelType}_${rows}x${width}`, params);
  const [base, table, taps, run, panel, out, keep] = f.params as Local[];
  const pointers = f.locals(rows, 'i32', 'row');
  // One row alone would wait for its own additions: it sums even and odd k apart.
  const sets = rows === 1 ? 2 : 1;
  const accumulators = Array.from({ length: sets }, () => f.locals(rows * vectors, 'v128', 'sum'));
  const columns = f.locals(vectors, 'v128', 'b');
  const left = f.local('i32', 'left');
  const wordBytes = panelBytes(panelType, width);
  const step = (at: number): void => {
    for (const [vector, column] of columns.entries()) {
      f.get(panel);
      if (panelType === 'int8') f.load('v128.load8x8_s', at * wordBytes + vector * 8, 1);
      else f.load('v128.load', at * wordBytes + vector * 16, 4);
      f.set(column);
    }
    const sums = accumulators[at % sets];
    const a = f.local('v128', 'a');
    for (let r = 0; r < rows; r++) {
      f.get(pointers[r]);
      f.load('v128.load32_splat', at * 4, 4);
      f.set(a);
      for (const [vector, b] of columns.entries()) multiplyAdd(f, a, b, sums[r * vectors + vector], options);
    }
    f.release(a);
  };
  const advance = (count: number): void => {
    for (const pointer of pointers) add(f, pointer, count * 4);
    add(f, panel, count * wordBytes);
    add(f, left, -count);
  };
  f.get(taps);
  f.if(() => {
    f.loop((nextTap) => {
      for (const [r, pointer] of pointers.entries()) {
        f.get(base);
        f.get(table);
        f.load('i32.load', r * 4);
        f.i32Const(arithmetic === 'float32' ? 2 : 1);
        f.op('i32.shl');
        f.op('i32.add');
        f.set(pointer);
      }
      add(f, table, turnRows[arithmetic] * 4);
      f.get(run);
      f.set(left);
      f.block((exit) => {
        f.loop((again) => {
          f.get(left);
          f.i32Const(unroll);
          f.op('i32.lt_s');
          f.brIf(exit);
          for (let at = 0; at < unroll; at++) step(at);
          advance(unroll);
          f.br(again);
        });
      });
      f.block((exit) => {
        f.loop((again) => {
          f.get(left);
          f.op('i32.eqz');
          f.brIf(exit);
          step(0);
          advance(1);
          f.br(again);
        });
      });
      add(f, taps, -1);
      f.get(taps);
      f.brIf(nextTap);
    });
  });
  const total = accumulators[0];
  const combine = (r: number, vector: number, other: () => void): void => {
    const sum = total[r * vectors + vector];
    f.get(sum);
    other();
    f.op(arithmetic === 'float32' ? 'f32x4.add' : 'i32x4.add');
    f.set(sum);
  };
  const forSums = (code: (r: number, vector: number, offset: number) => void): void => {
    for (let r = 0; r < rows; r++) {
      for (let vector = 0; vector < vectors; vector++) code(r, vector, (r * blockColumns + vector * 4) * 4);
    }
  };
  if (sets > 1) forSums((r, vector) => combine(r, vector, () => f.get(accumulators[1][r * vectors + vector])));
  if (accumulates) {
    const kept = f.local('v128', 'kept');
    f.get(keep);
    f.op('i32x4.splat');
    f.set(kept);
    // All are read before any is written: engines that join pairs of vectors do not look past a store.
    forSums((r, vector, offset) =>
      combine(r, vector, () => {
        f.get(out);
        f.load('v128.load', offset, 4);
        f.get(kept);
        f.op('v128.and');
      }),
    );
  }
  forSums((r, vector, offset) => {
    f.get(out);
    f.get(total[r * vectors + vector]);
    f.store('v128.store', offset, 4);
  });
  return f;
}

/** sum += a · b; floats in one rounding where relaxed SIMD offers it. */
function multiplyAdd(f: FunctionBuilder, a: Local, b: Local, sum: Local, options: MicroKernelOptions): void {
  f.get(a);
  f.get(b);
  if (options.arithmetic === 'int16') {
    f.op('i32x4.dot_i16x8_s');
    f.get(sum);
    f.op('i32x4.add');
  } else if (options.relaxed) {
    f.get(sum);
    f.op('f32x4.relaxed_madd');
  } else {
    f.op('f32x4.mul');
    f.get(sum);
    f.op('f32x4.add');
  }
  f.set(sum);
}

function add(f: FunctionBuilder, local: Local, value: number): void {
  f.get(local);
  f.i32Const(value);
  f.op('i32.add');
  f.set(local);
}
