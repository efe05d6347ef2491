// The contract between core and execution providers: all that the author of a provider must read.
//
// A provider offers devices. An opened device compiles *partitions*, connected parts of a graph that core has assigned to
// it, and runs them on buffers of its own memory. Core decides what goes where, keeps values alive, and copies between
// devices; a provider never sees the session, other providers, or values outside its partition.
//
// Life of a partition: compile (once; sizes are symbols) → bind (once per combination of sizes; LRU in core) → run (often;
// allocates nothing). Everything returned has a dispose, called exactly once, by core.

import type { Dim, DimBinding, DType, Program, TensorRef } from '@onnx-ts/tensor-ir';
import type { GraphNode, Value } from '../graph/graph.ts';
import type { Tensor } from '../session/tensor.ts';

/** What core tells about the machine when it asks for devices. */
export interface HostInfo {
  readonly kind: 'node' | 'browser' | 'deno' | 'bun' | 'other';
  /** Logical cores. */
  readonly concurrency: number;
}

/** One device a provider found. */
export interface DeviceInfo {
  readonly provider: string;
  readonly name: string;
  readonly usable: boolean;
  /** Why it is not usable, or works with less than it could (for instance without threads). */
  readonly reason?: string;
  readonly properties: Readonly<Record<string, string | number | boolean>>;
}

export interface ProviderFactory {
  readonly id: string;
  readonly apiVersion: 1;
  /** Never throws: a device that cannot be used is listed with its reason. */
  discover(host: HostInfo): Promise<readonly DeviceInfo[]>;
  /** @throws OnnxTsError PROVIDER */
  open(device: DeviceInfo, options?: OpenOptions): Promise<ExecutionProvider>;
}

export interface OpenOptions {
  /** Threads to use at most; absent means what the provider finds best. */
  readonly threads?: number;
  /** Bytes the provider may allocate at most. */
  readonly memoryBudget?: number;
  readonly profile?: boolean;
}

export type Support = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Rates of a device, for cost estimates. Measured by a probe where a provider has one. */
export interface DeviceProfile {
  /** Seconds to start one kernel. */
  readonly launch: number;
  /** Floating point operations a second. */
  readonly flops: number;
  /** Bytes a second between the device's memory and its cores. */
  readonly bandwidth: number;
  /** Seconds a transfer from or to the host takes at least, and bytes a second beyond that. */
  readonly transferLatency: number;
  readonly transferBandwidth: number;
}

/** Memory on a device. Core never looks inside. */
export interface DeviceBuffer {
  readonly byteLength: number;
}

/** All methods may be called at any time between open and dispose, one at a time. */
export interface DeviceMemory {
  /** @throws OnnxTsError OUT_OF_MEMORY, with what was asked for and what is in use */
  allocate(byteLength: number): DeviceBuffer;
  free(buffer: DeviceBuffer): void;
  upload(tensor: Tensor, target: DeviceBuffer): void | Promise<void>;
  /** The first bytes of a buffer, in an array of their own. */
  download(source: DeviceBuffer, byteLength: number): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>;
  readonly bytesInUse: number;
  readonly peakBytes: number;
}

/** A part of the graph for one provider. */
export interface Partition {
  readonly name: string;
  /** In topological order. */
  readonly nodes: readonly GraphNode[];
  /** Values from outside that are not constants. */
  readonly inputs: readonly Value[];
  /** Values that somebody outside reads. */
  readonly outputs: readonly Value[];
  /**
   * The nodes as tensor expressions, for code generators. Providers with kernels of their own need not call it.
   * @throws OnnxTsError naming a node that has no tensor form, or whose lowering fails
   */
  lower(): LoweredPartition;
}

export interface LoweredPartition {
  /** Its inputs are the constants, then `inputs`; its outputs are the partition's. */
  readonly program: Program;
  /** The partition's inputs that the program reads: many a shape is known and never read. */
  readonly inputs: readonly Value[];
  /** Data of the program's constant inputs. Released by core after compile: copy what must stay. */
  readonly constants: ReadonlyMap<TensorRef, Tensor>;
  /** Tensor of each input and output value. */
  readonly tensors: ReadonlyMap<Value, TensorRef>;
}

export interface CompileContext {
  readonly signal?: AbortSignal;
  /** Fraction done, 0 to 1. */
  progress?(fraction: number, what: string): void;
  /** Sizes worth preparing for, when the session was told some. */
  readonly dims?: DimBinding;
}

export interface ExecutionProvider {
  readonly id: string;
  readonly device: DeviceInfo;
  readonly memory: DeviceMemory;
  readonly profile: DeviceProfile;
  /** Whether a node with these types can be compiled. The reason is shown to users: name what is missing. */
  supports(node: GraphNode): Support;
  /** @throws OnnxTsError */
  compile(partition: Partition, context: CompileContext): Promise<Executable>;
  /** Measures the rates of this machine, in less than a second. Reports use it; nothing else of the provider may run then. */
  measure?(): Promise<Pick<DeviceProfile, 'flops' | 'bandwidth'>>;
  dispose(): Promise<void>;
}

export interface Executable {
  /** The partition's inputs that `run` wants, in the order of its buffers; absent means all. */
  readonly inputs?: readonly Value[];
  /** Kernels in launch order, for `explain`. */
  readonly kernels: readonly KernelInfo[];
  /** Bytes of weights it holds, as they lie in the device's memory. */
  readonly weightBytes?: number;
  /** @throws OnnxTsError when the sizes do not fit the model or the memory */
  bind(dims: DimBinding): BoundExecutable;
  dispose(): void;
}

export interface KernelInfo {
  readonly name: string;
  readonly kind: string;
  /** Nodes whose work the kernel does. */
  readonly nodes: readonly string[];
  readonly text?: string;
  /** It runs once, when weights are loaded. */
  readonly atLoad?: boolean;
  /** Work of one launch, for reports: operations, and bytes read and written. `workOfKernel` tells both for code generators. */
  readonly flops?: Dim;
  readonly bytes?: Dim;
}

export interface BoundExecutable {
  /** Intermediate memory this binding holds. */
  readonly scratchBytes: number;
  /**
   * Least intermediate memory any plan could do with (largest sum of bytes alive at once), for reports.
   */
  readonly scratchLowerBound?: number;
  /** `buffers` are the partition's inputs, then its outputs; each large enough for the bound sizes. */
  run(buffers: readonly DeviceBuffer[], context: RunContext): void | Promise<void>;
  dispose(): void;
}

export interface RunContext {
  readonly signal?: AbortSignal;
  /** When present, the provider reports when each kernel ran, in milliseconds of `performance.now()`. */
  readonly trace?: (event: TraceEvent) => void;
}

export interface TraceEvent {
  readonly name: string;
  readonly kind: string;
  readonly start: number;
  readonly duration: number;
  readonly thread?: number;
  /** Nodes whose work it was. */
  readonly nodes?: readonly string[];
  /** Operations, and bytes read and written. A kernel that is reported in several parts states them with the first. */
  readonly flops?: number;
  readonly bytes?: number;
}

/** Bytes a buffer of this type and these sizes needs. */
export type SizeOf = (dtype: DType, shape: readonly Dim[], dims: DimBinding) => number;
