// Operators that only move elements.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { countOf, drawShape, drawSize, drawStretchable } from '../random.ts';
import { allKinds, encodeTensor } from '../values.ts';

/** Axes may count from the end. */
export function signedAxis(b: CaseBuilder, axis: number, rank: number): number {
  return b.draws.oneIn(3) ? axis - rank : axis;
}

export function drawAxis(b: CaseBuilder, rank: number): number {
  return b.draws.below(rank);
}

/** Several sizes with the product of the others. */
function refactor(b: CaseBuilder, count: number): number[] {
  const shape: number[] = [];
  let rest = count;
  while (rest > 1 && shape.length < 4) {
    const divisors = Array.from({ length: Math.min(rest, 64) }, (_, at) => at + 1).filter((size) => rest % size === 0);
    const size = b.draws.pick(divisors);
    shape.push(size);
    rest /= size;
  }
  return b.draws.shuffled([...shape, rest]);
}

function transpose(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws);
  const perm = b.draws.maybe(() => b.draws.shuffled(shape.map((_, axis) => axis)));
  b.output(b.op('Transpose', [b.random(dtype, shape, allKinds)], { perm }), dtype);
}

function reshape(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws);
  const count = countOf(shape);
  let target: number[] =
    count === 0 ? b.draws.shuffled(shape) : count === 1 && b.draws.coin() ? [] : refactor(b, count);
  const allowzero = b.opset >= 14 ? b.draws.maybe(() => b.draws.below(2)) : undefined;
  if (count > 0) {
    // 0 copies a size; −1 stands for what is left.
    target = target.map((size, axis) => (allowzero !== 1 && size === shape[axis] && b.draws.coin() ? 0 : size));
    if (target.length > 0 && b.draws.coin()) target[b.draws.below(target.length)] = -1;
    // A −1 in the place of a 0 still stands for the same size.
  } else if (allowzero !== 1) {
    // The rest of nothing: −1 becomes the size that is 0.
    const others = shape.filter((size) => size > 0);
    target = b.draws.coin() ? shape.map(() => 0) : [-1, ...(others.length === shape.length - 1 ? others : [1])];
  }
  b.output(b.op('Reshape', [b.random(dtype, shape, allKinds), b.int64s(target)], { allowzero }), dtype);
}

function flatten(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1 });
  const axis = b.draws.between(0, shape.length);
  const signed = b.opset >= 11 && axis < shape.length ? signedAxis(b, axis, shape.length) : axis;
  b.output(b.op('Flatten', [b.random(dtype, shape, allKinds)], { axis: b.draws.maybe(() => signed) }), dtype);
}

function squeeze(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { maxRank: 3 });
  const wide = [...shape];
  for (let left = b.draws.below(3); left > 0; left--) wide.splice(b.draws.below(wide.length + 1), 0, 1);
  const ones = wide.flatMap((size, axis) => (size === 1 ? [axis] : []));
  const axes = b.draws.maybe(() =>
    b.draws.shuffled(b.draws.some(ones)).map((axis) => (b.opset >= 11 ? signedAxis(b, axis, wide.length) : axis)),
  );
  const isGiven = axes !== undefined && axes.length > 0;
  const x = b.random(dtype, wide, allKinds);
  const y =
    b.opset >= 13
      ? b.op('Squeeze', [x, isGiven ? b.int64s(axes) : undefined])
      : b.op('Squeeze', [x], { axes: isGiven ? axes : undefined });
  b.output(y, dtype);
}

function unsqueeze(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { maxRank: 3 });
  const added = b.draws.between(1, 2);
  const rank = shape.length + added;
  const axes = b.draws.shuffled(Array.from({ length: rank }, (_, axis) => axis)).slice(0, added);
  const signed = axes.map((axis) => (b.opset >= 11 ? signedAxis(b, axis, rank) : axis));
  const x = b.random(dtype, shape, allKinds);
  b.output(b.opset >= 13 ? b.op('Unsqueeze', [x, b.int64s(signed)]) : b.op('Unsqueeze', [x], { axes: signed }), dtype);
}

function expand(b: CaseBuilder): void {
  const dtype = b.dtype();
  const whole = drawShape(b.draws);
  const given = drawStretchable(b.draws, whole);
  // Where the input's size counts, the target may be 1 or leave the axis out.
  const target = whole.map((size, axis) =>
    given[axis - (whole.length - given.length)] === size && b.draws.coin() ? 1 : size,
  );
  // Axes in front that the input has anyway need not be named.
  const isGrown = (axis: number): boolean => given[axis - (whole.length - given.length)] !== whole[axis];
  const grown = whole.findIndex((_, axis) => isGrown(axis));
  const named = b.draws.coin() ? target : target.slice(b.draws.between(0, grown < 0 ? whole.length : grown));
  b.output(b.op('Expand', [b.random(dtype, given, allKinds), b.int64s(named)]), dtype);
}

