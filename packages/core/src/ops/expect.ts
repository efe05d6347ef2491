// Checks that type inference of many operators needs. Each failure names the node, the input and what was expected.

import { type Dim, isFloat, shapeText } from '@onnx-ts/tensor-ir';
import type { NodeContext } from './define.ts';

/** All given inputs that are present must have one element type. Returns it. */
export function expectSameType(ctx: NodeContext, first: number, ...others: number[]) {
  const dtype = ctx.dtype(first);
  for (const other of others) {
    if (ctx.hasInput(other) && ctx.dtype(other) !== dtype) {
      ctx.fail(`inputs ${first} and ${other} must have one element type, not ${dtype} and ${ctx.dtype(other)}.`);
    }
  }
  return dtype;
}

export function expectFloat(ctx: NodeContext, input: number) {
  const dtype = ctx.dtype(input);
  if (!isFloat(dtype)) ctx.fail(`input ${input} must be of a floating-point type, not ${dtype}.`);
  return dtype;
}

/** The shape of an input, whose rank must lie in the given range. */
export function expectRank(ctx: NodeContext, input: number, least: number, most = least): readonly Dim[] {
  const shape = ctx.shape(input);
  if (shape.length < least || shape.length > most) {
    const range =
      least === most ? `rank ${least}` : most === Infinity ? `at least rank ${least}` : `rank ${least} to ${most}`;
    ctx.fail(`input ${input} must have ${range}, but its shape is ${shapeText(shape)}.`);
  }
  return shape;
}

/** See `NodeContext.requireEqual`. */
export function expectEqual(ctx: NodeContext, a: Dim, b: Dim, what: string): void {
  ctx.requireEqual(a, b, what);
}
