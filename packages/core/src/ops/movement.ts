// Operators that only move elements: each result element is one input element, or zero where there is none.

import {
  add,
  and,
  boundedIndex,
  cast,
  Dim,
  dimension,
  div,
  type Expr,
  eq,
  ge,
  le,
  lt,
  max,
  min,
  mod,
  mul,
  productOf,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { dtypeOfCode } from '../onnx/import-tensor.ts';
import {
  type AttributeSpec,
  defineOperator,
  int,
  ints,
  type LowerContext,
  type NodeContext,
  required,
  string,
} from './define.ts';
import { expectEqual, expectFloat, expectRank, expectSameType } from './expect.ts';
import { flatten } from './flat-index.ts';
import { knownScalar, plainNumbers, rearrange, smallTensor } from './small-tensor.ts';
import { both, windowAxes } from './window.ts';

/** `result[k]` is the input axis that result axis k walks along. */
function permutation(context: NodeContext, perm: readonly number[] | undefined, rank: number): readonly number[] {
  if (!perm) return Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  const axes = perm.map((axis) => context.axis(axis, rank));
  if (axes.length !== rank || new Set(axes).size !== rank) {
    context.fail(`perm [${perm.join(', ')}] is not a permutation of ${rank} axes.`);
  }
  return axes;
}

/** Index into the input for an index into the permuted tensor. */
function unpermute<T>(axes: readonly number[], index: readonly T[]): readonly T[] {
  const source: T[] = [];
  axes.forEach((axis, at) => {
    source[axis] = index[at];
  });
  return source;
}

export const Transpose = defineOperator({
  name: 'Transpose',
  since: 1,
  attributes: { perm: ints() },
  infer(context) {
    const shape = context.shape(0);
    const axes = permutation(context, context.attributes.perm, shape.length);
    return [
      tensorType(
        context.dtype(0),
        axes.map((axis) => shape[axis]),
      ),
    ];
  },
  contents(context) {
    const data = smallTensor(context, 0);
    if (!data) return undefined;
    const axes = permutation(context, context.attributes.perm, data.dims.length);
    const dims = axes.map((axis) => data.dims[axis]);
    return rearrange(data, dims, (index) => unpermute(axes, index));
  },
  lower(context) {
    const axes = permutation(context, context.attributes.perm, context.rank(0));
    return context.map(context.dtype(0), context.outputShape(0), (index) => context.at(0, unpermute(axes, index)));
  },
});

/** Tile with one count for each axis. */
export const Tile = defineOperator({
  name: 'Tile',
  since: 6,
  valueInputs: [1],
  infer(context) {
    const shape = context.shape(0);
    const repeats = context.contents(1);
    if (repeats && repeats.length !== shape.length) {
      context.fail(`repeats must have ${shape.length} entries, one for each axis, not ${repeats.length}.`);
    }
    const tiled = shape.map((size, axis) => (repeats ? size.mul(repeats[axis]) : context.freshDim('tile')));
    return [tensorType(context.dtype(0), tiled)];
  },
  contents(context) {
    const data = smallTensor(context, 0);
    const repeats = plainNumbers(context.contents(1));
    if (!data || !repeats) return undefined;
    const dims = data.dims.map((size, axis) => size * repeats[axis]);
    return rearrange(data, dims, (index) => index.map((i, axis) => i % data.dims[axis]));
  },
  lower: lowerTile,
});

/** Tile as it first was: one axis, one count, both scalars of the data's type. */
export const Tile1 = defineOperator({
  name: 'Tile',
  since: 1,
  valueInputs: [1, 2],
  infer(context) {
    const shape = context.shape(0);
    expectSameType(context, 0, 1, 2);
    for (const input of [0, 1, 2]) expectFloat(context, input);
    const [tiles, axis] = [knownScalar(context, 1), knownScalar(context, 2)];
    const tiled = shape.map((size, at) => {
      if (axis === undefined) return context.freshDim('tile');
      if (at !== context.axis(axis, shape.length)) return size;
      return tiles === undefined ? context.freshDim('tile') : size.mul(tiles);
    });
    return [tensorType(context.dtype(0), tiled)];
  },
  lower: lowerTile,
});

function lowerTile(context: LowerContext) {
  const shape = context.shape(0);
  return context.map(context.dtype(0), context.outputShape(0), (index) =>
    context.at(
      0,
      index.map((i, axis) => mod(i, dimension(shape[axis]))),
    ),
  );
}

/** N×C×H×W sizes and the block size, checked. */
function blockedImage(context: NodeContext<{ readonly blocksize: AttributeSpec<number> }>) {
  const [batch, channels, height, width] = expectRank(context, 0, 4);
  const { blocksize: block } = context.attributes;
  if (block < 1) context.fail(`blocksize must be at least 1, not ${block}.`);
  return { batch, channels, height, width, block };
}

function expectMode(context: NodeContext, mode: string, allowed: readonly string[]): void {
  if (!allowed.includes(mode)) context.fail(`mode "${mode}" is not one of ${allowed.join(', ')}.`);
}

/** `size / divisor`, which must have no remainder. */
function quotient(context: NodeContext, size: Dim, divisor: number, what: string): Dim {
  if (size.constant !== undefined && size.constant % divisor !== 0) {
    context.fail(`${what}, ${size}, must be a multiple of ${divisor}.`);
  }
  return size.floorDiv(divisor);
}

/**
 * The channel of the deep tensor that holds channel `c` of the pixel at (`row`, `column`) in its block. Depth-column-row
 * order (DCR) keeps the channels of a pixel together, column-row-depth order (CRD) the pixels of a channel.
 */
function deepChannel(mode: string, block: number, channels: Dim, c: Expr, row: Expr, column: Expr): Expr {
  const pixel = add(mul(row, block), column);
  return mode === 'CRD' ? add(mul(c, block * block), pixel) : add(mul(pixel, dimension(channels)), c);
}

export const DepthToSpace = defineOperator({
  name: 'DepthToSpace',
  since: 1,
  attributes: { blocksize: required(int()), mode: string('DCR') },
  infer(context) {
    const { batch, channels, height, width, block } = blockedImage(context);
    expectMode(context, context.attributes.mode, ['DCR', 'CRD']);
    const fewer = quotient(context, channels, block * block, 'the number of channels');
    return [tensorType(context.dtype(0), [batch, fewer, height.mul(block), width.mul(block)])];
  },
  lower(context) {
    const { block } = blockedImage(context);
    const shape = context.outputShape(0);
    return context.map(context.dtype(0), shape, ([n, c, y, x]) => {
      const channel = deepChannel(context.attributes.mode, block, shape[1], c, mod(y, block), mod(x, block));
      return context.at(0, [n, channel, div(y, block), div(x, block)]);
    });
  },
});

export const SpaceToDepth = defineOperator({
  name: 'SpaceToDepth',
  since: 1,
  // The mode came with opset 28; earlier models do not have it.
  attributes: { blocksize: required(int()), mode: string('DCR') },
  infer(context) {
    const { batch, channels, height, width, block } = blockedImage(context);
    expectMode(context, context.attributes.mode, ['DCR', 'CRD']);
    const [rows, columns] = [height, width].map((size) => quotient(context, size, block, 'each spatial size'));
    return [tensorType(context.dtype(0), [batch, channels.mul(block * block), rows, columns])];
  },
  lower(context) {
    const { channels, block } = blockedImage(context);
    const isCrd = context.attributes.mode === 'CRD';
    return context.map(context.dtype(0), context.outputShape(0), ([n, deep, y, x]) => {
      const pixel = isCrd ? mod(deep, block * block) : div(deep, dimension(channels));
      const c = isCrd ? div(deep, block * block) : mod(deep, dimension(channels));
      return context.at(0, [n, c, add(mul(y, block), div(pixel, block)), add(mul(x, block), mod(pixel, block))]);
    });
  },
});

/** Reverses the first `sequence_lens[b]` steps of each sequence b of a batch. */
export const ReverseSequence = defineOperator({
  name: 'ReverseSequence',
  since: 10,
  attributes: { batch_axis: int(1), time_axis: int(0) },
  infer(context) {
    const shape = expectRank(context, 0, 2, Infinity);
    const { batch_axis, time_axis } = context.attributes;
    const [batch, time] = [context.axis(batch_axis, shape.length), context.axis(time_axis, shape.length)];
    if (batch === time) context.fail(`batch_axis and time_axis are both ${batch}.`);
    const [count] = expectRank(context, 1, 1);
    expectEqual(context, count, shape[batch], 'the number of sequence lengths and the batch size');
    return [tensorType(context.dtype(0), shape)];
  },
  lower(context) {
    const shape = context.shape(0);
    const { batch_axis, time_axis } = context.attributes;
    const [batch, time] = [context.axis(batch_axis, shape.length), context.axis(time_axis, shape.length)];
    return context.map(context.dtype(0), shape, (index) => {
      const step = index[time];
      const length = boundedIndex(toIndex(context.at(1, [index[batch]])), shape[time].add(1), { negative: false });
      return context.at(0, index.with(time, select(lt(step, length), sub(sub(length, 1), step), step)));
    });
  },
});

/** Diagonals further away than this are all alike: no axis is as long, and sums of such numbers are still indices. */
const farAway = 2 ** 30;

/** Keeps the part of each matrix on one side of its k-th diagonal and sets the rest to zero. */
export const Trilu = defineOperator({
  name: 'Trilu',
  since: 14,
  attributes: { upper: int(1) },
  infer: (context) => [tensorType(context.dtype(0), expectRank(context, 0, 2, Infinity))],
  lower(context) {
    const keeps = context.attributes.upper ? ge : le;
    return context.map(context.dtype(0), context.shape(0), (index) => {
      const [row, column] = index.slice(-2);
      const given = context.hasInput(1) ? cast('index', context.scalar(1), { saturate: true }) : dimension(0);
      const diagonal = max(-farAway, min(farAway, given));
      return context.at(0, index, { when: keeps(sub(column, row), diagonal), otherwise: 0 });
    });
  },
});

/** Ones on the k-th diagonal of a matrix of the input's shape. */
export const EyeLike = defineOperator({
  name: 'EyeLike',
  since: 9,
  attributes: { dtype: int(), k: int(0) },
  infer(context) {
    const { dtype: code } = context.attributes;
    const dtype = code === undefined ? context.dtype(0) : dtypeOfCode(code, 'the attribute "dtype"');
    return [tensorType(dtype, expectRank(context, 0, 2))];
  },
  lower(context) {
    const dtype = context.outputDType(0);
    const diagonal = Math.max(-farAway, Math.min(farAway, context.attributes.k));
    return context.map(dtype, context.outputShape(0), ([row, column]) => cast(dtype, eq(sub(column, row), diagonal)));
  },
});

/** values[1] where the new axis is at the index, values[0] elsewhere; indices outside [−depth, depth) give no hit. */
export const OneHot = defineOperator({
  name: 'OneHot',
  since: 9,
  attributes: { axis: int(-1) },
  valueInputs: [1],
  infer(context) {
    const indices = context.shape(0);
    expectRank(context, 2, 1);
    const axis = context.axis(context.attributes.axis, indices.length + 1);
    const known = knownScalar(context, 1);
    if (known !== undefined && known < 0) context.fail(`depth must not be negative, but it is ${known}.`);
    const depth = context.contents(1)?.[0] ?? (known === undefined ? context.freshDim('depth') : Dim.constant(known));
    return [tensorType(context.dtype(2), indices.toSpliced(axis, 0, depth))];
  },
  lower(context) {
    const shape = context.outputShape(0);
    const axis = context.axis(context.attributes.axis, shape.length);
    return context.map(context.dtype(2), shape, (index) => {
      const given = cast('index', context.at(0, index.toSpliced(axis, 1)), { saturate: true });
      const hot = select(lt(given, 0), add(given, dimension(shape[axis])), given);
      return select(eq(index[axis], hot), context.at(2, [1]), context.at(2, [0]));
    });
  },
});

/**
 * Sums the columns of a matrix back into the image patches they came from. Every pixel collects its value from all
 * positions of the block that cover it.
 */
export const Col2Im = defineOperator({
  name: 'Col2Im',
  since: 18,
  attributes: { dilations: ints(), pads: ints(), strides: ints() },
  valueInputs: [1, 2],
  infer(context) {
    const [batch, channels] = expectRank(context, 0, 3);
    for (const input of [1, 2]) expectRank(context, input, 1);
    const [image, block] = [context.contents(1), context.contents(2)];
    const rank = image?.length ?? block?.length ?? context.shape(1)[0].constant;
    if (rank === undefined) return [tensorType(context.dtype(0))];
    const pixels = image ?? Array.from({ length: rank }, () => context.freshDim('image'));
    const depth = block ? channels.floorDiv(productOf(block)) : context.freshDim('channels');
    return [tensorType(context.dtype(0), [batch, depth, ...pixels])];
  },
  lower(context) {
    const dtype = context.dtype(0);
    const shape = context.outputShape(0);
    const block = context.contents(2) ?? context.fail('block_shape is not known.');
    const axes = windowAxes(
      context,
      { ...context.attributes, auto_pad: 'NOTSET', kernel_shape: undefined },
      shape.slice(2),
      block,
    );
    return context.reduce('sum', dtype, shape, block, ([n, c, ...pixel], tap) => {
      let covered: Expr | undefined;
      const column = axes.map(({ stride, dilation, padBegin, output }, axis) => {
        const offset = sub(add(pixel[axis], dimension(padBegin)), mul(tap[axis], dilation));
        const at = div(offset, stride);
        covered = both(covered, and(ge(offset, 0), lt(at, dimension(output))));
        if (stride > 1) covered = and(covered, eq(mod(offset, stride), 0));
        return at;
      });
      const row = add(mul(c, dimension(productOf(block))), flatten(tap, block));
      const position = flatten(
        column,
        axes.map((axis) => axis.output),
      );
      return context.at(0, [n, row, position], { when: covered!, otherwise: 0 });
    });
  },
});
