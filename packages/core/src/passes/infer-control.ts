// Types through the bodies of If, Loop, Scan and SequenceMap. Bodies see the values around them, so they are inferred in
// place. A size that only a body knows gets a symbol of its own outside: it is bound there when the node has run.

import type { Dim } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { bodiesOf } from '../graph/traverse.ts';
import {
  collectSymbols,
  commonType,
  sameType,
  tensorType,
  typeText,
  type ValueType,
  withoutShape,
} from '../graph/types.ts';
import { contentsOf, type FreshDims, nodeError } from '../ops/context.ts';
import { bodyOf, scanLayout } from './control-layout.ts';

export interface ControlInference {
  readonly fresh: FreshDims;
  /**
   * Infers a body whose inputs have types.
   * @param settled whether the types are final: only then may constants be folded
   */
  inferBody(body: Graph, settled: boolean): void;
  /** Bodies around the node. */
  readonly depth: number;
}

/** Loops nested deeper than this carry no shapes: finding them takes a multiple of the time with each level. */
const deepestShapes = 6;

type Types = readonly (ValueType | undefined)[];

/**
 * Sets the types of the node's outputs and of everything in its bodies.
 * @param settled see `ControlInference.inferBody`
 */
export function inferControl(node: GraphNode, inference: ControlInference, settled: boolean): void {
  const condition = node.operator!.control === 'if' ? knownCondition(node) : undefined;
  if (condition !== undefined) {
    adoptBranch(node, condition, inference, settled);
    return;
  }
  const types = typesOf(node, inference, settled);
  const visible = visibleSymbols(node);
  for (const [at, output] of node.outputs.entries()) {
    if (!output) continue;
    if (at >= types.length) throw nodeError(node, `output ${at} ("${output.name}") is not an output of the body.`);
    const type = types[at];
    output.type = type && outerType(type, visible, (axis) => inference.fresh.of(node, `outer ${at} ${axis}`, 'body'));
    output.contents = node.operator!.control === 'if' ? commonContents(node, at, visible) : undefined;
  }
}

function typesOf(node: GraphNode, inference: ControlInference, settled: boolean): Types {
  switch (node.operator!.control!) {
    case 'if':
      return inferIf(node, inference, settled);
    case 'loop':
      return inferLoop(node, inference, settled);
    case 'scan':
      return inferScan(node, inference, settled);
    case 'sequence-map':
      return inferSequenceMap(node, inference, settled);
  }
}

/** Symbols that have a value outside of the bodies. */
function visibleSymbols(node: GraphNode): Set<string> {
  const symbols = new Set<string>();
  const collect = (value: Value | undefined): void => {
    collectSymbols(value?.type, symbols);
    for (const dim of value?.contents ?? []) dim.symbols(symbols);
  };
  node.inputs.forEach(collect);
  for (const body of bodiesOf(node)) body.captures.forEach(collect);
  return symbols;
}

function isVisible(dim: Dim, visible: ReadonlySet<string>): boolean {
  for (const name of dim.symbols()) if (!visible.has(name)) return false;
  return true;
}

/** The type without sizes that only the body knows. The items of a sequence, each of its own size, then have no shape. */
function outerType(type: ValueType, visible: ReadonlySet<string>, unknown: (axis: number) => Dim): ValueType {
  if (type.kind === 'tensor') {
    if (!type.shape) return type;
    return tensorType(
      type.dtype,
      type.shape.map((dim, axis) => (isVisible(dim, visible) ? dim : unknown(axis))),
    );
  }
  const symbols = new Set<string>();
  collectSymbols(type, symbols);
  return [...symbols].every((name) => visible.has(name)) ? type : withoutShape(type);
}

/** The condition of an If when it is known before the model runs. */
export function knownCondition(node: GraphNode): boolean | undefined {
  const [condition] = contentsOf(node.inputs[0]) ?? [];
  return condition?.constant === undefined ? undefined : condition.constant !== 0;
}

/** The one branch that is ever taken says all: the other need not even be valid. It will take the node's place. */
function adoptBranch(node: GraphNode, condition: boolean, { inferBody }: ControlInference, settled: boolean): void {
  const branch = bodyOf(node, condition ? 'then_branch' : 'else_branch');
  inferBody(branch, settled);
  for (const [at, output] of node.outputs.entries()) {
    const result = branch.outputs[at];
    if (!output) continue;
    if (!result) throw nodeError(node, `output ${at} ("${output.name}") is not an output of its branch.`);
    output.type = result.type;
    output.contents = result.contents;
    if (settled && result.constant) output.constant = result.constant;
  }
}

