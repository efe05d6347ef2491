// An executable bound to concrete sizes: arguments, intermediate buffers, bind groups and grids.

import { bytesOf, type LifeTime, OnnxTsError, type RunContext } from '@onnx-ts/core/provider';
import type { DimBinding, TensorRef } from '@onnx-ts/tensor-ir';
import { knownBytes, partsOf } from '../emit/target.ts';
import { compileShaders } from './compile-shaders.ts';
import type { LaunchableDispatch, LaunchableKernel, WebGpuExecutable } from './executable.ts';
import type { GpuBuffer } from './gpu-buffer.ts';
import { encodeCopy } from './gpu-memory.ts';
import { LaunchTimer } from './launch-timer.ts';

interface PlannedDispatch {
  readonly dispatch: LaunchableDispatch;
  readonly kernel: LaunchableKernel;
  readonly columns: number;
  readonly rows: number;
  /** First byte of its arguments. */
  readonly argumentOffset: number;
  /** Number of its first error site. */
  readonly firstSite: number;
  readonly merged?: MergedBuffer;
}

/** Several tensors in one buffer, each from a multiple of 16 bytes on. */
interface MergedBuffer {
  readonly buffer: GpuBuffer;
  readonly parts: readonly { readonly tensor: TensorRef; readonly offset: number; readonly bytes: number }[];
}

/** Where a tensor is: an intermediate slot, or a buffer of the caller. */
type Place = { readonly slot: number } | { readonly argument: number } | { readonly constant: GpuBuffer };

export class Binding {
  readonly scratchBytes: number;
  readonly #executable: WebGpuExecutable;
  readonly #dispatches: readonly PlannedDispatch[];
  readonly #places: ReadonlyMap<TensorRef, Place>;
  readonly #slots: readonly GpuBuffer[];
  readonly #arguments: GpuBuffer | undefined;
  readonly #sites: readonly unknown[];
  readonly #merged: GpuBuffer[] = [];
  readonly #dims: DimBinding;
  /** Shaders for sizes that only this binding has, while they are compiled. */
  readonly #compiling: Promise<void> | undefined;
  #groups: readonly GPUBindGroup[] = [];
  #boundTo: string | undefined;
  #isDisposed = false;

  constructor(executable: WebGpuExecutable, given: readonly LaunchableKernel[], dims: DimBinding) {
    this.#executable = executable;
    this.#dims = dims;
    const { memory, limits } = executable.provider;
    const compiling: Promise<unknown>[] = [];
    const launches = given.map((launch) => fitToSizes(executable, launch, dims, compiling));
    if (compiling.length > 0) this.#compiling = Promise.all(compiling).then(() => {});
    // Whoever runs the binding sees the error.
    this.#compiling?.catch(() => {});
    const { places, slots } = placeTensors(executable, launches, dims);
    this.#places = places;
    this.#slots = slots.map((bytes) => memory.allocate(bytes));
    this.scratchBytes = slots.reduce((sum, bytes) => sum + bytes, 0);
    const sites: unknown[] = [];
    const dispatches: PlannedDispatch[] = [];
    const words: number[] = [];
    for (const kernel of launches) {
      for (const dispatch of kernel.dispatches) {
        const count = dispatch.workgroups.evaluate(dims);
        if (count <= 0) continue;
        // What goes beyond one dimension is folded into the second.
        const columns = Math.min(count, limits.workgroups);
        const rows = Math.ceil(count / columns);
        if (rows > limits.workgroups) {
          throw new OnnxTsError('UNSUPPORTED', `the kernel "${kernel.kernel.name}" would have ${count} workgroups.`, {
            place: { provider: 'webgpu' },
          });
        }
        const merged = dispatch.merged.length > 0 ? this.#merge(dispatch.merged, dims) : undefined;
        const baseOf = (tensor: TensorRef): number => merged!.parts.find((part) => part.tensor === tensor)!.offset / 4;
        const steps = dispatch.steps?.evaluate(dims) ?? 1;
        for (let step = 0; step < steps; step++) {
          // Uniform bindings start at multiples of 256 bytes.
          while (words.length % 64 !== 0) words.push(0);
          const firstSite = sites.length;
          dispatches.push({
            dispatch,
            kernel,
            columns,
            rows,
            argumentOffset: words.length * 4,
            firstSite,
            ...(merged && { merged }),
          });
          for (const word of dispatch.words) {
            if (word.kind === 'dim') words.push(word.dim.evaluate(dims));
            else if (word.kind === 'base') words.push(baseOf(word.tensor));
            else words.push(word.kind === 'step' ? step : firstSite + 1);
          }
        }
        sites.push(...dispatch.sites);
      }
    }
    this.#sites = sites;
    this.#dispatches = dispatches;
    if (words.length > 0) {
      while (words.length % 64 !== 0) words.push(0);
      this.#arguments = executable.provider.uniforms(new Int32Array(words));
    }
  }

