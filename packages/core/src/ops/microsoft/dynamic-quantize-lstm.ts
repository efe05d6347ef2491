// com.microsoft DynamicQuantizeLSTM: LSTM with weights of 8 bits; inputs and states are quantised as they come.

import {
  add,
  cast,
  constant,
  Dim,
  type DimLike,
  dimension,
  div,
  type Expr,
  elementAt,
  gt,
  max,
  min,
  mod,
  mul,
  round,
  type Stage,
  type StageBuilder,
  select,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { defineOperator, type LowerContext } from '../define.ts';
import { expectRank } from '../expect.ts';
import { inferRecurrent, type LowerRecurrent, lowerRecurrent, lstmAttributes, lstmParts } from '../recurrent.ts';

const [w, r, wScale, wZero, rScale, rZero] = [1, 2, 8, 9, 10, 11];

type Builder = Pick<StageBuilder, 'map' | 'reduce'>;

/** Rows of float32 as bytes with their zero point subtracted, and the step between two levels. */
interface Quantized {
  readonly levels: Stage;
  readonly step: Stage;
}

/**
 * Quantises groups of rows, each group together, as DynamicQuantizeLinear does.
 * @param sizes of groups, rows and columns
 */
function quantize(
  builder: Builder,
  sizes: readonly [DimLike, DimLike, DimLike],
  at: (index: readonly Expr[]) => Expr,
): Quantized {
  const [groups, ...inside] = sizes;
  const extreme = (op: 'min' | 'max'): Stage =>
    builder.reduce(op, 'float32', [groups], inside, ([group], inner) => at([group, ...inner]), { name: op });
  const [low, high] = [extreme('min'), extreme('max')];
  // The range holds 0.
  const bottom = builder.map('float32', [groups], (index) => min(elementAt(low, index), 0), 'bottom');
  const step = builder.map(
    'float32',
    [groups],
    (index) => {
      const range = sub(max(elementAt(high, index), 0), elementAt(bottom, index));
      return select(gt(range, 0), div(range, 255), 1);
    },
    'step',
  );
  const origin = builder.map(
    'float32',
    [groups],
    (index) =>
      min(max(round(div(sub(constant('float32', 0), elementAt(bottom, index)), elementAt(step, index))), 0), 255),
    'origin',
  );
  const levels = builder.map(
    'int32',
    sizes,
    (index) => {
      const zero = elementAt(origin, [index[0]]);
      const level = add(round(div(at(index), elementAt(step, [index[0]]))), zero);
      return cast('int32', sub(min(max(level, 0), 255), zero));
    },
    'levels',
  );
  return { levels, step };
}

/** A scale or zero point: one number for each direction, or one for each of its columns. */
function perColumn(ctx: LowerContext, input: number, direction: Expr, column: Expr): Expr {
  return ctx.at(input, ctx.shape(input).length === 2 ? [direction, column] : [direction]);
}

function weightAt(ctx: LowerContext, weight: number, zero: number, direction: Expr, k: Expr, column: Expr): Expr {
  return sub(
    cast('int32', ctx.at(weight, [direction, k, column])),
    cast('int32', perColumn(ctx, zero, direction, column)),
  );
}

function lower(ctx: LowerRecurrent & { readonly attributes: { readonly input_forget: number } }) {
  const hidden = ctx.shape(r)[1];
  return lowerRecurrent(ctx, {
    ...lstmParts(ctx, hidden),
    project({ gates, directions, steps, batch, inputSize, x }) {
      const { levels, step } = quantize(ctx as unknown as Builder, [1, steps.mul(batch), inputSize], ([, row, k]) =>
        x(div(row, dimension(batch)), mod(row, dimension(batch)), k),
      );
      const width = hidden.mul(gates);
      const sums = ctx.reduce(
        'sum',
        'int32',
        [steps, batch, directions, width],
        [inputSize],
        ([turn, entry, direction, column], [k]) =>
          mul(
            elementAt(levels, [0, add(mul(turn, dimension(batch)), entry), k]),
            weightAt(ctx, w, wZero, direction, k, column),
          ),
      );
      const scaled = ctx.map('float32', [steps, batch, directions, width], (index) => {
        const scale = mul(elementAt(step, [0]), perColumn(ctx, wScale, index[2], index[3]));
        return mul(cast('float32', elementAt(sums, index)), scale);
      });
      return ctx.view(scaled, [steps, batch, width.mul(directions)]);
    },
    product({ directions, batch }, { state, builder }, gate, _values) {
      const { levels, step } = quantizedState(builder, state, [Dim.constant(directions), batch, hidden]);
      const columnOf = (unit: Expr): Expr => add(dimension(hidden.mul(gate)), unit);
      const sizes = [directions, batch, hidden];
      const sums = builder.reduce('sum', 'int32', sizes, [hidden], ([direction, entry, unit], [k]) =>
        mul(elementAt(levels, [direction, entry, k]), weightAt(ctx, r, rZero, direction, k, columnOf(unit))),
      );
      return builder.map('float32', sizes, (index) => {
        const [direction, , unit] = index;
        const scale = mul(elementAt(step, [direction]), perColumn(ctx, rScale, direction, columnOf(unit)));
        return mul(cast('float32', elementAt(sums, index)), scale);
      });
    },
  });
}

const made = new WeakMap<StageBuilder, Quantized>();

/** The hidden state is quantised once a step, for all gates. */
function quantizedState(
  builder: StageBuilder,
  state: (part: number, index: readonly Expr[]) => Expr,
  sizes: readonly [Dim, Dim, Dim],
): Quantized {
  const known = made.get(builder);
  if (known) return known;
  const quantized = quantize(builder, sizes, (index) => state(0, index));
  made.set(builder, quantized);
  return quantized;
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
  lower,
});
