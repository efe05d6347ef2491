// com.microsoft operators that have since become ONNX's own, and the like: thin variants of what other families describe.

import { add, Dim, mul, sub, toIndex } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { NotKnownYet } from '../context.ts';
import { defineOperator, derive, type ExpandContext, int, ints, required, string } from '../define.ts';
import { Identity } from '../elementwise.ts';
import { expectEqual, expectFloat, expectRank, expectSameType } from '../expect.ts';
import { Gather, GatherND as OnnxGatherND } from '../gather.ts';
import { GridSample16 } from '../grid-sample.ts';
import { Trilu as OnnxTrilu } from '../movement.ts';
import { Pad11 } from '../pad.ts';
import { knownIntegers } from '../small-tensor.ts';

const version = { domain: 'com.microsoft', since: 1 } as const;

export const GatherND = derive(OnnxGatherND, version);
export const GridSample = derive(GridSample16, version);
export const Pad = derive(Pad11, version);
export const SampleOp = derive(Identity, { ...version, name: 'SampleOp' });
export const Trilu = derive(OnnxTrilu, version);
/** Rows of an embedding table; the other inputs matter for training only. */
export const TorchEmbedding = derive(Gather, { ...version, name: 'TorchEmbedding' });

/** Windows of `size` elements along an axis, `step` apart, as a new last axis. */
export const UnfoldTensor = defineOperator({
  ...version,
  name: 'UnfoldTensor',
  attributes: { dim: int(-1), size: required(int()), step: int(1) },
  infer(ctx) {
    const shape = ctx.shape(0);
    const { dim, size, step } = ctx.attributes;
    if (size < 1 || step < 1) ctx.fail(`size and step must be at least 1, not ${size} and ${step}.`);
    const axis = ctx.axis(dim, shape.length);
    const windows = shape[axis].sub(size).floorDiv(step).add(1);
    if (windows.constant !== undefined && windows.constant < 1)
      ctx.fail(`axis ${axis} has fewer than ${size} elements.`);
    return [tensorType(ctx.dtype(0), [...shape.with(axis, windows), Dim.constant(size)])];
  },
  lower(ctx) {
    const axis = ctx.axis(ctx.attributes.dim, ctx.rank(0));
    return ctx.map(ctx.dtype(0), ctx.outputShape(0), (index) => {
      const place = add(mul(toIndex(index[axis]), ctx.attributes.step), toIndex(index[index.length - 1]));
      return ctx.at(0, index.slice(0, -1).with(axis, place));
    });
  },
});

/** Products of complex numbers, whose parts are the last axis. */
function complexProduct(name: string, conjugates: boolean) {
  return defineOperator({
    ...version,
    name,
    infer(ctx) {
      const dtype = expectSameType(ctx, 0, 1);
      expectFloat(ctx, 0);
      for (const input of [0, 1]) {
        const shape = expectRank(ctx, input, 1, Infinity);
        expectEqual(ctx, shape[shape.length - 1], Dim.constant(2), 'the last axis, real and imaginary part, and 2');
      }
      return [tensorType(dtype, ctx.broadcast(ctx.shape(0), ctx.shape(1)))];
    },
    lower(ctx) {
      const shape = ctx.outputShape(0);
      const parts = shape.length - 1;
      return ctx.segments(
        ctx.dtype(0),
        shape,
        parts,
        [0, 1].map((part) => ({
          length: 1,
          body: (index) => {
            const read = (input: number, at: number) => ctx.broadcastAt(input, index.with(parts, toIndex(at)), shape);
            const [re, im] = [0, 1].map((at) => mul(read(0, 0), read(1, at)));
            const [crossRe, crossIm] = [mul(read(0, 1), read(1, 1)), mul(read(0, 1), read(1, 0))];
            if (part === 0) return conjugates ? add(re, crossRe) : sub(re, crossRe);
            return conjugates ? sub(crossIm, im) : add(im, crossIm);
          },
        })),
      );
    },
  });
}

export const ComplexMul = complexProduct('ComplexMul', false);
/** The second operand is conjugated. */
export const ComplexMulConj = complexProduct('ComplexMulConj', true);