function inferIf(node: GraphNode, inference: ControlInference, settled: boolean): Types {
  const branches = [bodyOf(node, 'then_branch'), bodyOf(node, 'else_branch')];
  const [a, b] = branches;
  if (a.outputs.length !== b.outputs.length) {
    throw nodeError(node, `its branches have ${a.outputs.length} and ${b.outputs.length} outputs.`);
  }
  for (const branch of branches) inferBranch(branch, inference, settled);
  if (a.failure && b.failure) throw a.failure;
  return a.outputs.map(({ type }, at) => {
    const other = b.outputs[at].type;
    if (a.failure || b.failure) return a.failure ? other : type;
    if (!type || !other) return undefined;
    const common = commonType(type, other, (axis) => inference.fresh.of(node, `if ${at} ${axis}`, 'if'));
    if (!common) {
      throw nodeError(node, `output ${at} is ${typeText(type)} in one branch and ${typeText(other)} in the other.`);
    }
    return common;
  });
}

/** A branch that cannot run as it stands is no reason to refuse a model that may never take it. */
function inferBranch(branch: Graph, { inferBody }: ControlInference, settled: boolean): void {
  delete branch.failure;
  try {
    inferBody(branch, settled);
  } catch (error) {
    if (!OnnxTsError.is(error) || error.code !== 'INVALID_MODEL') throw error;
    branch.failure = error;
  }
}

/** Symbolic elements of an output of an If on which both branches agree. */
function commonContents(node: GraphNode, at: number, visible: ReadonlySet<string>): readonly Dim[] | undefined {
  const branches = [bodyOf(node, 'then_branch'), bodyOf(node, 'else_branch')].filter((branch) => !branch.failure);
  const [first, ...others] = branches.map((branch) => contentsOf(branch.outputs[at]));
  if (!first?.every((dim) => isVisible(dim, visible))) return undefined;
  const agrees = others.every(
    (other) => other?.length === first.length && other.every((dim, k) => dim.equals(first[k])),
  );
  return agrees ? first : undefined;
}

/** The type of a body input before the first iteration: as given, or what the body declares as far as it must hold. */
function entryType(given: ValueType | undefined, input: Value): ValueType | undefined {
  return given ?? (input.type && withoutShape(input.type));
}

/**
 * Finds types of carried values that hold for every iteration: an axis whose size an iteration may change gets a symbol
 * that is bound anew at each. Ends because an axis changes its type only once, and a rank is given up only once.
 */
function settleCarried(
  node: GraphNode,
  body: Graph,
  inputs: readonly Value[],
  initial: Types,
  outputOf: (at: number) => Value,
  { fresh, inferBody, depth }: ControlInference,
  settled: boolean,
): void {
  for (const [at, input] of inputs.entries()) {
    const type = entryType(initial[at], input);
    input.type = type && depth > deepestShapes ? withoutShape(type) : type;
  }
  for (let isStable = false; !isStable; ) {
    inferBody(body, false);
    isStable = true;
    for (const [at, input] of inputs.entries()) {
      const after = outputOf(at).type;
      const own = (axis: number): Dim => fresh.of(node, `carried ${at} ${axis}`, 'carried');
      const wider = input.type && after ? widened(input.type, after, own) : input.type && withoutShape(input.type);
      if (input.type && !wider) {
        throw nodeError(
          node,
          `the carried value "${input.name}" is ${typeText(input.type)} and then ${typeText(after)}.`,
        );
      }
      if (sameType(wider, input.type)) continue;
      input.type = wider;
      isStable = false;
    }
  }
  if (settled) inferBody(body, true);
}

/** `before` made to hold for `after`, too. An axis that is bound anew at each iteration already holds for any size. */
function widened(before: ValueType, after: ValueType, own: (axis: number) => Dim): ValueType | undefined {
  if (before.kind === 'optional' && after.kind !== 'optional') {
    // What an optional holds stands for it everywhere.
    const element = widened(before.element, after, own);
    return element && { kind: 'optional', element };
  }
  if (before.kind !== 'tensor' || after.kind !== 'tensor') return commonType(before, after, own);
  if (before.dtype !== after.dtype) return undefined;
  if (!before.shape || !after.shape || before.shape.length !== after.shape.length) return tensorType(before.dtype);
  const shape = before.shape.map((dim, axis) => (dim.equals(after.shape![axis]) ? dim : own(axis)));
  return tensorType(before.dtype, shape);
}

