// '@onnx-ts/core/provider': what the author of a provider needs.

export { OnnxTsError } from '../errors.ts';
export type { GraphNode, Value } from '../graph/graph.ts';
export type { ValueType } from '../graph/types.ts';
export { type Work, workOfKernel } from '../partition/cost.ts';
export { type LifeTime, type MemoryPlan, planMemory } from '../plan/memory-plan.ts';
export { lowerNode } from '../plan/partition-program.ts';
export { arrayTypeOf, dataLength, Tensor } from '../session/tensor.ts';
export { bytesOf, indexError } from './code-generation.ts';
export type * from './contract.ts';
export { HostBuffer, HostMemory } from './host-memory.ts';
export { type KernelCall, type KernelPackOptions, kernelPack, type PackedKernel } from './kernel-pack.ts';
