// '@onnx-ts/core/operators': what the author of a custom operator needs. A definition gives the operator's types and one
// meaning: `lower` (tensor expressions, on every code-generating provider), `expand` (ONNX nodes, on every provider),
// `evaluate` (a TypeScript function on the host). A hand-written kernel of a provider (`kernelPack`) comes before them.

export * from '@onnx-ts/tensor-ir';
export type { Value } from './graph/graph.ts';
export { type TensorType, tensorType, type ValueType } from './graph/types.ts';
export * from './ops/define.ts';
export type { DecodedImage, ImageDecoder } from './ops/image/image.ts';
export { type ImageFormat, imageDecoder } from './ops/image/image-decoder.ts';
export { Tensor } from './session/tensor.ts';
