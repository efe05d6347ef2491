// Nodes of one placement → a partition: what crosses its border, and its tensor program.

import {
  bodiesOf,
  elementAt,
  newTensorRef,
  type Program,
  type ProgramOutput,
  type Source,
  type Stage,
  type TensorRef,
  walk,
} from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode, Value } from '../graph/graph.ts';
import { nodeError, placeOf } from '../ops/context.ts';
import { ProgramLowering } from '../ops/lowering.ts';
import type { LoweredPartition, Partition } from '../provider/contract.ts';
import type { Tensor } from '../session/tensor.ts';
import { checkReads, type ReadCheck, unprovenReads } from './check-reads.ts';

export interface BuiltPartition extends Partition {
  /** Of a program that was lowered: the reads that only the sizes of a run can show to be right. */
  readonly reads: readonly ReadCheck[];
}

/** @param isNeeded values that somebody outside reads */
export function buildPartition(
  name: string,
  nodes: readonly GraphNode[],
  isNeeded: (value: Value) => boolean,
): BuiltPartition {
  const made = new Set<Value>();
  const inputs = new Set<Value>();
  const outputs: Value[] = [];
  for (const node of nodes) {
    for (const value of node.inputs) if (value && !made.has(value) && !value.constant) inputs.add(value);
    for (const value of node.outputs) {
      if (!value) continue;
      made.add(value);
      if (isNeeded(value)) outputs.push(value);
    }
  }
  const reads: ReadCheck[] = [];
  const lower = (): LoweredPartition => {
    const lowered = lowerNodes(nodes, outputs);
    reads.splice(0, Infinity, ...unprovenReads(lowered.program));
    checkReads(reads);
    return lowered;
  };
  return { name, nodes, inputs: [...inputs], outputs, lower, reads };
}

/**
 * One node's tensor expressions, for providers that must look inside before they take it.
 * @throws OnnxTsError when the node has no tensor form, or its lowering fails
 */
export function lowerNode(node: GraphNode): Program {
  const outputs = node.outputs.filter((value) => value !== undefined);
  return lowerNodes([node], outputs).program;
}

/** @throws OnnxTsError naming the node whose lowering fails */
function lowerNodes(nodes: readonly GraphNode[], outputs: readonly Value[]): LoweredPartition {
  const lowering = new ProgramLowering();
  for (const node of nodes) {
    try {
      lowering.lower(node);
    } catch (error) {
      if (OnnxTsError.is(error)) throw error;
      const what = `it could not be lowered: ${(error as Error).message}.`;
      throw new OnnxTsError('INTERNAL', what, { place: placeOf(node), cause: error });
    }
  }
  const tensors = new Map<Value, TensorRef>(lowering.inputs);
  const programOutputs = outputs.map((value): ProgramOutput => {
    const source = materialised(lowering, value);
    const tensor = newTensorRef(value.name, source.dtype, source.shape);
    tensors.set(value, tensor);
    return { tensor, source };
  });
  const constants = new Map<TensorRef, Tensor>();
  for (const [value, tensor] of lowering.constants) constants.set(tensor, value.constant!);
  const program: Program = {
    inputs: [...constants.keys(), ...lowering.inputs.values()],
    stages: lowering.builder.stages,
    outputs: programOutputs,
  };
  return { program: withoutDeadStages(program), inputs: [...lowering.inputs.keys()], constants, tensors };
}

/** An output that is an input or constant as it stands is copied: the two are separate buffers. */
function materialised(lowering: ProgramLowering, value: Value): Source {
  const source = lowering.sources.get(value);
  if (!source) throw nodeError(value.producer!, `"${value.name}" was not computed.`);
  if (source.kind !== 'tensor') return source;
  return lowering.builder.map(source.dtype, source.shape, (index) => elementAt(source, index));
}

/** Stages and inputs that reach no output are dropped. */
export function withoutDeadStages(program: Program): Program {
  const live = new Set<Source>(program.outputs.map((output) => output.source));
  const kept: Stage[] = [];
  for (let at = program.stages.length - 1; at >= 0; at--) {
    const stage = program.stages[at];
    if (!live.has(stage)) continue;
    kept.push(stage);
    if (stage.kind === 'view') live.add(stage.source);
    for (const { body } of bodiesOf(stage)) walk(body, (e) => e.kind === 'load' && live.add(e.source));
  }
  return { ...program, stages: kept.reverse() };
}

/** Symbols that any size in a partition depends on. */
export function partitionSymbols(nodes: readonly GraphNode[]): string[] {
  const symbols = new Set<string>();
  for (const node of nodes) {
    for (const value of [...node.inputs, ...node.outputs]) {
      if (value?.type?.kind === 'tensor') for (const dim of value.type.shape ?? []) dim.symbols(symbols);
      for (const dim of value?.contents ?? []) dim.symbols(symbols);
    }
  }
  return [...symbols].sort();
}
