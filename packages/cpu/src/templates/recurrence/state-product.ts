// The innermost part of a recurrence: rows of the state times panels of the weights.

import { FunctionBuilder } from '../../wasm/function.ts';

/** Units of a panel: two vectors. */
export const panelColumns = 8;

/** Rows whose sums fit the registers, beside two vectors of weights and one of values. */
export const mostRows = 6;

/** Panels to read side by side for so many rows: additions to one sum follow each other only after a few others. */
export function streamsOf(rows: number): number {
  return rows === 1 ? 4 : rows === 2 ? 2 : 1;
}

/** Values of k per turn of the loop. */
const unroll = 4;

export interface StateProductOptions {
  readonly rows: number;
  /** Panels that are read side by side, each right behind the other. */
  readonly streams: number;
  /** Numbers of a row of the state, and of a column of a panel. */
  readonly units: number;
  readonly rowBytes: number;
  /** Where the sums of a row and stream go, in bytes from `out`. */
  readonly outOffset: (row: number, stream: number) => number;
  readonly relaxed: boolean;
}

/** Function (state, panels, out): out[row, stream] = Σ over k of state[row, k] · panels[stream, k][0…7]. */
export function emitStateProduct(options: StateProductOptions): FunctionBuilder {
  const { rows, streams, units, rowBytes, outOffset, relaxed } = options;
  const f = new FunctionBuilder(`state_product_${rows}x${streams}`, { state: 'i32', panels: 'i32', out: 'i32' });
  const [state, panels, out] = f.params;
  const sums = f.locals(rows * streams * 2, 'v128', 'sum');
  const streamBytes = units * panelColumns * 4;
  const left = f.local('i32', 'left');
  const weights = f.locals(2, 'v128', 'weight');
  const value = f.local('v128', 'value');
  const step = (k: number): void => {
    for (let stream = 0; stream < streams; stream++) {
      for (const [half, weight] of weights.entries()) {
        f.get(panels);
        f.load('v128.load', stream * streamBytes + k * panelColumns * 4 + half * 16, 4);
        f.set(weight);
      }
      for (let row = 0; row < rows; row++) {
        // One value for all streams of a row.
        if (rows > 1 || stream === 0) {
          f.get(state);
          f.load('v128.load32_splat', row * rowBytes + k * 4, 4);
          f.set(value);
        }
        for (const [half, weight] of weights.entries()) {
          const sum = sums[(row * streams + stream) * 2 + half];
          f.get(value);
          f.get(weight);
          if (relaxed) {
            f.get(sum);
            f.op('f32x4.relaxed_madd');
          } else {
            f.op('f32x4.mul');
            f.get(sum);
            f.op('f32x4.add');
          }
          f.set(sum);
        }
      }
    }
  };
  const whole = Math.floor(units / unroll);
  if (whole > 0) {
    f.i32Const(whole);
    f.set(left);
    f.loop((again) => {
      for (let k = 0; k < unroll; k++) step(k);
      for (const [pointer, bytes] of [
        [state, unroll * 4],
        [panels, unroll * panelColumns * 4],
        [left, -1],
      ] as const) {
        f.get(pointer);
        f.i32Const(bytes);
        f.op('i32.add');
        f.set(pointer);
      }
      f.get(left);
      f.brIf(again);
    });
  }
  for (let k = 0; k < units % unroll; k++) step(k);
  for (let row = 0; row < rows; row++) {
    for (let stream = 0; stream < streams; stream++) {
      for (const half of [0, 1]) {
        f.get(out);
        f.get(sums[(row * streams + stream) * 2 + half]);
        f.store('v128.store', outOffset(row, stream) + half * 16, 4);
      }
    }
  }
  return f;
}
