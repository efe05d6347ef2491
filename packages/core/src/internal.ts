// '@onnx-ts/core/internal': parts for our own tools and tests. No promise of stability.

export type { Graph, GraphNode, Value } from './graph/graph.ts';
export type { ValueType } from './graph/types.ts';
export { typeText } from './graph/types.ts';
export { decodeValue } from './onnx/decode-value.ts';
export { domainOf, type ImportedModel, importModel, parseModel } from './onnx/import-model.ts';
export {
  codeOfDType,
  dtypeOfCode,
  importMap,
  importOptional,
  importSequence,
  importSparseTensor,
  importTensor,
} from './onnx/import-tensor.ts';
export { type WeightFile, WeightResolver } from './onnx/weights.ts';
export { FreshDims } from './ops/context.ts';
export { defaultRegistry, OperatorRegistry } from './ops/registry.ts';
export { assignNodes } from './partition/assign.ts';
export { prepareGraph } from './passes/prepare-graph.ts';
export { buildPartition } from './plan/partition-program.ts';
export { HostEvaluator } from './session/host-evaluator.ts';
export { hostInfo } from './session/host-info.ts';
export { loadModel } from './session/prepare-model.ts';
export { arrayTypeOf, dataLength, elementCount } from './session/tensor.ts';
