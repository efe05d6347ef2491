// Types through the bodies of If, Loop and Scan. Bodies see the values around them, so they are inferred in place.

import { Dim } from '@onnx-ts/tensor-ir';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { bodiesOf } from '../graph/traverse.ts';
import { tensorType, typeText, type ValueType } from '../graph/types.ts';
import { type FreshDims, nodeError } from '../ops/context.ts';

type InferBody = (body: Graph) => void;

/** Body in an attribute. @throws OnnxTsError when it is missing */
export function bodyOf(node: GraphNode, name: string): Graph {
  const attribute = node.attributes.get(name);
  if (attribute?.type !== 'graph') throw nodeError(node, `the attribute "${name}" must be a graph.`);
  return attribute.value;
}

/** Sets the types of the node's outputs and of everything in its bodies. */
export function inferControl(node: GraphNode, fresh: FreshDims, inferBody: InferBody): void {
  const control = node.operator!.control;
  const types =
    control === 'if'
      ? inferIf(node, inferBody)
      : control === 'loop'
        ? inferLoop(node, fresh, inferBody)
        : inferScan(node, fresh, inferBody);
  const visible = visibleSymbols(node);
  for (const [at, output] of node.outputs.entries()) {
    if (!output) continue;
    if (at >= types.length) throw nodeError(node, `output ${at} ("${output.name}") is not an output of the body.`);
    output.type = types[at] && outerType(types[at], visible, fresh);
  }
}

/** Symbols that have a value outside of the bodies. */
function visibleSymbols(node: GraphNode): Set<string> {
  const symbols = new Set<string>();
  const collect = (value: Value | undefined): void => {
    const type = value?.type;
    if (type?.kind === 'tensor') for (const dim of type.shape ?? []) dim.symbols(symbols);
    for (const dim of value?.contents ?? []) dim.symbols(symbols);
  };
  node.inputs.forEach(collect);
  for (const body of bodiesOf(node)) body.captures.forEach(collect);
  return symbols;
}

/** Sizes that only the body knows become new symbols, bound when the node has run. */
function outerType(type: ValueType, visible: ReadonlySet<string>, fresh: FreshDims): ValueType {
  if (type.kind !== 'tensor' || !type.shape) return type;
  const shape = type.shape.map((dim) => ([...dim.symbols()].every((name) => visible.has(name)) ? dim : fresh.next('body')));
  return tensorType(type.dtype, shape);
}

/** What both types promise; sizes that differ become unknown. */
function mergeTypes(a: ValueType | undefined, b: ValueType | undefined, fresh: () => Dim): ValueType | undefined {
  if (!a || !b) return undefined;
  if (a.kind !== 'tensor' || b.kind !== 'tensor') return a;
  if (!a.shape || !b.shape || a.shape.length !== b.shape.length) return tensorType(a.dtype);
  const shape = a.shape.map((dim, axis) => (dim.equals(b.shape![axis]) ? dim : fresh()));
  return tensorType(a.dtype, shape);
}

let unknownCount = 0;
const unknownDim = (): Dim => Dim.symbol(`body-size#${unknownCount++}`);

function inferIf(node: GraphNode, inferBody: InferBody): (ValueType | undefined)[] {
  const branches = [bodyOf(node, 'then_branch'), bodyOf(node, 'else_branch')];
  branches.forEach(inferBody);
  const [a, b] = branches.map((branch) => branch.outputs.map((output) => output.type));
  if (a.length !== b.length) throw nodeError(node, `its branches have ${a.length} and ${b.length} outputs.`);
  return a.map((type, at) => {
    const other = b[at];
    if (type?.kind === 'tensor' && other?.kind === 'tensor' && type.dtype !== other.dtype) {
      throw nodeError(node, `output ${at} is ${typeText(type)} in one branch and ${typeText(other)} in the other.`);
    }
    return mergeTypes(type, other, unknownDim);
  });
}

/** Runs the inference of a body until the types of its carried values hold for every iteration. */
function settleCarried(
  body: Graph,
  inputs: readonly Value[],
  initial: readonly (ValueType | undefined)[],
  outputOf: (at: number) => Value,
  fresh: FreshDims,
  inferBody: InferBody,
): void {
  for (const [at, type] of initial.entries()) inputs[at].type = type ?? inputs[at].type;
  for (let round = 0; round < 4; round++) {
    inferBody(body);
    let stable = true;
    for (const [at, input] of inputs.entries()) {
      const before = input.type;
      const after = outputOf(at).type;
      if (before?.kind !== 'tensor' || !before.shape) continue;
      if (after?.kind !== 'tensor' || !after.shape || after.shape.length !== before.shape.length) {
        input.type = tensorType(before.dtype);
        stable = false;
        continue;
      }
      const shape = before.shape.map((dim, axis) => {
        if (dim.equals(after.shape![axis])) return dim;
        stable = false;
        return fresh.next('carried');
      });
      if (!stable) input.type = tensorType(before.dtype, shape);
    }
    if (stable) return;
  }
  for (const input of inputs) if (input.type?.kind === 'tensor') input.type = tensorType(input.type.dtype);
  inferBody(body);
}

