// Dropout. In inference it does nothing; in training mode it is built from random numbers and a selection.

import { bitsOf, constant } from '@onnx-ts/tensor-ir';
import type { Value } from '../graph/graph.ts';
import { codeOfDType } from '../onnx/import-tensor.ts';
import { defineOperator, type ExpandContext, int } from './define.ts';
import { float8s, floats, likeInput, requireDType } from './pointwise.ts';

export const Dropout = [
  // Up to opset 11 training could not be asked for at inference. The mask is of X's type until opset 9.
  dropoutWithoutTraining(1),
  dropoutWithoutTraining(10),
  defineOperator({
    name: 'Dropout',
    since: 12,
    attributes: { seed: int() },
    infer(ctx) {
      const dtype = requireDType(ctx, 0, [...floats, ...float8s]);
      return [likeInput(ctx, 0, dtype), likeInput(ctx, 0, 'bool')];
    },
    expand: (ctx) => expandDropout(ctx, ctx.value(0)!, { ratio: 1, training: 2, seed: ctx.attributes.seed }),
  }),
];

function dropoutWithoutTraining(since: 1 | 10) {
  return defineOperator({
    name: 'Dropout',
    since,
    infer(ctx) {
      const dtype = requireDType(ctx, 0, floats);
      return [likeInput(ctx, 0, dtype), likeInput(ctx, 0, since < 10 ? dtype : 'bool')];
    },
    lower(ctx) {
      if (!ctx.hasOutput(1)) return ctx.input(0);
      const type = ctx.outputDType(1);
      return [ctx.input(0), ctx.map(type, ctx.outputShape(1), () => constant(type, 1), 'mask')];
    },
  });
}

/**
 * Result and mask of a dropout of `x`. Elements are kept with probability 1 − ratio, and then divided by it.
 * @param roles input indices of ratio and training_mode
 */
export function expandDropout(
  ctx: ExpandContext,
  x: Value,
  roles: { readonly ratio: number; readonly training: number; readonly seed: number | undefined },
): readonly (Value | undefined)[] {
  const { ratio: ratioInput, training: trainingInput, seed } = roles;
  const training = ctx.hasInput(trainingInput) ? ctx.value(trainingInput) : undefined;
  const known = training ? ctx.constant(trainingInput)?.data[0] : 0;
  if (known === 0) return [x, ctx.hasOutput(1) ? fullMask(ctx, x) : undefined];

  const float32 = codeOfDType('float32');
  const random = ctx.op('RandomUniformLike', [x], {
    dtype: float32,
    ...(seed !== undefined && { seed: { float: seed } }),
  });
  const ratio = ctx.hasInput(ratioInput)
    ? ctx.op('Cast', [ctx.value(ratioInput)], { to: float32 })
    : ctx.literal('float32', 0.5);
  const kept = ctx.op('GreaterOrEqual', [random, ratio]);
  const factor = ctx.op('Reciprocal', [ctx.op('Sub', [ctx.literal('float32', 1), ratio])]);
  const mask = known === 1 ? kept : ctx.op('Or', [kept, ctx.op('Not', [training])]);
  const scale = known === 1 ? factor : ctx.op('Where', [training, factor, ctx.literal('float32', 1)]);
  // float8 has no products.
  const wide = bitsOf(ctx.typeOf(x).dtype) === 8 ? ctx.op('Cast', [x], { to: float32 }) : x;
  const scaled = ctx.op('CastLike', [ctx.op('Mul', [wide, ctx.op('CastLike', [scale, wide])]), x]);
  const zero = ctx.op('CastLike', [ctx.literal('float32', 0), x]);
  return [ctx.op('Where', [mask, scaled, zero]), mask];
}

function fullMask(ctx: ExpandContext, x: Value): Value {
  return ctx.op('Expand', [ctx.literal('bool', 1), ctx.op('Shape', [x])]);
}
