// The innermost loop of matrix products and convolutions: a small block of the result held in registers.
//
// The rows of A are found through a table of addresses, so that one loop serves matrices (one run of K elements a row) and
// convolutions (one run of channels for each kernel tap, addresses of the image's pixels). B is packed into panels of
// `panelWidth` columns, in the order in which the loop reads them.

import type { FunctionBuilder, Local } from '../wasm/function.ts';
import { FunctionBuilder as Builder } from '../wasm/function.ts';

/** Columns of a panel: two vectors of float32. */
export const panelWidth = 8;

/** Rows that the largest micro-kernel holds; also the addresses per tap in the table. 6 × 2 accumulators fill 16 registers. */
export const mostRows = 6;

/** Elements of k per turn of the unrolled loop. */
const unroll = 4;

/** Bytes between rows of the block that micro-kernels write to. */
export const blockColumns = 64;

/**
 * Function (base, table, taps, run, panel, out) for `rows` rows:
 * out[r][0…7] = Σ over taps t and k < run of A[table[t · mostRows + r] + k] · panel[t · run + k][0…7].
 * `base` is the address of A, entries of the table are offsets in elements, rows of `out` are `blockColumns` apart. All
 * elements are float32. `taps` ≥ 1, `run` ≥ 1.
 */
export function emitMicroKernel(rows: number, options: { readonly relaxed: boolean }): FunctionBuilder {
  const params = { base: 'i32', table: 'i32', taps: 'i32', run: 'i32', panel: 'i32', out: 'i32' } as const;
  const f = new Builder(`product_${rows}x${panelWidth}`, params);
  const [base, table, taps, run, panel, out] = f.params;
  const pointers = f.locals(rows, 'i32', 'row');
  // One row alone would wait for its own additions: it sums even and odd k apart.
  const sets = rows === 1 ? 2 : 1;
  const accumulators = Array.from({ length: sets }, () => f.locals(rows * 2, 'v128', 'sum'));
  const columns = f.locals(2, 'v128', 'b');
  const left = f.local('i32', 'left');
  const step = (at: number): void => {
    for (const [half, column] of columns.entries()) {
      f.get(panel);
      f.load('v128.load', at * panelWidth * 4 + half * 16, 4);
      f.set(column);
    }
    const sums = accumulators[at % sets];
    for (let r = 0; r < rows; r++) {
      if (rows === 1) for (const half of [0, 1]) multiplyAdd(f, () => splat(f, pointers[0], at), columns[half], sums[half], options.relaxed);
      else {
        const a = f.local('v128');
        splat(f, pointers[r], at);
        f.set(a);
        for (const half of [0, 1]) multiplyAdd(f, () => f.get(a), columns[half], sums[r * 2 + half], options.relaxed);
        f.release(a);
      }
    }
  };
  const advance = (count: number): void => {
    for (const pointer of pointers) add(f, pointer, count * 4);
    add(f, panel, count * panelWidth * 4);
    add(f, left, -count);
  };
  f.loop((nextTap) => {
    for (const [r, pointer] of pointers.entries()) {
      f.get(base);
      f.get(table);
      f.load('i32.load', r * 4);
      f.i32Const(2);
      f.op('i32.shl');
      f.op('i32.add');
      f.set(pointer);
    }
    add(f, table, mostRows * 4);
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
  for (let r = 0; r < rows; r++) {
    for (const half of [0, 1]) {
      f.get(out);
      for (const [set, sums] of accumulators.entries()) {
        f.get(sums[r * 2 + half]);
        if (set > 0) f.op('f32x4.add');
      }
      f.store('v128.store', (r * blockColumns + half * 4) * 4, 4);
    }
  }
  return f;
}

function splat(f: FunctionBuilder, pointer: Local, at: number): void {
  f.get(pointer);
  f.load('v128.load32_splat', at * 4, 4);
}

/** sum += a · b, in one rounding where relaxed SIMD offers it. */
function multiplyAdd(f: FunctionBuilder, a: () => void, b: Local, sum: Local, relaxed: boolean): void {
  if (relaxed) {
    a();
    f.get(b);
    f.get(sum);
    f.op('f32x4.relaxed_madd');
  } else {
    a();
    f.get(b);
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
