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
  /** Everything to be run was compiled ahead of time: a device that cannot compile is usable. */
  readonly isPrecompiled?: boolean;
}

/** One device a provider found. */
export interface DeviceInfo {
  readonly provider: string;
  readonly name: string;
  readonly usable: boolean;
  /** Why it is not usable, or works with less than it could (for instance without threads). */
  readonly reason?: string;
  /** `isSoftware`: the device is a program that runs on the processor, such as a software rasterizer. */
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
  /** See `HostInfo`. */
  readonly isPrecompiled?: boolean;
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
  /** Seconds to hand a partition over and to hear that it is done, beside its kernels; 0 when absent. */
  readonly sync?: number;
}

/** Memory on a device. Core never looks inside. */
export interface DeviceBuffer {
  readonly byteLength: number;
}

/** Bytes of a buffer that lie apart: `count` runs of `bytes` bytes, whose beginnings are `stride` bytes apart. */
export interface Runs {
  readonly count: number;
  readonly bytes: number;
  readonly stride: number;
}

/** The first bytes of a buffer. */
export interface Download {
  readonly source: DeviceBuffer;
  readonly byteLength: number;
}

/**
 * All methods may be called at any time between open and dispose, one at a time. Memory whose executables have `appends`
 * has `copy`, and `upload` heeds `runs`.
 */
export interface DeviceMemory {
  /** @throws OnnxTsError OUT_OF_MEMORY, with what was asked for and what is in use */
  allocate(byteLength: number): DeviceBuffer;
  free(buffer: DeviceBuffer): void;
  /** @param runs where the bytes of the tensor go, in order; absent means to the beginning of the buffer, without gaps */
  upload(tensor: Tensor, target: DeviceBuffer, runs?: Runs): void | Promise<void>;
  /** The first bytes of a buffer, in an array of their own. */
  download(source: DeviceBuffer, byteLength: number): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>;
  /** As `download` of one after the other, for devices where waiting costs more than moving. */
  downloadAll?(sources: readonly Download[]): Promise<readonly Uint8Array<ArrayBuffer>[]>;
  /** Fills an array of the host with bytes of a buffer, only for memory that the host sees. `runs` as for `upload`. */
  read?(source: DeviceBuffer, target: Uint8Array, runs?: Runs): void;
  /** Copies from one buffer to another, run by run: `from` and `to` have equally many of equal length. */
  copy?(source: DeviceBuffer, from: Runs, target: DeviceBuffer, to: Runs): void | Promise<void>;
  /**
   * Memory of the device that the caller has made by the device's own API, such as a GPUBuffer. It stays the caller's: `free`
   * leaves it alone. Where kernels cannot read it as it is, the result is a copy.
   * @param access what it is for: kernels read it, or it is the target of a copy
   * @throws OnnxTsError INVALID_INPUT when it is of another device, or cannot be used so
   */
  adopt?(memory: unknown, byteLength: number, access: 'read' | 'write'): DeviceBuffer | Promise<DeviceBuffer>;
  /** What the device's own API calls a buffer, for callers who go on with it. Goes with `adopt`. */
  nativeOf?(buffer: DeviceBuffer): unknown;
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

/** What a provider keeps of a partition that it compiled, so that it need not compile it again. */
export interface PartitionArtifact {
  /** JSON. Nodes, inputs and outputs of the partition are the same when it is read again: refer to them by position. */
  readonly data: unknown;
  /** WebAssembly and the like: as bytes or, from those who compile ahead of time, as modules. */
  readonly code: readonly (Uint8Array | WebAssembly.Module)[];
}

export interface CompileContext {
  readonly signal?: AbortSignal;
  /** What was kept of this partition, with the same `artifactKey`: then it need not be lowered. */
  readonly artifact?: PartitionArtifact;
  /**
   * Present when core wants to keep what was compiled. Call it before weights are loaded: what was read of them by then is
   * taken to have decided something, and an artifact is only used again where it is the same.
   */
  keep?(artifact: PartitionArtifact): void;
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
  /** Placement gives it every node that it supports, whatever the costs: it is there for these. */
  readonly takesAll?: boolean;
  /**
   * All that compiled partitions depend on beside the partition: the version of the provider, what the device can do.
   * Providers without it keep no artifacts.
   */
  readonly artifactKey?: string;
  /** Whether a node with these types can be compiled. The reason is shown to users: name what is missing. */
  supports(node: GraphNode): Support;
  /** @throws OnnxTsError */
  compile(partition: Partition, context: CompileContext): Promise<Executable>;
  /** Measures the rates of this machine, in less than a second. Reports use it; nothing else of the provider may run then. */
  measure?(): Promise<Pick<DeviceProfile, 'flops' | 'bandwidth'>>;
  /**
   * Measures the device's profile in at most 100 ms, for placement: what programs reach, not what data sheets say. Nothing
   * else of the provider runs then. Without it, `profile` stands.
   */
  probe?(): Promise<DeviceProfile>;
  /**
   * The device is gone for good, and all memory with it. Core then opens the factory again (`discover` tells whether there is
   * another device), or goes on with other providers.
   */
  readonly isLost?: boolean;
  dispose(): Promise<void>;
}

/**
 * An output that begins with all elements of an input, which its kernels take to be in place: they write what follows
 * along one axis, and read the input there. The two share a buffer, in which that axis has room for `capacity` positions.
 * Core puts the elements there when they are elsewhere; a cache that grows by a token at a time is thus never copied.
 */
export interface Append {
  readonly input: Value;
  readonly output: Value;
  readonly axis: number;
  /** The symbol that is bound to the room: at least the output's size along the axis. Several pairs may share one. */
  readonly capacity: string;
  /**
   * The kernels may write where the input's elements are, for instance behind the end of a shorter sequence. Nobody reads
   * the input but they, and core gives them a copy of one that somebody still needs.
   */
  readonly overwrites?: boolean;
}

export interface Executable {
  /** The partition's inputs that `run` wants, in the order of its buffers; absent means all. */
  readonly inputs?: readonly Value[];
  /** Outputs that share the buffer of an input, each with another one. */
  readonly appends?: readonly Append[];
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
  /**
   * Makes it one for other sizes, for less than a new one costs. False, or an error like that of `bind`, when it cannot; then
   * it is as it was. Core asks when sizes are new and it keeps enough bindings: a text that grows by a token at a time.
   */
  rebind?(dims: DimBinding): boolean;
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
