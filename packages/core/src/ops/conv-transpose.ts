// ConvTranspose. With stride s, output pixels fall into s phases along an axis, and each phase is an ordinary convolution
// of the input with every s-th kernel tap. So the product is computed as one windowed contraction with s times the
// channels, and a map then interleaves the phases.

import {
  add,
  and,
  Dim,
  type DimLike,
  dimension,
  div,
  type Expr,
  eq,
  ge,
  lt,
  mod,
  mul,
  type Stage,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { addChannelBias } from './conv.ts';
import { defineOperator, int, ints, type LowerContext, type NodeContext } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { every, perAxis, type WindowAttributes, windowAttributes, windowExtent, zeroUnless } from './window.ts';

type TransposeNode = NodeContext & {
  readonly attributes: WindowAttributes & {
    readonly group: number;
    readonly output_padding: readonly number[] | undefined;
    readonly output_shape: readonly number[] | undefined;
  };
};

/** One spatial axis. output position = input position · stride + tap · dilation − padBegin */
interface SpreadAxis {
  readonly input: Dim;
  readonly output: Dim;
  readonly kernel: Dim;
  readonly stride: number;
  readonly dilation: number;
  readonly padBegin: Dim;
}

function spreadAxes(ctx: TransposeNode, spatial: readonly Dim[], kernel: readonly Dim[]): readonly SpreadAxis[] {
  const { attributes } = ctx;
  const count = spatial.length;
  const strides = perAxis(ctx, 'strides', attributes.strides, count, 1, 1);
  const dilations = perAxis(ctx, 'dilations', attributes.dilations, count, 1, 1);
  const extra = perAxis(ctx, 'output_padding', attributes.output_padding, count, 0, 0);
  const pads = perAxis(ctx, 'pads', attributes.pads, 2 * count, 0, -Infinity);
  const isSame = attributes.auto_pad === 'SAME_UPPER' || attributes.auto_pad === 'SAME_LOWER';
  // Some exporters give the whole shape, batch and channels included.
  const wanted = attributes.output_shape?.length ? attributes.output_shape.slice(-count) : undefined;
  return spatial.map((input, axis) => {
    const [stride, dilation] = [strides[axis], dilations[axis]];
    const shared = { input, kernel: kernel[axis], stride, dilation };
    const natural = input.sub(1).mul(stride).add(windowExtent(kernel[axis], dilation)).add(extra[axis]);
    if (!wanted && !isSame) {
      const isValid = attributes.auto_pad === 'VALID';
      const [begin, end] = isValid ? [0, 0] : [pads[axis], pads[axis + count]];
      return { ...shared, output: natural.sub(begin + end), padBegin: Dim.constant(begin) };
    }
    const output = wanted ? Dim.constant(wanted[axis]) : input.mul(stride);
    const total = natural.sub(output).max(0);
    const less = total.floorDiv(2);
    return { ...shared, output, padBegin: attributes.auto_pad === 'SAME_UPPER' ? less : total.sub(less) };
  });
}

function transposeGeometry(ctx: TransposeNode) {
  const x = expectRank(ctx, 0, 3, Infinity);
  const w = expectRank(ctx, 1, x.length);
  const { group } = ctx.attributes;
  if (group < 1) ctx.fail(`group must be at least 1, not ${group}.`);
  expectEqual(ctx, x[1], w[0], 'the channels of X and W');
  const outputs = w[1].mul(group);
  if (ctx.hasInput(2)) expectEqual(ctx, expectRank(ctx, 2, 1)[0], outputs, 'the sizes of B and of the output channels');
  const axes = spreadAxes(ctx, x.slice(2), w.slice(2));
  return { axes, shape: [x[0], outputs, ...axes.map(({ output }) => output)] };
}

/** How the taps of one axis are walked; `at` are the entries of the product's index that belong to the axis. */
interface TapWalk {
  /** Sizes that the axis has in the product: [output], or [phases, positions]. */
  readonly shape: readonly DimLike[];
  readonly taps: Dim;
  visit(at: readonly Expr[], tap: Expr): Visit;
  /** Where the product holds an output position. */
  locate(output: Expr): readonly Expr[];
}

/** One meeting of a kernel tap with an input pixel. */
interface Visit {
  readonly kernel: Expr;
  readonly position: Expr;
  /** Whether the pixel exists. */
  readonly inImage: Expr;
  /** Whether the tap exists; absent when it always does. */
  readonly inKernel?: Expr;
}

const within = (position: Expr, size: Dim): Expr => and(ge(position, 0), lt(position, dimension(size)));

/** Stride 1: every tap meets every output pixel. */
function walkAll({ input, output, kernel, dilation, padBegin }: SpreadAxis): TapWalk {
  return {
    shape: [output],
    taps: kernel,
    visit([y], tap) {
      const position = sub(add(y, dimension(padBegin)), mul(tap, dilation));
      return { kernel: tap, position, inImage: within(position, input) };
    },
    locate: (y) => [y],
  };
}

/** Phase r holds output pixels y with (y + padBegin) mod stride = r; they meet taps r, r + stride, … */
function walkPhases({ input, output, kernel, stride, padBegin }: SpreadAxis): TapWalk {
  const first = padBegin.floorDiv(stride);
  const positions = output.sub(1).add(padBegin).floorDiv(stride).sub(first).add(1);
  const divides = kernel.isMultipleOf(stride);
  return {
    shape: [stride, positions],
    taps: kernel.ceilDiv(stride),
    visit([phase, q], tap) {
      const position = sub(add(q, dimension(first)), tap);
      const at = add(mul(tap, stride), phase);
      const inKernel = divides ? undefined : lt(at, dimension(kernel));
      return { kernel: at, position, inImage: within(position, input), ...(inKernel && { inKernel }) };
    },
    locate(y) {
      const shifted = add(y, dimension(padBegin.sub(first.mul(stride))));
      return [mod(shifted, stride), div(shifted, stride)];
    },
  };
}

/** Stride and dilation: taps are tried one by one, and most of them miss. */
function walkSparse({ input, output, kernel, stride, dilation, padBegin }: SpreadAxis): TapWalk {
  return {
    shape: [output],
    taps: kernel,
    visit([y], tap) {
      const reach = sub(add(y, dimension(padBegin)), mul(tap, dilation));
      const position = div(reach, stride);
      const hits = and(ge(reach, 0), eq(mod(reach, stride), 0));
      return { kernel: tap, position, inImage: and(hits, lt(position, dimension(input))) };
    },
    locate: (y) => [y],
  };
}

function walkFor(axis: SpreadAxis): TapWalk {
  if (axis.stride === 1) return walkAll(axis);
  return axis.dilation === 1 ? walkPhases(axis) : walkSparse(axis);
}

function lowerConvTranspose(ctx: LowerContext & TransposeNode): Stage {
  const { axes, shape } = transposeGeometry(ctx);
  const [x, w] = [ctx.input(0), ctx.input(1)];
  const { group } = ctx.attributes;
  const [batch, outputs] = shape;
  const [channels, perGroup] = [w.shape[0].floorDiv(group), w.shape[1]];
  const walks = axes.map(walkFor);
  const taps = walks.map((walk) => walk.taps);
  const product = ctx.reduce(
    'sum',
    x.dtype,
    [batch, outputs, ...walks.flatMap((walk) => walk.shape)],
    [channels, ...taps],
    ([n, o, ...at], [c, ...tap]) => {
      let used = 0;
      const visits = walks.map((walk, axis) => {
        const own = at.slice(used, used + walk.shape.length);
        used += walk.shape.length;
        return walk.visit(own, tap[axis]);
      });
      const inImage = every(...visits.map((visit) => visit.inImage));
      const inKernel = every(...visits.map((visit) => visit.inKernel));
      const channel = group === 1 ? c : add(mul(div(o, dimension(perGroup)), dimension(channels)), c);
      const filter = group === 1 ? o : mod(o, dimension(perGroup));
      return mul(
        ctx.at(x, [n, channel, ...visits.map(({ position }) => position)], zeroUnless(inImage)),
        ctx.at(w, [channel, filter, ...visits.map(({ kernel }) => kernel)], zeroUnless(inKernel)),
      );
    },
  );
  const isInterleaved = walks.some((walk) => walk.shape.length > 1);
  const result = isInterleaved
    ? ctx.map(
        x.dtype,
        shape,
        ([n, o, ...at]) => ctx.at(product, [n, o, ...walks.flatMap((walk, axis) => walk.locate(at[axis]))]),
        'interleave',
      )
    : product;
  return addChannelBias(ctx, result, 2);
}

export const ConvTranspose = defineOperator({
  name: 'ConvTranspose',
  since: 1,
  attributes: { ...windowAttributes, group: int(1), output_padding: ints(), output_shape: ints() },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2);
    return [tensorType(dtype, transposeGeometry(ctx).shape)];
  },
  lower: (ctx) => lowerConvTranspose(ctx),
});
