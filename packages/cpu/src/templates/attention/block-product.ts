// Products of small blocks that lie in the caches: the arithmetic of attention, between its passes over a block of scores.

import { FunctionBuilder, type Local } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import type { FunctionRef } from '../../wasm/types.ts';

/** Columns that B has side by side where it is packed. */
export const panelColumns = 8;

/** Rows of the largest kernel: with two vectors of columns, 12 accumulators. */
export const mostBlockRows = 6;

export interface ProductOptions {
  readonly relaxed: boolean;
  /** Adds to what is in `out` rather than replacing it. */
  readonly accumulate: boolean;
  /** B's panels lie side by side, so that one kernel may take several. */
  readonly isContiguous: boolean;
}

/** Parameters of a block product; strides in bytes. */
const blockParams = {
  a: 'i32',
  aStride: 'i32',
  rows: 'i32',
  run: 'i32',
  b: 'i32',
  bStride: 'i32',
  panels: 'i32',
  panelStride: 'i32',
  out: 'i32',
  outStride: 'i32',
} as const;

/**
 * Function (a, aStride, rows, run, b, bStride, panels, panelStride, out, outStride):
 * out[r][8p + c] = Σ over k < run of a[r][k] · b[p][k][c] for c < 8, all float32. Rows of A and columns of a panel are
 * contiguous; `bStride` is between the k of a panel. `panels` ≥ 1; `rows` and `run` may be 0.
 */
export function defineBlockProduct(module: ModuleBuilder, options: ProductOptions): FunctionRef {
  const f = new FunctionBuilder(options.accumulate ? 'block_product_add' : 'block_product', blockParams);
  const [a, aStride, rows, run, b, bStride, panels, panelStride, out, outStride] = f.params;
  const [from, to, left, height] = f.locals(4, 'i32');
  /** Calls a kernel for as many panels as it fits in, and moves on. */
  const take = (count: number, vectors: number): void => {
    const kernel = module.define(blockKernel(count, vectors, options));
    const width = (vectors * 4) / panelColumns;
    f.block((exit) => {
      f.loop((again) => {
        f.get(left);
        f.i32Const(width);
        f.op('i32.lt_s');
        f.brIf(exit);
        for (const local of [a, aStride, run, from, bStride, to, outStride]) f.get(local);
        f.call(kernel);
        f.get(from);
        f.get(panelStride);
        if (width > 1) {
          f.i32Const(width);
          f.op('i32.mul');
        }
        f.op('i32.add');
        f.set(from);
        increase(f, to, vectors * 16);
        increase(f, left, -width);
        f.br(again);
      });
    });
  };
  f.block((done) => {
    f.loop((nextRows) => {
      f.get(rows);
      f.i32Const(0);
      f.op('i32.le_s');
      f.brIf(done);
      copyLocal(f, b, from);
      copyLocal(f, out, to);
      copyLocal(f, panels, left);
      f.get(rows);
      f.i32Const(mostBlockRows);
      f.get(rows);
      f.i32Const(mostBlockRows);
      f.op('i32.lt_s');
      f.select();
      f.set(height);
      for (let count = 1; count <= mostBlockRows; count++) {
        f.get(height);
        f.i32Const(count);
        f.op('i32.eq');
        f.if(() => {
          // Few rows need more columns to keep the multipliers busy.
          if (options.isContiguous && count === 1) take(1, 8);
          if (options.isContiguous && count === 2) take(2, 4);
          take(count, 2);
        });
      }
      for (const [pointer, stride] of [
        [a, aStride],
        [out, outStride],
      ] as const) {
        f.get(pointer);
        f.get(stride);
        f.get(height);
        f.op('i32.mul');
        f.op('i32.add');
        f.set(pointer);
      }
      f.get(rows);
      f.get(height);
      f.op('i32.sub');
      f.set(rows);
      f.br(nextRows);
    });
  });
  return module.define(f);
}

const kernelParams = {
  a: 'i32',
  aStride: 'i32',
  run: 'i32',
  b: 'i32',
  bStride: 'i32',
  out: 'i32',
  outStride: 'i32',
} as const;

