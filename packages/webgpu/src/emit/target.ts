// What shaders are generated for: limits of the device, and sizes of tensors as far as they are known.

import { byteLength, type DimBinding, productOf, type TensorRef } from '@onnx-ts/tensor-ir';

export interface ShaderTarget {
  /** Storage buffers that a shader may bind: at least 8. */
  readonly storageBuffers: number;
  /** Those of them that must be left to tensors with several parts. */
  readonly reserved?: number;
  /** Bytes of a tensor that one binding holds: a tensor with more has several. A multiple of 256. */
  readonly partBytes: number;
  /** No graphics processor executes the shaders: compiling them costs more than running them. */
  readonly isSoftware?: boolean;
  /** Invocations of a subgroup can read each other's values, and know which subgroup they are in. */
  readonly subgroups?: boolean;
  /** Sizes come with the arguments even when they are known, so that kernels that differ in them alone share a shader. */
  readonly genericSizes?: boolean;
  /** Sizes that the shaders are for. Without them a tensor of unknown size is taken to fit into one binding. */
  readonly dims?: DimBinding;
}

/** Bytes that a tensor takes in memory, room to grow included; undefined when its size is not known. */
export function knownBytes({ shape, room, dtype }: TensorRef, dims: DimBinding | undefined): number | undefined {
  const size = productOf(room ?? shape);
  const count = dims ? size.evaluate(dims) : size.constant;
  return count === undefined ? undefined : byteLength(dtype, count);
}

/** Bindings that a tensor has. */
export function partsOf(tensor: TensorRef, { partBytes, dims }: ShaderTarget): number {
  return Math.max(1, Math.ceil((knownBytes(tensor, dims) ?? 0) / partBytes));
}
