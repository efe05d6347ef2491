// The opened provider: one linear memory, its threads, and the partitions compiled for them.

import {
  type CompileContext,
  type DeviceBuffer,
  type DeviceInfo,
  type DeviceMemory,
  type DeviceProfile,
  type Executable,
  type ExecutionProvider,
  type GraphNode,
  OnnxTsError,
  type Partition,
  type Runs,
  type Support,
  type Tensor,
  type Value,
} from '@onnx-ts/core/provider';
import { LinearMemory, OutOfMemoryError } from '../runtime/memory.ts';
import { type LeaderMode, ThreadPool } from '../runtime/threads.ts';
import { version } from '../version.ts';
import { Arena } from './arena.ts';
import { compilePartition } from './load-partition.ts';
import type { Rates } from './measure-rates.ts';

export interface CpuProviderOptions {
  readonly device: DeviceInfo;
  readonly threads: number;
  readonly leader: LeaderMode;
  readonly shared: boolean;
  readonly relaxedSimd: boolean;
  readonly wideVectors: boolean;
  readonly memoryBudget?: number;
}

/** Rates of one core of a current machine with 128-bit vectors; see `probe` for those of this one. */
const typical = { launch: 1e-6, flops: 4e10, bandwidth: 1e10, transferLatency: 1e-6, transferBandwidth: 1e10 };

/** Types that only the host can hold. */
const hostTypes = new Set(['string', 'complex64', 'complex128']);

export class CpuProvider implements ExecutionProvider {
  readonly id = 'cpu';
  readonly device: DeviceInfo;
  readonly profile;
  readonly memory: WasmMemory;
  readonly pool: ThreadPool;
  readonly arena: Arena;
  readonly relaxedSimd: boolean;
  readonly wideVectors: boolean;
  readonly shared: boolean;
  readonly artifactKey: string;

  constructor(options: CpuProviderOptions) {
    const { device, threads, leader, shared, relaxedSimd, wideVectors, memoryBudget } = options;
    this.device = device;
    this.relaxedSimd = relaxedSimd;
    this.wideVectors = wideVectors;
    this.shared = shared;
    const features = { relaxedSimd, wideVectors, shared };
    this.artifactKey = [version, ...Object.entries(features).flatMap(([name, is]) => (is ? [name] : []))].join(' ');
    this.profile = { ...typical, flops: typical.flops * threads };
    const linear = new LinearMemory({ shared, ...(memoryBudget !== undefined && { budget: memoryBudget }) });
    this.memory = new WasmMemory(linear);
    this.pool = new ThreadPool(linear, { threads, leader });
    this.arena = new Arena(this.memory);
  }

  supports(node: GraphNode): Support {
    if (!node.operator?.lower) return { ok: false, reason: 'the operator has no tensor form' };
    const types = [...node.inputs, ...node.outputs].map((value: Value | undefined) => value?.type);
    for (const type of types) {
      if (!type) continue;
      if (type.kind !== 'tensor') return { ok: false, reason: `a ${type.kind} stays on the host` };
      if (hostTypes.has(type.dtype)) return { ok: false, reason: `${type.dtype} tensors stay on the host` };
    }
    return { ok: true };
  }

  async compile(partition: Partition, context: CompileContext): Promise<Executable> {
    return compilePartition(this, partition, context);
  }

  async measure(): Promise<Rates> {
    const { measureRates } = await import('./measure-rates.ts');
    return measureRates(this);
  }

  async probe(): Promise<DeviceProfile> {
    const { measureProfile } = await import('./measure-rates.ts');
    return measureProfile(this);
  }

  async dispose(): Promise<void> {
    await this.pool.dispose();
  }
}

export class WasmBuffer implements DeviceBuffer {
  readonly address: number;
  readonly byteLength: number;

  constructor(address: number, byteLength: number) {
    this.address = address;
    this.byteLength = byteLength;
  }
}

export class WasmMemory implements DeviceMemory {
  readonly linear: LinearMemory;

  constructor(linear: LinearMemory) {
    this.linear = linear;
  }

  get bytesInUse(): number {
    return this.linear.bytesInUse;
  }

  get peakBytes(): number {
    return this.linear.peakBytes;
  }

  allocate(byteLength: number): WasmBuffer {
    return new WasmBuffer(this.allocateBlock(byteLength), byteLength);
  }

  /** Address of a block. @throws OnnxTsError OUT_OF_MEMORY */
  allocateBlock(byteLength: number): number {
    // Vector code may read up to a vector past the end of what it was given.
    const padded = byteLength + 16;
    try {
      if (!Number.isSafeInteger(padded)) throw new OutOfMemoryError(byteLength, this.bytesInUse, this.linear.limit, 0);
      return this.linear.allocate(padded);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      throw new OnnxTsError('OUT_OF_MEMORY', `${error.message}.`, {
        place: { provider: 'cpu' },
        hint: 'Use smaller inputs or a smaller model, or raise the memory budget.',
        cause: error,
      });
    }
  }

  free(buffer: DeviceBuffer): void {
    this.linear.free((buffer as WasmBuffer).address);
  }

  upload(tensor: Tensor, target: DeviceBuffer, runs?: Runs): void {
    const { address } = target as WasmBuffer;
    if (!runs) {
      this.write(tensor, address);
      return;
    }
    const { bytes } = this.linear;
    for (let run = 0; run < runs.count; run++) {
      const to = address + run * runs.stride;
      tensor.readBytes(run * runs.bytes, bytes.subarray(to, to + runs.bytes));
    }
  }

  write(tensor: Tensor, address: number): void {
    const { byteLength } = tensor;
    if (byteLength > 0) tensor.copyBytesTo(this.linear.bytes.subarray(address, address + byteLength));
  }

  read(source: DeviceBuffer, target: Uint8Array, runs?: Runs): void {
    const { address } = source as WasmBuffer;
    const { bytes } = this.linear;
    const { count, bytes: length, stride } = runs ?? { count: 1, bytes: target.byteLength, stride: 0 };
    for (let run = 0; run < count; run++) {
      const from = address + run * stride;
      target.set(bytes.subarray(from, from + length), run * length);
    }
  }

  copy(source: DeviceBuffer, from: Runs, target: DeviceBuffer, to: Runs): void {
    const { bytes } = this.linear;
    const [begin, end] = [(source as WasmBuffer).address, (target as WasmBuffer).address];
    for (let run = 0; run < from.count; run++) {
      const at = begin + run * from.stride;
      bytes.copyWithin(end + run * to.stride, at, at + from.bytes);
    }
  }

  download(source: DeviceBuffer, byteLength: number): Uint8Array<ArrayBuffer> {
    const { address } = source as WasmBuffer;
    // Copying an array is quicker than filling a zeroed one.
    return new Uint8Array(this.linear.bytes.subarray(address, address + byteLength));
  }
}
