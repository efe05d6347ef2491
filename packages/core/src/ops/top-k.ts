// TopK: the k greatest or least elements of each row. Of equal ones the first comes first; NaN counts as the greatest.

import { Dim, type DType } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { elementCount, Tensor } from '../session/tensor.ts';
import {
  type AttributeSpecs,
  defineOperator,
  type HostValue,
  type InferContext,
  int,
  type NodeContext,
  type OperatorDefinition,
  required,
} from './define.ts';
import { expectRank } from './expect.ts';
import { int64Tensor } from './host-elements.ts';
import { firstPlacesOf } from './ordered-positions.ts';
import { numbers, requireDType } from './pointwise.ts';

/** Values and indices of the top k along an axis, in sorted order. */
function topK(context: NodeContext, tensor: Tensor, axis: number, k: number, largest: boolean): readonly HostValue[] {
  const size = tensor.dims[axis];
  if (!(k >= 0 && k <= size)) context.fail(`k is ${k}, but axis ${axis} has ${size} elements.`);
  const step = elementCount(tensor.dims.slice(axis + 1));
  const outer = elementCount(tensor.dims.slice(0, axis));
  const firstPlaces = firstPlacesOf(tensor);
  const dims = tensor.dims.with(axis, k);
  const data = tensor.data as Float32Array;
  const picked = data.slice(0, elementCount(dims));
  const indices = new Float64Array(picked.length);
  for (let row = 0; row < outer; row++) {
    for (let lane = 0; lane < step; lane++) {
      const start = row * size * step + lane;
      const places = firstPlaces({ start, step, count: size }, k, largest);
      for (let at = 0; at < k; at++) {
        const target = (row * k + at) * step + lane;
        picked[target] = data[start + places[at] * step];
        indices[target] = places[at];
      }
    }
  }
  return [new Tensor(tensor.type, picked, dims), int64Tensor(indices, dims)];
}

function inferTopK(context: InferContext, given: number, k: Dim | undefined) {
  const dtype: DType = requireDType(context, 0, numbers);
  const shape = expectRank(context, 0, 1, Infinity);
  const axis = context.axis(given, shape.length);
  const [count, size] = [k?.constant, shape[axis].constant];
  if (count !== undefined && (count < 0 || (size !== undefined && count > size))) {
    context.fail(`k is ${count}, but axis ${axis} has ${size ?? 'at least 0'} elements.`);
  }
  const kept = shape.with(axis, k ?? context.freshDim('k'));
  return [tensorType(dtype, kept), tensorType('int64', kept)];
}

export const TopK1 = defineOperator({
  name: 'TopK',
  since: 1,
  attributes: { axis: int(-1), k: required(int()) },
  infer: (context) => inferTopK(context, context.attributes.axis, Dim.constant(context.attributes.k)),
  evaluate(context) {
    const { axis, k } = context.attributes;
    return topK(context, context.tensor(0), context.axis(axis, context.rank(0)), k, true);
  },
});

function topKByInput<const S extends AttributeSpecs>(
  since: number,
  attributes: S,
  choice: (context: NodeContext<S>) => { readonly axis: number; readonly largest: boolean },
): OperatorDefinition {
  return defineOperator<S>({
    name: 'TopK',
    since,
    attributes,
    infer(context) {
      requireDType(context, 1, ['int64']);
      return inferTopK(context, choice(context).axis, context.contents(1)?.[0]);
    },
    evaluate(context) {
      const { axis, largest } = choice(context);
      const [k] = context.tensor(1).toNumberArray();
      return topK(context, context.tensor(0), context.axis(axis, context.rank(0)), k, largest);
    },
  });
}

export const TopK10 = topKByInput(10, { axis: int(-1) }, (context) => ({ ...context.attributes, largest: true }));

/** `sorted=0` allows any order; this gives the sorted one. */
export const TopK11 = topKByInput(11, { axis: int(-1), largest: int(1), sorted: int(1) }, (context) => ({
  axis: context.attributes.axis,
  largest: context.attributes.largest !== 0,
}));
