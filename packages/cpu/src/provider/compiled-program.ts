// What is left of a partition once its code is generated: all that loading and running it needs.

import type { KernelInfo, Tensor, Value } from '@onnx-ts/core/provider';
import type { AppendedTensor, Dim, Kernel, TensorRef } from '@onnx-ts/tensor-ir';
import type { ArgumentWord } from '../kernel/argument-words.ts';
import type { CompiledPhase } from '../kernel/compile-kernel.ts';
import type { ErrorSite } from '../kernel/plan.ts';

/** A phase of a kernel, with its function's place in the module's table. */
export type LaunchablePhase = Omit<CompiledPhase, 'function'> & { readonly tableIndex: number };

export interface LaunchableKernel {
  readonly kernel: Pick<Kernel, 'name' | 'params'> & { readonly outputs: readonly { readonly tensor: TensorRef }[] };
  /** The name of the template that it was given to, or its class. */
  readonly kind: string;
  readonly words: readonly ArgumentWord[];
  readonly scratchBytes: Dim;
  readonly errorSites: readonly ErrorSite[];
  readonly phases: readonly LaunchablePhase[];
  /** What reports say about it. `atLoad`: it runs once, when weights are loaded. */
  readonly describe: (atLoad: boolean) => KernelInfo;
}

export interface CompiledProgram {
  /** The partition's inputs that it reads. */
  readonly inputs: readonly Value[];
  /** Tensor of each of them, and of each output of the partition. */
  readonly tensors: ReadonlyMap<Value, TensorRef>;
  readonly constants: ReadonlyMap<TensorRef, Tensor>;
  /** See `FusedProgram`. */
  readonly locals: readonly TensorRef[];
  readonly aliases: ReadonlyMap<TensorRef, TensorRef>;
  /** In launch order. */
  readonly kernels: readonly LaunchableKernel[];
  readonly appends: readonly AppendedTensor[];
}