function inferLoop(node: GraphNode, fresh: FreshDims, inferBody: InferBody): (ValueType | undefined)[] {
  const body = bodyOf(node, 'body');
  const [iteration, condition, ...carried] = body.inputs;
  if (!iteration || !condition) throw nodeError(node, 'its body needs the inputs iteration and condition.');
  const initial = node.inputs.slice(2).map((input) => input?.type);
  if (initial.length !== carried.length || body.outputs.length < 1 + carried.length) {
    throw nodeError(node, `it carries ${initial.length} values, its body ${carried.length}.`);
  }
  iteration.type = tensorType('int64', []);
  condition.type = tensorType('bool', []);
  settleCarried(body, carried, initial, (at) => body.outputs[at + 1], fresh, inferBody);
  const trips = fresh.next('trips');
  return [
    // After no iteration a carried value is the initial one, whose sizes may differ from the body's.
    ...carried.map((input, at) => mergeTypes(mergeTypes(initial[at], input.type, unknownDim), body.outputs[at + 1].type, unknownDim)),
    ...body.outputs.slice(1 + carried.length).map((output) => stacked(output.type, trips, 0)),
  ];
}

function stacked(type: ValueType | undefined, count: Dim, axis: number): ValueType | undefined {
  if (type?.kind !== 'tensor') return type;
  if (!type.shape) return tensorType(type.dtype);
  return tensorType(type.dtype, [...type.shape.slice(0, axis), count, ...type.shape.slice(axis)]);
}

/** Positions of scan axes; shared with the code that runs the node. */
export interface ScanLayout {
  readonly scanInputs: number;
  readonly states: number;
  readonly inputAxes: readonly number[];
  readonly outputAxes: readonly number[];
  readonly inputReversed: readonly boolean[];
  readonly outputReversed: readonly boolean[];
  /** Version 8: axis 0 of everything is a batch, and sequence lengths come first. */
  readonly batched: boolean;
}

export function scanLayout(node: GraphNode): ScanLayout {
  const list = (name: string, count: number): number[] => {
    const attribute = node.attributes.get(name);
    const given = attribute?.type === 'ints' ? attribute.value.map(Number) : [];
    return Array.from({ length: count }, (_, at) => given[at] ?? 0);
  };
  const batched = node.opset < 9;
  const count = node.attributes.get('num_scan_inputs');
  const scanInputs = count?.type === 'int' ? Number(count.value) : 0;
  const states = node.inputs.length - scanInputs - (batched ? 1 : 0);
  const scanOutputs = Math.max(0, bodyOf(node, 'body').outputs.length - states);
  if (scanInputs < 1 || states < 0) throw nodeError(node, `num_scan_inputs ${scanInputs} does not fit its inputs.`);
  return {
    scanInputs,
    states,
    inputAxes: list('scan_input_axes', scanInputs),
    outputAxes: list('scan_output_axes', scanOutputs),
    inputReversed: list(batched ? 'directions' : 'scan_input_directions', scanInputs).map(Boolean),
    outputReversed: list('scan_output_directions', scanOutputs).map(Boolean),
    batched,
  };
}

function inferScan(node: GraphNode, fresh: FreshDims, inferBody: InferBody): (ValueType | undefined)[] {
  const layout = scanLayout(node);
  const body = bodyOf(node, 'body');
  const { states, scanInputs, batched } = layout;
  const given = node.inputs.slice(batched ? 1 : 0).map((input) => input?.type);
  const unbatched = (type: ValueType | undefined): ValueType | undefined =>
    batched && type?.kind === 'tensor' && type.shape ? tensorType(type.dtype, type.shape.slice(1)) : type;
  let length: Dim | undefined;
  for (let at = 0; at < scanInputs; at++) {
    const type = unbatched(given[states + at]);
    if (type?.kind !== 'tensor') throw nodeError(node, `scan input ${at} must be a tensor.`);
    const input = body.inputs[states + at];
    if (!type.shape) {
      input.type = tensorType(type.dtype);
      continue;
    }
    const axis = normalise(node, layout.inputAxes[at], type.shape.length);
    length ??= type.shape[axis];
    input.type = tensorType(type.dtype, type.shape.filter((_, k) => k !== axis));
  }
  settleCarried(body, body.inputs.slice(0, states), given.slice(0, states).map(unbatched), (at) => body.outputs[at], fresh, inferBody);
  const batch = batched ? batchOf(given) : undefined;
  const withBatch = (type: ValueType | undefined) => (batch ? stacked(type, batch, 0) : type);
  const steps = length ?? fresh.next('steps');
  return body.outputs.map((output, at) => {
    if (at < states) return withBatch(mergeTypes(unbatched(given[at]), output.type, unknownDim));
    const rank = output.type?.kind === 'tensor' && output.type.shape ? output.type.shape.length + 1 : 1;
    return withBatch(stacked(output.type, steps, normalise(node, layout.outputAxes[at - states], rank)));
  });
}

function batchOf(types: readonly (ValueType | undefined)[]): Dim | undefined {
  for (const type of types) if (type?.kind === 'tensor' && type.shape) return type.shape[0];
  return undefined;
}

function normalise(node: GraphNode, axis: number, rank: number): number {
  const result = axis < 0 ? axis + rank : axis;
  if (result < 0 || result >= rank) throw nodeError(node, `the scan axis ${axis} is outside rank ${rank}.`);
  return result;
}