  #merge(tensors: readonly TensorRef[], dims: DimBinding): MergedBuffer {
    let offset = 0;
    const parts = tensors.map((tensor) => {
      const bytes = Math.ceil(knownBytes(tensor, dims)! / 4) * 4;
      const part = { tensor, offset, bytes };
      offset += Math.ceil(bytes / 16) * 16;
      return part;
    });
    const buffer = this.#executable.provider.memory.allocate(offset);
    this.#merged.push(buffer);
    return { buffer, parts };
  }

  /** @returns what an index out of range belongs to */
  async run(buffers: readonly GpuBuffer[], { trace }: RunContext): Promise<{ readonly origin: unknown } | undefined> {
    if (this.#dispatches.length === 0) return undefined;
    if (this.#compiling) await this.#compiling;
    const { provider } = this.#executable;
    if (trace) await this.#runTraced(buffers, trace);
    else provider.submit(() => this.#submit(buffers));
    if (this.#sites.length === 0) return undefined;
    const word = new Uint32Array((await provider.memory.download(provider.errors, 4)).buffer)[0];
    return word === 0 ? undefined : { origin: this.#sites[word - 1] };
  }

  /** With a pass for each launch, which takes more time than one for all. */
  async #runTraced(buffers: readonly GpuBuffer[], trace: NonNullable<RunContext['trace']>): Promise<void> {
    const { provider } = this.#executable;
    const { gpu, memory } = provider;
    const isTimed = gpu.features.has('timestamp-query');
    const timer = isTimed ? new LaunchTimer(gpu, memory, this.#dispatches.length) : undefined;
    try {
      const start = performance.now();
      provider.submit(() => this.#submit(buffers, timer));
      if (timer) return this.#reportLaunches(start, await timer.read(), trace);
      await gpu.queue.onSubmittedWorkDone();
      const work = this.#executable.totalWork(this.#dims);
      const nodes = ['all kernels together: the device has no timestamp-query'];
      trace({
        name: this.#executable.partition.name,
        kind: 'partition',
        start,
        duration: performance.now() - start,
        nodes,
        ...work,
      });
    } finally {
      timer?.dispose();
    }
  }

  #reportLaunches(start: number, times: Float64Array, trace: NonNullable<RunContext['trace']>): void {
    let before: LaunchableKernel | undefined;
    for (const [at, { kernel }] of this.#dispatches.entries()) {
      const { name, kind, nodes, flops, bytes } = this.#executable.infoOf(kernel.kernel);
      // Work is stated with the first launch of a kernel.
      const isFirst = kernel !== before;
      before = kernel;
      trace({
        name,
        kind,
        start: start + times[2 * at],
        duration: Math.max(0, times[2 * at + 1] - times[2 * at]),
        nodes,
        flops: isFirst ? (flops?.evaluate(this.#dims) ?? 0) : 0,
        bytes: isFirst ? (bytes?.evaluate(this.#dims) ?? 0) : 0,
      });
    }
  }

  #submit(buffers: readonly GpuBuffer[], timer?: LaunchTimer): void {
    this.#bindBuffers(buffers);
    const { gpu, errors } = this.#executable.provider;
    const encoder = gpu.createCommandEncoder();
    if (this.#sites.length > 0) encoder.clearBuffer(errors.buffer, 0, 16);
    let pass: GPUComputePassEncoder | undefined;
    const endPass = (): void => {
      pass?.end();
      pass = undefined;
    };
    for (const [at, { dispatch, columns, rows, merged }] of this.#dispatches.entries()) {
      if (merged || timer) endPass();
      if (merged) {
        for (const { tensor, offset, bytes } of merged.parts) {
          if (bytes === 0) continue;
          encodeCopy(encoder, this.#bufferOf(tensor, buffers), 0, merged.buffer, offset, bytes);
        }
      }
      pass ??= encoder.beginComputePass(timer && { timestampWrites: timer.writes(at) });
      pass.setPipeline(dispatch.pipeline!);
      pass.setBindGroup(0, this.#groups[at]);
      pass.dispatchWorkgroups(columns, rows);
    }
    endPass();
    timer?.resolve(encoder);
    gpu.queue.submit([encoder.finish()]);
  }

  #bufferOf(tensor: TensorRef, buffers: readonly GpuBuffer[]): GpuBuffer {
    const place = this.#places.get(this.#executable.storageOf(tensor))!;
    if ('slot' in place) return this.#slots[place.slot];
    return 'constant' in place ? place.constant : buffers[place.argument];
  }

  #bindBuffers(buffers: readonly GpuBuffer[]): void {
    const key = buffers.map(({ id }) => id).join();
    if (key === this.#boundTo) return;
    this.#boundTo = key;
    const { gpu, errors, limits, pipelines } = this.#executable.provider;
    this.#groups = this.#dispatches.map(({ dispatch, argumentOffset, merged }) => {
      const entries: GPUBindGroupEntry[] = [];
      const bind = (buffer: GpuBuffer, parts: number): void => {
        for (const resource of buffer.bindings(parts, limits.partBytes)) {
          entries.push({ binding: entries.length, resource });
        }
      };
      for (const { tensor, parts } of dispatch.bindings) bind(this.#bufferOf(tensor, buffers), parts);
      if (merged) bind(merged.buffer, dispatch.mergedParts);
      if (dispatch.sites.length > 0) entries.push({ binding: entries.length, resource: { buffer: errors.buffer } });
      if (dispatch.words.length > 0) {
        const size = Math.ceil(dispatch.words.length / 4) * 16;
        const resource = { buffer: this.#arguments!.buffer, offset: argumentOffset, size };
        entries.push({ binding: entries.length, resource });
      }
      return gpu.createBindGroup({ layout: pipelines.layoutOf(dispatch), entries });
    });
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    const { memory } = this.#executable.provider;
    for (const slot of [...this.#slots, ...this.#merged]) memory.free(slot);
    this.#arguments?.buffer.destroy();
  }
}

/**
 * A kernel whose tensors, with these sizes, fit into the bindings that its shaders have: shaders for any size see one binding
 * of each tensor. Those that have to be compiled anew get their pipelines later.
 */
function fitToSizes(
  { provider }: WebGpuExecutable,
  launch: LaunchableKernel,
  dims: DimBinding,
  compiling: Promise<unknown>[],
): LaunchableKernel {
  const { kernel, template, dispatches } = launch;
  const target = { ...provider.target, dims };
  const fits = ({ bindings, merged, mergedParts }: LaunchableDispatch): boolean =>
    bindings.every(({ tensor, parts }) => partsOf(tensor, target) <= parts) &&
    merged.reduce((sum, tensor) => sum + knownBytes(tensor, dims)! + 16, 0) <=
      Math.max(1, mergedParts) * target.partBytes;
  if (dispatches.every(fits)) return launch;
  const fitted = compileShaders(kernel, target, template).map((dispatch): LaunchableDispatch => {
    const result: LaunchableDispatch = { ...dispatch, pipeline: undefined };
    compiling.push(provider.pipelines.get(dispatch, kernel).then((pipeline) => (result.pipeline = pipeline)));
    return result;
  });
  return { ...launch, dispatches: fitted };
}

/**
 * Gives every tensor its place. Intermediate tensors share slots when their lives do not overlap: a buffer cannot be
 * read and written in one dispatch, so tensors do not share one buffer at the same time, as they would in an arena.
 */
function placeTensors(
  executable: WebGpuExecutable,
  launches: readonly LaunchableKernel[],
  dims: DimBinding,
): { readonly places: Map<TensorRef, Place>; readonly slots: readonly number[] } {
  const { partition, lowered } = executable;
  const places = new Map<TensorRef, Place>();
  for (const [argument, value] of [...lowered.inputs, ...partition.outputs].entries()) {
    places.set(lowered.tensors.get(value)!, { argument });
  }
  const lives = new Map<TensorRef, LifeTime>();
  for (const [at, { kernel }] of launches.entries()) {
    for (const tensor of [...kernel.params, ...kernel.outputs.map((output) => output.tensor)]) {
      const storage = executable.storageOf(tensor);
      if (places.has(storage)) continue;
      const constant = executable.constantBuffer(storage);
      if (constant) {
        places.set(storage, { constant });
        continue;
      }
      const life = lives.get(storage);
      lives.set(storage, life ? { ...life, last: at } : { bytes: bytesOf(storage, dims), first: at, last: at });
    }
  }
  const slots: { bytes: number; lives: LifeTime[] }[] = [];
  const bySize = [...lives].sort(([, a], [, b]) => b.bytes - a.bytes);
  for (const [tensor, life] of bySize) {
    const isFree = ({ lives: others }: { lives: LifeTime[] }): boolean =>
      others.every((other) => other.last < life.first || other.first > life.last);
    let slot = slots.findIndex(isFree);
    if (slot < 0) slot = slots.push({ bytes: life.bytes, lives: [] }) - 1;
    slots[slot].lives.push(life);
    places.set(tensor, { slot });
  }
  return { places, slots: slots.map(({ bytes }) => bytes) };
}
