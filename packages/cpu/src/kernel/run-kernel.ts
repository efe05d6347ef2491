// Runs one kernel by itself on one thread: for tests, and to look at the code of a kernel.

import {
  allocateBuffer,
  bitsOf,
  byteLength,
  type DimBinding,
  type Kernel,
  type TensorBuffer,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { HelperFunctions } from '../emit/context.ts';
import { control } from '../runtime/control-block.ts';
import { importLinearMemory } from '../runtime/driver.ts';
import { defineErrorReport } from '../runtime/kernel-error.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { type CompiledKernel, type CompileTarget, compileKernel } from './compile-kernel.ts';

export interface LoadedKernel {
  readonly compiled: CompiledKernel;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Puts inputs into memory; call `launch` as often as wanted, then `read`. */
  prepare(inputs: ReadonlyMap<TensorRef, TensorBuffer>, binding: DimBinding, options?: PrepareOptions): PreparedKernel;
}

export interface PrepareOptions {
  /** Outputs that share memory with a param. */
  readonly aliases?: ReadonlyMap<TensorRef, TensorRef>;
  /** Tiles per call; default: all. */
  readonly grain?: number;
}

export interface PreparedKernel {
  launch(): void;
  read(tensor: TensorRef): TensorBuffer;
  /** Sites of errors reported since the start. */
  error(): number | undefined;
  /** True when bytes beside the outputs were written. */
  hasStrayWrites(): boolean;
}

const GUARD_BYTES = 64;
const GUARD_VALUE = 0x5a;

/** @param compile how the kernel becomes code; a template in place of the scheduler */
export function loadKernel(
  kernel: Kernel,
  compile: (target: CompileTarget) => CompiledKernel = (target) => compileKernel(kernel, target),
): LoadedKernel {
  const module = new ModuleBuilder({ names: true });
  importLinearMemory(module, false);
  const reportError = defineErrorReport(module, { threads: false });
  const compiled = compile({ module, helpers: new HelperFunctions(module), reportError });
  for (const [at, phase] of compiled.phases.entries()) module.export(`phase${at}`, phase.function);
  const bytes = module.toBytes();
  const compiledModule = new WebAssembly.Module(bytes);
  return {
    compiled,
    bytes,
    prepare: (inputs, binding, options = {}) => prepare(kernel, compiled, compiledModule, inputs, binding, options),
  };
}

function prepare(
  kernel: Kernel,
  compiled: CompiledKernel,
  module: WebAssembly.Module,
  inputs: ReadonlyMap<TensorRef, TensorBuffer>,
  binding: DimBinding,
  { aliases, grain }: PrepareOptions,
): PreparedKernel {
  let top = 65536;
  const take = (bytes: number): number => {
    const at = top + GUARD_BYTES;
    top = (at + bytes + GUARD_BYTES + 15) & ~15;
    return at;
  };
  const tensors = new Map<TensorRef, { at: number; bytes: number }>();
  const place = (tensor: TensorRef): void => {
    const bytes = byteLength(tensor.dtype, countOf(dimsOf(tensor, binding)));
    tensors.set(tensor, { at: take(bytes), bytes });
  };
  kernel.params.forEach(place);
  for (const { tensor } of kernel.outputs) {
    const alias = aliases?.get(tensor);
    if (alias) tensors.set(tensor, tensors.get(alias)!);
    else place(tensor);
  }
  const args = take(compiled.words.length * 4);
  const scratch = take(Math.max(64, compiled.scratchBytes.evaluate(binding)) + 64) + 64;
  const memory = new WebAssembly.Memory({ initial: Math.ceil(top / 65536) + 1, maximum: 65536 });
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const all = new Uint8Array(memory.buffer);
  all.fill(GUARD_VALUE, 65536, top);
  for (const [tensor, buffer] of inputs) {
    const memoryOf = tensors.get(tensor);
    if (memoryOf) write(all, memoryOf.at, tensor, buffer);
  }
  const words = new Int32Array(memory.buffer, args, compiled.words.length);
  for (const [at, word] of compiled.words.entries()) {
    if (word.kind === 'tensor') words[at] = tensors.get(word.tensor)!.at;
    else words[at] = word.kind === 'dim' ? word.dim.evaluate(binding) : 0;
  }
  const launches = compiled.phases.map((phase, at) => ({
    run: instance.exports[`phase${at}`] as (args: number, begin: number, end: number, scratch: number) => void,
    tiles: phase.tiles.evaluate(binding),
  }));
  return {
    launch() {
      for (const { run, tiles } of launches) {
        const step = grain ?? Math.max(1, tiles);
        for (let tile = 0; tile < tiles; tile += step) run(args, tile, Math.min(tiles, tile + step), scratch);
      }
    },
    read(tensor) {
      const { at } = tensors.get(tensor)!;
      return read(all, at, tensor, binding);
    },
    error() {
      const view = new Int32Array(memory.buffer);
      return view[control.errorCode / 4] === 0 ? undefined : view[control.errorDetails / 4];
    },
    hasStrayWrites() {
      for (const { at, bytes } of tensors.values()) {
        for (let i = 0; i < GUARD_BYTES; i++) {
          if (all[at - 1 - i] !== GUARD_VALUE || all[at + bytes + i] !== GUARD_VALUE) return true;
        }
      }
      return false;
    },
  };
}

function dimsOf(tensor: TensorRef, binding: DimBinding): number[] {
  return tensor.shape.map((dim) => dim.evaluate(binding));
}

/** For each element in row-major order, its place in the tensor's physical order. */
function* places(tensor: TensorRef, dims: readonly number[]): Generator<number> {
  const order = tensor.order ?? dims.map((_, axis) => axis);
  const strides: number[] = [];
  let stride = 1;
  for (const axis of [...order].reverse()) {
    strides[axis] = stride;
    stride *= dims[axis];
  }
  const index = dims.map(() => 0);
  const count = countOf(dims);
  for (let i = 0; i < count; i++) {
    yield index.reduce((sum, position, axis) => sum + position * strides[axis], 0);
    for (let axis = dims.length - 1; axis >= 0 && ++index[axis] === dims[axis]; axis--) index[axis] = 0;
  }
}

function bytesOf(buffer: TensorBuffer): Uint8Array {
  if (Array.isArray(buffer.data)) throw new TypeError('kernels have no strings');
  return new Uint8Array(buffer.data.buffer, buffer.data.byteOffset, buffer.data.byteLength);
}

function write(all: Uint8Array, at: number, tensor: TensorRef, buffer: TensorBuffer): void {
  const source = bytesOf(buffer);
  if (!tensor.order) {
    all.set(source, at);
    return;
  }
  const size = bitsOf(tensor.dtype) / 8;
  let i = 0;
  for (const place of places(tensor, buffer.dims)) {
    all.set(source.subarray(i, i + size), at + place * size);
    i += size;
  }
}

function read(all: Uint8Array, at: number, tensor: TensorRef, binding: DimBinding): TensorBuffer {
  const buffer = allocateBuffer(tensor.dtype, dimsOf(tensor, binding));
  const target = bytesOf(buffer);
  if (!tensor.order) {
    target.set(all.subarray(at, at + target.length));
    return buffer;
  }
  const size = bitsOf(tensor.dtype) / 8;
  let i = 0;
  for (const place of places(tensor, buffer.dims)) {
    target.set(all.subarray(at + place * size, at + (place + 1) * size), i);
    i += size;
  }
  return buffer;
}

function countOf(dims: readonly number[]): number {
  return dims.reduce((count, size) => count * size, 1);
}