function tile(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { budget: 300, maxRank: 4 });
  const repeats = shape.map(() => b.draws.pick([1, 2, 3, 0]));
  b.output(b.op('Tile', [b.random(dtype, shape, allKinds), b.int64s(repeats)]), dtype);
}

function concat(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, budget: 500 });
  const axis = drawAxis(b, shape.length);
  const parts = Array.from({ length: b.draws.between(1, 4) }, () => {
    return b.random(dtype, shape.with(axis, b.draws.pick([1, shape[axis], 2, 3, 0])), allKinds);
  });
  if (b.draws.oneIn(5)) parts.push(parts[0]);
  b.output(b.op('Concat', parts, { axis: b.opset >= 11 ? signedAxis(b, axis, shape.length) : axis }), dtype);
}

function split(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, budget: 500 });
  const axis = drawAxis(b, shape.length);
  const parts = b.draws.between(1, 4);
  const style = b.draws.below(3);
  const piece = drawSize(b.draws, 9);
  // Equal parts, a list of sizes, or (since 18) parts of which the last is smaller.
  const sizes = Array.from({ length: parts }, () => (style === 1 ? b.draws.pick([piece, 1, 2, 0]) : piece));
  const isUneven = style === 2 && b.opset >= 18;
  if (isUneven) sizes[parts - 1] = b.draws.between(1, piece);
  const isListed = style === 1;
  const size = sizes.reduce((sum, item) => sum + item, 0);
  const attributes = {
    axis: b.draws.maybe(() => (b.opset >= 11 ? signedAxis(b, axis, shape.length) : axis)),
    num_outputs: b.opset >= 18 && !isListed ? parts : undefined,
    split: b.opset < 13 && isListed ? sizes : undefined,
  };
  const x = b.random(dtype, shape.with(attributes.axis === undefined ? 0 : axis, size), allKinds);
  const list = b.opset >= 13 && isListed ? b.int64s(sizes) : undefined;
  if (isUneven && Math.ceil(size / parts) * (parts - 1) >= size) return b.output(b.op('Identity', [x]), dtype);
  const results = b.ops('Split', [x, list], attributes, { outputs: parts });
  for (const name of b.draws.some(results, 1)) b.output(name, dtype);
}

/** "To the end", as exporters write it. */
const farAway = 2 ** 31 - 1;

function slice(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1 });
  const axes = b.draws.shuffled(
    b.draws.some(
      shape.map((_, axis) => axis),
      1,
    ),
  );
  const bounds = axes.map((axis) => {
    const size = shape[axis];
    const step = b.opset >= 10 ? b.draws.pick([1, 2, -1, 3, -2, -3, 5, 1, 1000, -1000]) : 1;
    const position = (): number => {
      const at = b.draws.between(0, size + 2);
      // Peers read the greatest integer as "to the end" for negative steps, too.
      const far = step < 0 ? -farAway : b.draws.pick([farAway, -farAway]);
      return b.draws.pick([at, at, at - size, at - size - 2, size, far, 0]);
    };
    return { start: position(), end: position(), step };
  });
  const starts = bounds.map(({ start }) => start);
  const ends = bounds.map(({ end }) => end);
  const steps = bounds.map(({ step }) => step);
  const isWhole = axes.every((axis, at) => axis === at);
  const signed = axes.map((axis) => (b.opset >= 10 ? signedAxis(b, axis, shape.length) : axis));
  const listed = isWhole && b.draws.coin() ? undefined : signed;
  const x = b.random(dtype, shape, allKinds);
  if (b.opset < 10) {
    return b.output(b.op('Slice', [x], { starts, ends, axes: listed }), dtype);
  }
  const isPlain = steps.every((step) => step === 1) && b.draws.coin();
  const indexType = b.dtype('Tind');
  const inputs = [starts, ends, listed, isPlain ? undefined : steps].map(
    (list) => list && b.operand(encodeTensor(indexType, [list.length], list)),
  );
  b.output(b.op('Slice', [x, ...inputs]), dtype);
}

function pad(b: CaseBuilder): void {
  const dtype = b.dtype();
  const modes = ['constant', 'reflect', 'edge', ...(b.opset >= 19 ? ['wrap'] : [])];
  const mode = b.draws.pick(modes);
  const isConstant = mode === 'constant';
  const shape = drawShape(b.draws, { minRank: 1, budget: 400, least: isConstant ? 0 : 1 });
  const axes =
    b.opset >= 18
      ? b.draws.maybe(() =>
          b.draws.shuffled(
            b.draws.some(
              shape.map((_, axis) => axis),
              1,
            ),
          ),
        )
      : undefined;
  const padded = axes ?? shape.map((_, axis) => axis);
  // Peers refuse to reflect or to wrap more than once.
  const most = (axis: number): number => {
    if (!b.isPeer || isConstant || mode === 'edge') return 9;
    return mode === 'reflect' ? shape[axis] - 1 : shape[axis];
  };
  const amount = (axis: number): number => {
    const least = -Math.max(0, Math.min(2, Math.floor((shape[axis] - 1) / 2)));
    return b.draws.oneIn(5) ? least : Math.max(least, Math.min(most(axis), b.draws.pick([0, 1, 2, 3, 8])));
  };
  const pads = [...padded.map(amount), ...padded.map(amount)];
  const x = b.random(dtype, shape, allKinds);
  const attributes = { mode: mode === 'constant' ? b.draws.maybe(() => mode) : mode };
  if (b.opset < 11) return b.output(b.op('Pad', [x], { ...attributes, pads }), dtype);
  const value = isConstant ? b.draws.maybe(() => b.random(dtype, [], ['small'])) : undefined;
  const list = axes && b.int64s(axes.map((axis) => signedAxis(b, axis, shape.length)));
  b.output(b.op('Pad', [x, b.int64s(pads), value, list], attributes), dtype);
}

