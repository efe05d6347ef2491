// Removes nodes that change nothing: Identity, Dropout at inference, casts to the same type, reshapes to the same shape,
// slices of everything, pads of nothing.

import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { GraphPatch, removeDeadNodes } from '../graph/patch.ts';
import { contentsOf } from '../ops/context.ts';

/** The value that the only output of a node is equal to, if it is one of the inputs. */
function passedThrough(node: GraphNode): Value | undefined {
  if (node.domain !== '' || node.outputs.slice(1).some(Boolean)) return undefined;
  const [input] = node.inputs;
  const [output] = node.outputs;
  if (!input || !output) return undefined;
  switch (node.op) {
    case 'Identity':
      return input;
    case 'Dropout':
      return node.inputs[2] === undefined || contentsOf(node.inputs[2])?.[0].is(0) ? input : undefined;
    case 'Cast':
    case 'CastLike':
      return haveSameDType(input, output) ? input : undefined;
    case 'Transpose':
      return permutationOf(node)?.every((axis, at) => axis === at) ? input : undefined;
    case 'Reshape':
    case 'Flatten':
    case 'Expand':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Tile':
    case 'CenterCropPad':
      return haveSameShape(input, output) ? input : undefined;
    case 'Slice':
      return haveSameShape(input, output) && hasUnitSteps(node) ? input : undefined;
    case 'Pad':
      return paddings(node)?.every((count) => count === 0) ? input : undefined;
    case 'Concat':
      return onlyPart(node);
    case 'Split':
    case 'Sum':
    case 'Max':
    case 'Min':
    case 'Mean':
      return node.inputs.length === 1 && haveSameShape(input, output) ? input : undefined;
    default:
      return undefined;
  }
}

function haveSameDType(a: Value, b: Value): boolean {
  return a.type?.kind === 'tensor' && b.type?.kind === 'tensor' && a.type.dtype === b.type.dtype;
}

function haveSameShape(a: Value, b: Value): boolean {
  if (a.type?.kind !== 'tensor' || b.type?.kind !== 'tensor') return false;
  const [from, to] = [a.type.shape, b.type.shape];
  return from !== undefined && from.length === to?.length && from.every((dim, axis) => dim.equals(to[axis]));
}

/** Undefined for the default, which reverses the axes of a rank that may be unknown. */
function permutationOf(node: GraphNode): readonly number[] | undefined {
  const perm = node.attributes.get('perm');
  return perm?.type === 'ints' ? perm.value.map(Number) : undefined;
}

function numbersOf(value: Value | undefined): readonly (number | undefined)[] | undefined {
  return contentsOf(value)?.map((dim) => dim.constant);
}

function hasUnitSteps(node: GraphNode): boolean {
  return node.inputs[4] === undefined || numbersOf(node.inputs[4])?.every((step) => step === 1) === true;
}

function paddings(node: GraphNode): readonly (number | undefined)[] | undefined {
  if (node.inputs[1]) return numbersOf(node.inputs[1]);
  const attribute = node.attributes.get('pads') ?? node.attributes.get('paddings');
  return attribute?.type === 'ints' ? attribute.value.map(Number) : undefined;
}

/** The part of a Concat beside which all others add nothing. */
function onlyPart(node: GraphNode): Value | undefined {
  const attribute = node.attributes.get('axis');
  const axis = attribute?.type === 'int' ? Number(attribute.value) : 1;
  const parts = node.inputs.filter((input) => {
    const type = input?.type;
    return !(type?.kind === 'tensor' && type.shape?.at(axis)?.is(0));
  });
  return parts.length === 1 ? parts[0] : undefined;
}

/**
 * One graph in place, bodies left alone; tells whether something changed. A pass-through stays when its output and its
 * input are both outputs of the graph or given from outside, since the two must remain separate values.
 */
export function eliminateNodes(graph: Graph): boolean {
  const patch = new GraphPatch(graph);
  const outputs = new Set(graph.outputs);
  const produced = new Set(graph.nodes);
  for (const node of graph.nodes) {
    const input = passedThrough(node);
    const [target] = node.outputs;
    if (!input || !target) continue;
    const source = patch.replacementOf(input);
    if (outputs.has(target)) {
      if (!source.producer || !produced.has(source.producer) || outputs.has(source)) continue;
      outputs.add(source);
    }
    patch.replaceValue(target, source);
    patch.remove(node);
  }
  if (patch.isEmpty) return removeDeadNodes(graph);
  patch.apply();
  removeDeadNodes(graph);
  return true;
}