function inferLoop(node: GraphNode, inference: ControlInference, settled: boolean): Types {
  const { fresh } = inference;
  const body = bodyOf(node, 'body');
  const [iteration, condition, ...carried] = body.inputs;
  if (!iteration || !condition) throw nodeError(node, 'its body needs the inputs iteration and condition.');
  const initial = Array.from({ length: Math.max(0, node.inputs.length - 2) }, (_, at) => node.inputs[at + 2]?.type);
  if (initial.length !== carried.length || body.outputs.length < 1 + carried.length) {
    throw nodeError(node, `it carries ${initial.length} values, its body ${carried.length}.`);
  }
  iteration.type = tensorType('int64', []);
  condition.type = tensorType('bool', []);
  settleCarried(node, body, carried, initial, (at) => body.outputs[at + 1], inference, settled);
  const trips = fresh.of(node, 'trips', 'trips');
  return [
    // After no iteration a carried value is the initial one; after some, what the body gives.
    ...carried.map((input, at) => {
      const unknown = (axis: number): Dim => fresh.of(node, `carried out ${at} ${axis}`, 'loop');
      const [before, after] = [entryType(initial[at], input), body.outputs[at + 1].type];
      return before?.kind === 'optional' && after?.kind !== 'optional' ? after : commonType(before, after, unknown);
    }),
    ...body.outputs.slice(1 + carried.length).map((output) => stacked(output.type, trips, 0)),
  ];
}

function stacked(type: ValueType | undefined, count: Dim, axis: number): ValueType | undefined {
  if (type?.kind !== 'tensor') return type;
  return tensorType(type.dtype, type.shape?.toSpliced(axis, 0, count));
}

function inferScan(node: GraphNode, inference: ControlInference, settled: boolean): Types {
  const { fresh } = inference;
  const layout = scanLayout(node);
  const body = bodyOf(node, 'body');
  const { states, scanInputs, batched } = layout;
  const given = node.inputs.slice(batched ? 1 : 0).map((input) => input?.type);
  if (given.length !== body.inputs.length) {
    throw nodeError(node, `it has ${given.length} states and scan inputs, its body ${body.inputs.length} inputs.`);
  }
  const unbatched = (type: ValueType | undefined): ValueType | undefined =>
    batched && type?.kind === 'tensor' ? tensorType(type.dtype, type.shape?.slice(1)) : type;
  let length: Dim | undefined;
  for (let at = 0; at < scanInputs; at++) {
    const type = unbatched(given[states + at]);
    const input = body.inputs[states + at];
    if (!type) {
      input.type = entryType(type, input);
      continue;
    }
    if (type.kind !== 'tensor') throw nodeError(node, `scan input ${at} must be a tensor.`);
    const axis = type.shape && axisOf(node, layout.inputAxes[at], type.shape.length);
    if (axis !== undefined) length ??= type.shape![axis];
    input.type = tensorType(type.dtype, axis === undefined ? undefined : type.shape!.toSpliced(axis, 1));
  }
  const initial = given.slice(0, states).map(unbatched);
  settleCarried(node, body, body.inputs.slice(0, states), initial, (at) => body.outputs[at], inference, settled);
  const batch = batched ? batchOf(given) : undefined;
  const withBatch = (type: ValueType | undefined) => (batch ? stacked(type, batch, 0) : batched ? undefined : type);
  const steps = length ?? fresh.of(node, 'steps', 'steps');
  return body.outputs.map(({ type }, at) => {
    if (at < states) {
      const unknown = (axis: number): Dim => fresh.of(node, `state out ${at} ${axis}`, 'scan');
      return withBatch(commonType(entryType(initial[at], body.inputs[at]), type, unknown));
    }
    const rank = type?.kind === 'tensor' && type.shape ? type.shape.length + 1 : undefined;
    const axis = rank === undefined ? 0 : axisOf(node, layout.outputAxes[at - states], rank);
    return withBatch(stacked(type, steps, axis));
  });
}

function batchOf(types: Types): Dim | undefined {
  for (const type of types) if (type?.kind === 'tensor' && type.shape) return type.shape[0];
  return undefined;
}

/** @throws OnnxTsError when the axis lies outside the rank */
function axisOf(node: GraphNode, axis: number, rank: number): number {
  const result = axis < 0 ? axis + rank : axis;
  if (result < 0 || result >= rank) throw nodeError(node, `the scan axis ${axis} is outside rank ${rank}.`);
  return result;
}

/** The body sees one item of every sequence; a tensor is seen as a whole, each time. */
function inferSequenceMap(node: GraphNode, { inferBody }: ControlInference, settled: boolean): Types {
  const body = bodyOf(node, 'body');
  if (node.inputs.length !== body.inputs.length) {
    throw nodeError(node, `it has ${node.inputs.length} inputs, its body ${body.inputs.length}.`);
  }
  for (const [at, input] of body.inputs.entries()) {
    const given = node.inputs[at]?.type;
    if (at === 0 && given && given.kind !== 'sequence') throw nodeError(node, 'its first input must be a sequence.');
    input.type = given?.kind === 'sequence' ? given.element : entryType(given, input);
  }
  inferBody(body, settled);
  return body.outputs.map(({ type }): ValueType | undefined => type && { kind: 'sequence', element: type });
}
