// Derivatives of operators that move elements without changing them.

import type { Value } from '../../graph/graph.ts';
import { int, ints, type OperatorDefinition } from '../define.ts';
import { type Derivation, rule } from './rule.ts';

/** The same elements in the same order. */
const reshaping = (name: string): OperatorDefinition => rule(name, {}, (d) => d.reshapeLike(d.g, d.x()));

export const Reshape = reshaping('Reshape');
export const Flatten = reshaping('Flatten');
export const Squeeze = reshaping('Squeeze');
export const Unsqueeze = reshaping('Unsqueeze');

export const Transpose = rule('Transpose', { perm: ints() }, (d) => {
  const { perm } = d.ctx.attributes;
  if (!perm) return d.op('Transpose', d.g);
  const inverse = perm.map((_, axis) => perm.indexOf(axis));
  return d.ctx.op('Transpose', [d.g], { perm: inverse });
});

export const Expand = rule('Expand', {}, (d) => d.sumLike(d.g, d.x()));

/**
 * Each gradient is added to the element that its place was filled from. Where that was, the operator itself tells: it moves
 * the numbers of the elements, counted from 1, so that places filled from nowhere get 0.
 */
function gathered(d: Derivation, rest: readonly (Value | undefined)[]): Value {
  const { ctx } = d;
  const x = d.x();
  const flat = ctx.literal('int64', [-1]);
  const one = ctx.literal('int64', 1);
  const count = ctx.op('Size', [x]);
  const end = ctx.op('Add', [count, one]);
  const places = ctx.op('Reshape', [ctx.op('Range', [one, end, one]), d.shapeOf(x)]);
  const moved = ctx.op(ctx.node.op, [places, ...rest], d.forwardAttributes, { opset: ctx.opset });
  const all = ctx.op('Expand', [d.number(0, d.g), ctx.op('Reshape', [end, flat])]);
  const sums = ctx.op('ScatterElements', [all, ctx.op('Reshape', [moved, flat]), ctx.op('Reshape', [d.g, flat])], {
    axis: 0,
    reduction: 'add',
  });
  const own = ctx.op('Slice', [sums, ctx.literal('int64', [1]), ctx.op('Reshape', [end, flat])]);
  return d.reshapeLike(own, x);
}

const moving = (name: string): OperatorDefinition =>
  rule(name, {}, (d) => {
    const rest = Array.from({ length: d.inputCount - 1 }, (_, at) => (d.hasInput(at + 1) ? d.x(at + 1) : undefined));
    return gathered(d, rest);
  });

export const DepthToSpace = moving('DepthToSpace');
export const Gather = moving('Gather');
export const GatherElements = moving('GatherElements');
export const GatherND = moving('GatherND');
export const Slice = moving('Slice');
export const SpaceToDepth = moving('SpaceToDepth');
export const Tile = moving('Tile');
export const Trilu = moving('Trilu');
/** Without its constant, which has no gradient here. */
export const Pad = rule('Pad', {}, (d) =>
  gathered(d, [d.hasInput(1) ? d.x(1) : undefined, undefined, d.hasInput(3) ? d.x(3) : undefined]),
);

export const Concat = rule('Concat', { axis: int(1) }, (d) => {
  const { ctx } = d;
  const rank = ctx.rank(0);
  const axis = ctx.axis(ctx.attributes.axis, rank);
  const parts = Array.from({ length: d.inputCount }, (_, at) => d.x(at));
  const sizes = ctx.op(
    'Concat',
    parts.map((part) => ctx.op('Shape', [part], { start: axis, end: axis + 1 })),
    { axis: 0 },
  );
  return ctx.ops('Split', [d.g, sizes], parts.length, { axis });
});

export const Split = rule('Split', { axis: int(0) }, (d) => {
  const parts = Array.from({ length: d.outputCount }, (_, at) => d.gradient(at) ?? d.zerosLike(d.y(at)));
  return d.ctx.op('Concat', parts, { axis: d.ctx.attributes.axis });
});