/** The same for a fixed number of rows, and columns of so many vectors side by side. */
function blockKernel(rows: number, vectors: number, { relaxed, accumulate }: ProductOptions): FunctionBuilder {
  const f = new FunctionBuilder(`block_${rows}x${vectors * 4}${accumulate ? '_add' : ''}`, kernelParams);
  const [a, aStride, run, b, bStride, out, outStride] = f.params;
  const pointers = f.locals(rows, 'i32', 'row');
  const sets = rows * vectors < 4 ? 2 : 1;
  const sums = Array.from({ length: sets }, () => f.locals(rows * vectors, 'v128', 'sum'));
  const columns = f.locals(rows === 1 ? 0 : vectors, 'v128', 'b');
  const unroll = 4;
  const step = (at: number): void => {
    const loadColumn = (vector: number): void => {
      f.get(b);
      f.load('v128.load', vector * 16, 4);
    };
    for (const [vector, column] of columns.entries()) {
      loadColumn(vector);
      f.set(column);
    }
    for (const [r, pointer] of pointers.entries()) {
      const factor = f.local('v128');
      f.get(pointer);
      f.load('v128.load32_splat', at * 4, 4);
      f.set(factor);
      for (let vector = 0; vector < vectors; vector++) {
        const sum = sums[at % sets][r * vectors + vector];
        if (!relaxed) f.get(sum);
        f.get(factor);
        if (columns.length > 0) f.get(columns[vector]);
        else loadColumn(vector);
        if (relaxed) {
          f.get(sum);
          f.op('f32x4.relaxed_madd');
        } else {
          f.op('f32x4.mul');
          f.op('f32x4.add');
        }
        f.set(sum);
      }
      f.release(factor);
    }
    f.get(b);
    f.get(bStride);
    f.op('i32.add');
    f.set(b);
  };
  const advance = (count: number): void => {
    for (const pointer of pointers) increase(f, pointer, count * 4);
    increase(f, run, -count);
  };
  copyLocal(f, a, pointers[0]);
  for (let r = 1; r < rows; r++) sumLocal(f, pointers[r - 1], aStride, pointers[r]);
  f.block((exit) => {
    f.loop((again) => {
      f.get(run);
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
      f.get(run);
      f.i32Const(0);
      f.op('i32.le_s');
      f.brIf(exit);
      step(0);
      advance(1);
      f.br(again);
    });
  });
  for (let r = 0; r < rows; r++) {
    for (let vector = 0; vector < vectors; vector++) {
      f.get(out);
      for (const [set, own] of sums.entries()) {
        f.get(own[r * vectors + vector]);
        if (set > 0) f.op('f32x4.add');
      }
      if (accumulate) {
        f.get(out);
        f.load('v128.load', vector * 16, 4);
        f.op('f32x4.add');
      }
      f.store('v128.store', vector * 16, 4);
    }
    if (r < rows - 1) sumLocal(f, out, outStride, out);
  }
  return f;
}

/**
 * Function (from, stride, run, panels, to): packs rows of `run` contiguous elements, `stride` bytes apart, into panels of
 * eight rows turned into columns: to[p][k][c] = from[8p + c][k].
 *
 * @param pitch elements between the k of a panel, when it is part of a wider one
 */
