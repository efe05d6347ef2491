// What types could only promise is checked when a run has given the symbols values, before anything is computed.

import type { DimBinding } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode, SizeRequirement } from '../graph/graph.ts';
import { placeOf } from '../ops/context.ts';
import { elementCount } from '../session/tensor.ts';

/**
 * @param nodes with inferred types
 * @throws OnnxTsError INVALID_INPUT that names the first node whose sizes do not fit, OUT_OF_MEMORY for sizes that nothing
 *   can address
 */
export function checkSizes(nodes: readonly GraphNode[], binding: DimBinding): void {
  for (const node of nodes) {
    for (const requirement of node.requirements ?? []) checkRequirement(node, requirement, binding);
    for (const output of node.outputs) {
      if (output?.type?.kind === 'tensor' && output.type.shape) checkShape(node, output.type.shape, binding);
    }
  }
}

function checkRequirement(node: GraphNode, { a, b, broadcasts, what }: SizeRequirement, binding: DimBinding): void {
  const [left, right] = [evaluate(node, a, binding), evaluate(node, b, binding)];
  if (left === right || (broadcasts && left === 1)) return;
  const rule = broadcasts ? 'must agree or be 1' : 'must agree';
  fail(node, `${what} ${rule}, but ${valueText(a, left)} and ${valueText(b, right)} differ.`, binding);
}

type Shape = readonly SizeRequirement['a'][];

function checkShape(node: GraphNode, shape: Shape, binding: DimBinding): void {
  const dims = shape.map((dim) => evaluate(node, dim, binding));
  const negative = dims.findIndex((size) => size < 0);
  if (negative >= 0) {
    fail(
      node,
      `axis ${negative} of its result would have the size ${valueText(shape[negative], dims[negative])}.`,
      binding,
    );
  }
  if (Number.isSafeInteger(elementCount(dims))) return;
  throw new OnnxTsError(
    'OUT_OF_MEMORY',
    `its result of dims [${dims.join(', ')}] has more elements than can be counted.`,
    {
      place: placeOf(node),
    },
  );
}

function evaluate(node: GraphNode, dim: SizeRequirement['a'], binding: DimBinding): number {
  try {
    return dim.evaluate(binding);
  } catch (error) {
    return fail(node, `its sizes do not fit: ${(error as Error).message}.`, binding);
  }
}

function valueText(dim: SizeRequirement['a'], value: number): string {
  return dim.constant === undefined ? `${dim} = ${value}` : String(value);
}

function fail(node: GraphNode, what: string, binding: DimBinding): never {
  const named = [...binding].filter(([name]) => !name.includes('#')).map(([name, size]) => `${name} = ${size}`);
  throw new OnnxTsError('INVALID_INPUT', what, {
    place: placeOf(node),
    hint: named.length > 0 ? `The inputs give ${named.join(', ')}.` : 'Check the sizes of the inputs.',
  });
}
