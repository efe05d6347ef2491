// Tensors that come from attributes, shapes or counting: Constant, ConstantOfShape, Range.

import {
  add,
  cast,
  constant,
  Dim,
  decodeFloat,
  type Expr,
  getPacked,
  isPacked,
  isSmallFloat,
  mul,
} from '@onnx-ts/tensor-ir';
import type { SparseTensor } from '../graph/graph.ts';
import { tensorType } from '../graph/types.ts';
import { denseTensor } from '../onnx/sparse-tensor.ts';
import { Tensor } from '../session/tensor.ts';
import { computeType } from './compute-type.ts';
import { constantContents } from './context.ts';
import { defineOperator, type NodeContext, sparseTensor, tensor } from './define.ts';
import { expectRank } from './expect.ts';
import { freshShape, plainNumbers, tabulate } from './small-tensor.ts';

/** The tensor in whichever `value…` attribute the node has. */
export const Constant = defineOperator({
  name: 'Constant',
  since: 1,
  attributes: { value: tensor(), sparse_value: sparseTensor() },
  infer(ctx) {
    const { type, dims } = constantValue(ctx);
    return [
      tensorType(
        type,
        dims.map((size) => Dim.constant(size)),
      ),
    ];
  },
  // A body is inferred before anything in it is folded.
  contents: (ctx) => constantContents(constantValue(ctx)),
  evaluate: constantValue,
});

type ConstantNode = NodeContext & {
  readonly attributes: {
    readonly value: Tensor | undefined;
    readonly sparse_value: SparseTensor | undefined;
  };
};

function constantValue(ctx: ConstantNode): Tensor {
  const { value, sparse_value } = ctx.attributes;
  if (value) return value;
  if (sparse_value) return denseTensor(sparse_value);
  // Read as they are: integers beyond 2^53 are bigints.
  for (const attribute of ctx.node.attributes.values()) {
    switch (attribute.type) {
      case 'int':
        return new Tensor('int64', BigInt64Array.of(BigInt(attribute.value)), []);
      case 'ints':
        return new Tensor('int64', BigInt64Array.from(attribute.value, BigInt), [attribute.value.length]);
      case 'float':
        return new Tensor('float32', Float32Array.of(attribute.value), []);
      case 'floats':
        return new Tensor('float32', Float32Array.from(attribute.value), [attribute.value.length]);
      case 'string':
        return new Tensor('string', [attribute.value], []);
      case 'strings':
        return new Tensor('string', [...attribute.value], [attribute.value.length]);
    }
  }
  return ctx.fail('it has no attribute with a value.');
}

/** A number that is not a 64-bit integer or string, whatever it is stored as. */
function firstNumber(tensor: Tensor): number | bigint {
  const { type, data } = tensor;
  if (isPacked(type)) return getPacked(type, data as Uint8Array, 0);
  if (isSmallFloat(type)) return decodeFloat(type, data[0] as number);
  return data[0] as number | bigint;
}

/** One value, by default float32 0, in the shape that the input lists. */
export const ConstantOfShape = defineOperator({
  name: 'ConstantOfShape',
  since: 9,
  attributes: { value: tensor() },
  valueInputs: [0],
  infer(ctx) {
    const { value } = ctx.attributes;
    if (value && value.size !== 1) ctx.fail(`the attribute "value" must have one element, not ${value.size}.`);
    const dtype = value?.type ?? 'float32';
    expectRank(ctx, 0, 1);
    const shape = ctx.contents(0);
    if (shape?.some((size) => size.constant !== undefined && size.constant < 0)) ctx.fail('a size is negative.');
    if (shape) return [tensorType(dtype, shape)];
    const length = ctx.shape(0)[0]?.constant;
    return [tensorType(dtype, length === undefined ? undefined : freshShape(ctx, length, 'constant'))];
  },
  contents(ctx) {
    const dims = plainNumbers(ctx.contents(0));
    const value = ctx.attributes.value ? firstNumber(ctx.attributes.value) : 0;
    return dims && Number.isSafeInteger(Number(value)) ? tabulate(dims, () => Dim.constant(Number(value))) : undefined;
  },
  lower(ctx) {
    const { value } = ctx.attributes;
    const dtype = ctx.outputDType(0);
    const element = constant(dtype, value ? firstNumber(value) : 0);
    return ctx.map(dtype, ctx.outputShape(0), () => element);
  },
});

/** start, start + delta, … up to but not including limit. */
export const Range = defineOperator({
  name: 'Range',
  since: 11,
  valueInputs: [0, 1, 2],
  infer: (ctx) => [tensorType(ctx.dtype(0), [rangeLength(ctx) ?? ctx.freshDim('range')])],
  contents(ctx) {
    const length = rangeLength(ctx)?.constant;
    const [start, delta] = [sizeOf(ctx, 0), sizeOf(ctx, 2)];
    if (length === undefined || !start || !delta) return undefined;
    return tabulate([length], ([at]) => start.add(delta.mul(at)));
  },
  lower(ctx) {
    const dtype = ctx.outputDType(0);
    const wide = computeType(dtype);
    const start = cast(wide, ctx.scalar(0));
    const delta = ctx.hasInput(2) ? cast(wide, ctx.scalar(2)) : undefined;
    return ctx.map(dtype, ctx.outputShape(0), ([position]) => {
      const steps: Expr = cast(wide, position);
      return cast(dtype, add(start, delta ? mul(steps, delta) : steps));
    });
  },
});

/** A scalar integer input as far as symbols can say it. A missing delta (com.microsoft) is 1. */
function sizeOf(ctx: NodeContext, input: number): Dim | undefined {
  if (!ctx.hasInput(input)) return Dim.constant(1);
  return ctx.contents(input)?.[0];
}

function numberOf(ctx: NodeContext, input: number): number | undefined {
  if (!ctx.hasInput(input)) return 1;
  const tensor = ctx.constant(input);
  return tensor?.size === 1 ? Number(firstNumber(tensor)) : undefined;
}

/** max(0, ⌈(limit − start) / delta⌉) */
function rangeLength(ctx: NodeContext): Dim | undefined {
  const [start, limit, delta] = [sizeOf(ctx, 0), sizeOf(ctx, 1), sizeOf(ctx, 2)];
  if (delta?.is(0)) ctx.fail('delta is 0.');
  if (start && limit && delta?.constant !== undefined) {
    const step = delta.constant;
    const distance = step > 0 ? limit.sub(start) : start.sub(limit);
    return distance.ceilDiv(Math.abs(step)).max(0);
  }
  const [first, end, step] = [numberOf(ctx, 0), numberOf(ctx, 1), numberOf(ctx, 2)];
  if (first === undefined || end === undefined || step === undefined) return undefined;
  const length = Math.max(0, Math.ceil((end - first) / step));
  return Number.isSafeInteger(length) ? Dim.constant(length) : ctx.fail(`it would have ${length} elements.`);
}