export function emitTurnPanels(pitch: number = panelColumns): FunctionBuilder {
  const params = { from: 'i32', stride: 'i32', run: 'i32', panels: 'i32', to: 'i32' } as const;
  const f = new FunctionBuilder('turn_panels', params);
  const [from, stride, run, panels, to] = f.params;
  const rows = f.locals(panelColumns, 'i32', 'row');
  const left = f.local('i32', 'left');
  const advance = (count: number): void => {
    for (const row of rows) increase(f, row, count * 4);
    increase(f, to, count * pitch * 4);
    increase(f, left, -count);
  };
  f.block((done) => {
    f.loop((nextPanel) => {
      f.get(panels);
      f.op('i32.eqz');
      f.brIf(done);
      copyLocal(f, from, rows[0]);
      for (let at = 1; at < panelColumns; at++) sumLocal(f, rows[at - 1], stride, rows[at]);
      sumLocal(f, rows[panelColumns - 1], stride, from);
      copyLocal(f, run, left);
      f.block((exit) => {
        f.loop((again) => {
          f.get(left);
          f.i32Const(4);
          f.op('i32.lt_s');
          f.brIf(exit);
          for (const half of [0, 1]) {
            f.scope(() => {
              const turned = turn(f, rows.slice(half * 4, half * 4 + 4));
              for (const [k, column] of turned.entries()) {
                f.get(to);
                f.get(column);
                f.store('v128.store', k * pitch * 4 + half * 16, 4);
              }
            });
          }
          advance(4);
          f.br(again);
        });
      });
      f.block((exit) => {
        f.loop((again) => {
          f.get(left);
          f.op('i32.eqz');
          f.brIf(exit);
          for (const [at, row] of rows.entries()) {
            f.get(to);
            f.get(row);
            f.load('f32.load');
            f.store('f32.store', at * 4);
          }
          advance(1);
          f.br(again);
        });
      });
      increase(f, panels, -1);
      f.br(nextPanel);
    });
  });
  return f;
}

const lanes = (...words: number[]): number[] => words.flatMap((word) => [0, 1, 2, 3].map((byte) => word * 4 + byte));

/** Four vectors at four addresses as the columns of their matrix. */
function turn(f: FunctionBuilder, rows: readonly Local[]): Local[] {
  const read = rows.map((row) => {
    const vector = f.local('v128');
    f.get(row);
    f.load('v128.load', 0, 4);
    f.set(vector);
    return vector;
  });
  return turnVectors(f, read);
}

function turnVectors(f: FunctionBuilder, [x, y, z, w]: readonly Local[]): Local[] {
  const mix = (a: Local, b: Local, ...words: number[]): Local => {
    const vector = f.local('v128');
    f.get(a);
    f.get(b);
    f.shuffle(lanes(...words));
    f.set(vector);
    return vector;
  };
  const lowXy = mix(x, y, 0, 4, 1, 5);
  const highXy = mix(x, y, 2, 6, 3, 7);
  const lowZw = mix(z, w, 0, 4, 1, 5);
  const highZw = mix(z, w, 2, 6, 3, 7);
  return [
    mix(lowXy, lowZw, 0, 1, 4, 5),
    mix(lowXy, lowZw, 2, 3, 6, 7),
    mix(highXy, highZw, 0, 1, 4, 5),
    mix(highXy, highZw, 2, 3, 6, 7),
  ];
}

/** Rows of `a` that a dot product kernel takes at once. */
const dotRows = 2;

/**
 * Function (a, aStride, rows, run, b, bStride, columns, out, outStride): out[r][c] = Σ over k < run of a[r][k] · b[c][k],
 * with rows of both operands contiguous and `run` a multiple of 4. For few rows: B is read where it lies, once for two rows.
 */
export function defineDotProducts(module: ModuleBuilder, { relaxed }: { readonly relaxed: boolean }): FunctionRef {
  const params = {
    a: 'i32',
    aStride: 'i32',
    rows: 'i32',
    run: 'i32',
    b: 'i32',
    bStride: 'i32',
    columns: 'i32',
    out: 'i32',
    outStride: 'i32',
  } as const;
  const f = new FunctionBuilder('dot_products', params);
  const [a, aStride, rows, run, b, bStride, columns, out, outStride] = f.params;
  const [from, to, left] = f.locals(3, 'i32');
  const takeRows = (count: number, exit: Parameters<FunctionBuilder['br']>[0]): void => {
    const four = module.define(dotKernel(count, 4, relaxed));
    const one = module.define(dotKernel(count, 1, relaxed));
    f.get(rows);
    f.i32Const(count);
    f.op('i32.lt_s');
    f.brIf(exit);
    copyLocal(f, b, from);
    copyLocal(f, out, to);
    copyLocal(f, columns, left);
    for (const [kernel, width] of [
      [four, 4],
      [one, 1],
    ] as const) {
      f.block((done) => {
        f.loop((again) => {
          f.get(left);
          f.i32Const(width);
          f.op('i32.lt_s');
          f.brIf(done);
          for (const local of [a, aStride, run, from, bStride, to, outStride]) f.get(local);
          f.call(kernel);
          for (let times = 0; times < width; times++) sumLocal(f, from, bStride, from);
          increase(f, to, width * 4);
          increase(f, left, -width);
          f.br(again);
        });
      });
    }
    for (let times = 0; times < count; times++) {
      sumLocal(f, a, aStride, a);
      sumLocal(f, out, outStride, out);
    }
    increase(f, rows, -count);
  };
  f.block((exit) =>
    f.loop((again) => {
      takeRows(dotRows, exit);
      f.br(again);
    }),
  );
  f.block((exit) => takeRows(1, exit));
  return module.define(f);
}