function blocks(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype();
    const size = b.draws.pick([2, 1, 3]);
    const [n, c, h, w] = [b.draws.between(1, 2), b.draws.between(1, 4), b.draws.between(1, 5), b.draws.between(1, 5)];
    const isDepth = op === 'DepthToSpace';
    const shape = isDepth ? [n, c * size * size, h, w] : [n, c, h * size, w * size];
    const mode = b.opset >= (isDepth ? 11 : 28) ? b.draws.pick([undefined, 'DCR', 'CRD']) : undefined;
    b.output(b.op(op, [b.random(dtype, shape, allKinds)], { blocksize: size, mode }), dtype);
  };
}

function reverseSequence(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 2, least: 1 });
  const timeFirst = b.draws.coin();
  const [batch, time] = timeFirst ? [shape[1], shape[0]] : [shape[0], shape[1]];
  const lengths = Array.from({ length: batch }, () => b.draws.between(0, time));
  const attributes = timeFirst
    ? { batch_axis: b.draws.maybe(() => 1), time_axis: b.draws.maybe(() => 0) }
    : { batch_axis: 0, time_axis: 1 };
  b.output(b.op('ReverseSequence', [b.random(dtype, shape, allKinds), b.int64s(lengths)], attributes), dtype);
}

function trilu(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 2 });
  const k = b.draws.maybe(() =>
    b.scalar('int64', b.draws.pick([0, 1, -1, 3, -3, 100, -100, 2 ** 31, -(2 ** 31), 2 ** 40])),
  );
  const upper = b.draws.maybe(() => b.draws.below(2));
  b.output(b.op('Trilu', [b.random(dtype, shape, allKinds), k], { upper }), dtype);
}

function centerCropPad(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, budget: 300 });
  const axes = b.draws.maybe(() =>
    b.draws.shuffled(
      b.draws.some(
        shape.map((_, axis) => axis),
        1,
      ),
    ),
  );
  const target = (axes ?? shape).map(() => b.draws.between(b.isPeer ? 1 : 0, 9));
  const signed = axes?.map((axis) => signedAxis(b, axis, shape.length));
  b.output(b.op('CenterCropPad', [b.random(dtype, shape, allKinds), b.int64s(target)], { axes: signed }), dtype);
}

function col2im(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['bool', 'string', 'complex64', 'complex128']);
  const rank = b.draws.between(1, 3);
  const axes = Array.from({ length: rank }, () => {
    const block = b.draws.between(1, 3);
    const dilation = b.draws.between(1, 2);
    const stride = b.draws.between(1, 2);
    const pads = [b.draws.below(2), b.draws.below(2)];
    const image = b.draws.between(1 + dilation * (block - 1), 6);
    const count = Math.floor((image + pads[0] + pads[1] - dilation * (block - 1) - 1) / stride) + 1;
    return { block, dilation, stride, pads, image, count };
  });
  const [n, c] = [b.draws.between(1, 2), b.draws.between(1, 3)];
  const x = b.random(dtype, [n, c * countOf(axes.map(({ block }) => block)), countOf(axes.map(({ count }) => count))]);
  b.allowSums(16);
  const inputs = [x, b.int64s(axes.map(({ image }) => image)), b.int64s(axes.map(({ block }) => block))];
  const attributes = {
    dilations: axes.map(({ dilation }) => dilation),
    strides: axes.map(({ stride }) => stride),
    pads: [...axes.map(({ pads }) => pads[0]), ...axes.map(({ pads }) => pads[1])],
  };
  b.output(b.op('Col2Im', inputs, attributes), dtype);
}

export const movement: Family = {
  name: 'movement',
  cases: {
    Transpose: transpose,
    Reshape: reshape,
    Flatten: flatten,
    Squeeze: squeeze,
    Unsqueeze: unsqueeze,
    Expand: expand,
    Tile: tile,
    Concat: concat,
    Split: split,
    Slice: slice,
    Pad: pad,
    DepthToSpace: blocks('DepthToSpace'),
    SpaceToDepth: blocks('SpaceToDepth'),
    ReverseSequence: reverseSequence,
    Trilu: trilu,
    CenterCropPad: centerCropPad,
    Col2Im: col2im,
  },
};
