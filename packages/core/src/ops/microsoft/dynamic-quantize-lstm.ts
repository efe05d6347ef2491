// com.microsoft DynamicQuantizeLSTM: LSTM with weights of 8 bits; inputs and states are quantised as they come.

import { tensorType } from '../../graph/types.ts';
import { defineOperator, type EvaluateContext } from '../define.ts';
import { expectRank } from '../expect.ts';
import { numbersOf } from '../host-elements.ts';
import { evaluateRecurrent, inferRecurrent, lstmAttributes, peepholesOf } from '../recurrent.ts';
import { type GateProduct, lstmCell } from '../recurrent-cells.ts';

const [w, r, wScale, wZero, rScale, rZero] = [1, 2, 8, 9, 10, 11];

/** One matrix [inner, width] of bytes, with a scale and zero point for all columns or for each. */
interface QuantizedWeight {
  readonly values: ArrayLike<number>;
  readonly start: number;
  readonly inner: number;
  readonly width: number;
  readonly scale: (column: number) => number;
  readonly zero: (column: number) => number;
}

/** Quantises its rows together to bytes, as DynamicQuantizeLinear does, and multiplies integers. */
function quantizedProduct({ values, start, inner, width, scale, zero }: QuantizedWeight): GateProduct {
  return {
    width,
    apply(x, rows, out) {
      const count = rows * inner;
      let [low, high] = [0, 0];
      for (let at = 0; at < count; at++) {
        if (x[at] < low) low = x[at];
        if (x[at] > high) high = x[at];
      }
      const step = high > low ? Math.fround((high - low) / 255) : 1;
      const origin = Math.min(255, Math.max(0, Math.round(-low / step)));
      const bytes = Int32Array.from({ length: count }, (_, at) => {
        const level = Math.round(x[at] / step) + origin;
        return Math.min(255, Math.max(0, level)) - origin;
      });
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < width; column++) {
          const center = zero(column);
          let sum = 0;
          for (let k = 0; k < inner; k++) {
            sum += bytes[row * inner + k] * (values[start + k * width + column] - center);
          }
          out[row * width + column] = sum * step * scale(column);
        }
      }
    },
  };
}

function readWeight(ctx: EvaluateContext, direction: number, weight: number, scale: number, zero: number): GateProduct {
  const matrix = ctx.tensor(weight);
  const [directions, inner, width] = matrix.dims;
  /** A number for each direction, or for each direction and column. */
  const perColumn = (input: number): ((column: number) => number) => {
    const numbers = numbersOf(ctx.tensor(input));
    return numbers.length === directions ? () => numbers[direction] : (column) => numbers[direction * width + column];
  };
  return quantizedProduct({
    values: numbersOf(matrix),
    start: direction * inner * width,
    inner,
    width,
    scale: perColumn(scale),
    zero: perColumn(zero),
  });
}

export const DynamicQuantizeLSTM = defineOperator({
  domain: 'com.microsoft',
  name: 'DynamicQuantizeLSTM',
  since: 1,
  attributes: lstmAttributes,
  infer(ctx) {
    const hidden = expectRank(ctx, r, 3)[1];
    return inferRecurrent(ctx, 4, hidden).map(({ shape }) => tensorType('float32', shape));
  },
  evaluate(ctx) {
    const hiddenSize = ctx.tensor(r).dims[1];
    const coupled = ctx.attributes.input_forget !== 0;
    return evaluateRecurrent(ctx, {
      gates: 4,
      hiddenSize,
      fallback: ['Sigmoid', 'Tanh', 'Tanh'],
      make: (direction, options) => ({
        input: readWeight(ctx, direction, w, wScale, wZero),
        recurrent: readWeight(ctx, direction, r, rScale, rZero),
        cell: lstmCell({ ...options, coupled, peepholes: peepholesOf(ctx, direction, hiddenSize) }),
      }),
    });
  },
});