function dotKernel(rows: number, columns: 1 | 4, relaxed: boolean): FunctionBuilder {
  const f = new FunctionBuilder(`dot_${rows}x${columns}`, kernelParams);
  const [a, aStride, run, b, bStride, out, outStride] = f.params;
  const left = f.locals(rows, 'i32', 'row');
  const right = f.locals(columns, 'i32', 'column');
  const sums = f.locals(rows * columns, 'v128', 'sum');
  copyLocal(f, a, left[0]);
  for (let r = 1; r < rows; r++) sumLocal(f, left[r - 1], aStride, left[r]);
  copyLocal(f, b, right[0]);
  for (let c = 1; c < columns; c++) sumLocal(f, right[c - 1], bStride, right[c]);
  f.block((exit) => {
    f.loop((again) => {
      f.get(run);
      f.i32Const(4);
      f.op('i32.lt_s');
      f.brIf(exit);
      const factors = left.map((pointer) => {
        const factor = f.local('v128');
        f.get(pointer);
        f.load('v128.load', 0, 4);
        f.set(factor);
        increase(f, pointer, 16);
        return factor;
      });
      for (const [c, pointer] of right.entries()) {
        const column = f.local('v128');
        f.get(pointer);
        f.load('v128.load', 0, 4);
        f.set(column);
        for (const [r, factor] of factors.entries()) {
          const sum = sums[r * columns + c];
          if (!relaxed) f.get(sum);
          f.get(factor);
          f.get(column);
          if (relaxed) {
            f.get(sum);
            f.op('f32x4.relaxed_madd');
          } else {
            f.op('f32x4.mul');
            f.op('f32x4.add');
          }
          f.set(sum);
        }
        f.release(column);
        increase(f, pointer, 16);
      }
      f.release(...factors);
      increase(f, run, -4);
      f.br(again);
    });
  });
  for (let r = 0; r < rows; r++) {
    f.scope(() => {
      const own = sums.slice(r * columns, (r + 1) * columns);
      f.get(out);
      if (columns === 1) {
        for (const lane of [0, 1, 2, 3]) {
          f.get(own[0]);
          f.lane('f32x4.extract_lane', lane);
          if (lane > 0) f.op('f32.add');
        }
        f.store('f32.store');
      } else {
        const [x, y, z, w] = turnVectors(f, own);
        f.get(x);
        f.get(y);
        f.op('f32x4.add');
        f.get(z);
        f.get(w);
        f.op('f32x4.add');
        f.op('f32x4.add');
        f.store('v128.store', 0, 4);
      }
    });
    if (r < rows - 1) sumLocal(f, out, outStride, out);
  }
  return f;
}

export function increase(f: FunctionBuilder, local: Local, by: number): void {
  f.get(local);
  f.i32Const(by);
  f.op('i32.add');
  f.set(local);
}

function copyLocal(f: FunctionBuilder, from: Local, to: Local): void {
  f.get(from);
  f.set(to);
}

function sumLocal(f: FunctionBuilder, a: Local, b: Local, to: Local): void {
  f.get(a);
  f.get(b);
  f.op('i32.add');
  f.set(to);
}