/** Whether every element of all inputs is finite; or only no infinity, or only no NaN. */
export const IsAllFinite = defineOperator({
  ...version,
  name: 'IsAllFinite',
  attributes: { isinf_only: int(0), isnan_only: int(0) },
  infer(ctx) {
    if (ctx.attributes.isinf_only && ctx.attributes.isnan_only)
      ctx.fail('isinf_only and isnan_only exclude each other.');
    for (let input = 0; input < ctx.inputCount; input++) expectFloat(ctx, input);
    return [tensorType('bool', [])];
  },
  expand(ctx) {
    const { isinf_only, isnan_only } = ctx.attributes;
    const bad = (x: Value): Value => {
      if (isinf_only) return ctx.op('IsInf', [x]);
      const nan = ctx.op('IsNaN', [x]);
      return isnan_only ? nan : ctx.op('Or', [nan, ctx.op('IsInf', [x])]);
    };
    const found = ctx.node.inputs.map((x) => ctx.op('ReduceMax', [bad(x!)], { keepdims: 0 }));
    return ctx.op('Not', [found.reduce((a, b) => ctx.op('Or', [a, b]))]);
  },
});

/** Distances between the rows of two matrices. */
export const CDist = defineOperator({
  ...version,
  name: 'CDist',
  attributes: { metric: string('sqeuclidean') },
  infer(ctx) {
    const { metric } = ctx.attributes;
    if (metric !== 'sqeuclidean' && metric !== 'euclidean') {
      ctx.fail(`the metric "${metric}" is not supported.`, 'Use euclidean or sqeuclidean.');
    }
    const [a, b] = [expectRank(ctx, 0, 2), expectRank(ctx, 1, 2)];
    return [tensorType(expectSameType(ctx, 0, 1), [a[0], b[0]])];
  },
  expand(ctx) {
    const axis = (at: number): Value => ctx.literal('int64', [at]);
    const [a, b] = [ctx.op('Unsqueeze', [ctx.value(0), axis(1)]), ctx.op('Unsqueeze', [ctx.value(1), axis(0)])];
    const squares = ctx.op('ReduceSumSquare', [ctx.op('Sub', [a, b]), axis(2)], { keepdims: 0 });
    return ctx.attributes.metric === 'euclidean' ? ctx.op('Sqrt', [squares]) : squares;
  },
});

/** ConvTranspose with the pads as an input. */
export const ConvTransposeWithDynamicPads = defineOperator({
  ...version,
  name: 'ConvTransposeWithDynamicPads',
  attributes: {
    auto_pad: string('NOTSET'),
    dilations: ints(),
    group: int(1),
    kernel_shape: ints(),
    output_padding: ints(),
    strides: ints(),
  },
  valueInputs: [2],
  infer(ctx) {
    const x = expectRank(ctx, 0, 3, Infinity);
    const w = expectRank(ctx, 1, x.length);
    const { dilations, group, output_padding, strides } = ctx.attributes;
    const pads = ctx.hasInput(2) ? knownIntegers(ctx, 2) : Array<number>(2 * (x.length - 2)).fill(0);
    const spatial = x.slice(2).map((size, axis) => {
      if (!pads) return ctx.freshDim('transposed');
      const extent = w[axis + 2].sub(1).mul(dilations?.[axis] ?? 1);
      const grown = size
        .sub(1)
        .mul(strides?.[axis] ?? 1)
        .add(extent)
        .add(1);
      return grown.add((output_padding?.[axis] ?? 0) - pads[axis] - pads[axis + x.length - 2]);
    });
    return [tensorType(expectSameType(ctx, 0, 1, 3), [x[0], w[1].mul(group), ...spatial])];
  },
  expand(ctx) {
    const pads = ctx.hasInput(2) ? padsOf(ctx) : undefined;
    const attributes = { ...Object.fromEntries(ctx.node.attributes), ...(pads && { pads }) };
    return ctx.op('ConvTranspose', [ctx.value(0), ctx.value(1), ctx.value(3)], attributes);
  },
});

function padsOf(ctx: ExpandContext): readonly number[] {
  const pads = knownIntegers(ctx, 2);
  if (!pads) throw new NotKnownYet('the pads');
  return pads;
}
