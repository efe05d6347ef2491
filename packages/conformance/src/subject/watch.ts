// A provider with a watch on everything that it lends and everything it is asked.

import type {
  BoundExecutable,
  CompileContext,
  DeviceBuffer,
  DeviceMemory,
  Executable,
  ExecutionProvider,
  GraphNode,
  Partition,
  ProviderFactory,
} from '@onnx-ts/core/provider';

/** What a watch has seen of one opened provider. */
export interface Watch {
  readonly provider: ExecutionProvider;
  /** Buffers, executables and bindings that were not given back. */
  readonly buffers: ReadonlySet<DeviceBuffer>;
  readonly executables: ReadonlySet<Executable>;
  readonly bindings: ReadonlySet<BoundExecutable>;
  /** Times that the provider itself was disposed. */
  readonly disposals: number;
  /** What is wrong with what was asked or answered, in words. */
  readonly faults: readonly string[];
  /** Operators by what `supports` said of their nodes. */
  readonly claimed: ReadonlySet<string>;
  readonly refused: ReadonlyMap<string, string>;
  /** Operators of compiled partitions, those that they were expanded from included. */
  readonly compiled: ReadonlySet<string>;
  readonly progress: readonly number[];
}

export interface WatchedProvider {
  readonly factory: ProviderFactory;
  /** In the order of opening. */
  readonly watches: readonly Watch[];
}

/** `domain:name`, or the name alone for ai.onnx. */
export function operatorName({ domain, op }: { readonly domain: string; readonly op: string }): string {
  return domain ? `${domain}:${op}` : op;
}

export function watchProvider(factory: ProviderFactory): WatchedProvider {
  const watches: Watch[] = [];
  const watched: ProviderFactory = {
    id: factory.id,
    apiVersion: factory.apiVersion,
    discover: (host) => factory.discover(host),
    async open(device, options) {
      const instance = new WatchedInstance(await factory.open(device, options));
      watches.push(instance);
      return instance;
    },
  };
  return { factory: watched, watches };
}

class WatchedInstance implements ExecutionProvider, Watch {
  readonly provider: ExecutionProvider;
  readonly memory: DeviceMemory;
  readonly buffers = new Set<DeviceBuffer>();
  readonly executables = new Set<Executable>();
  readonly bindings = new Set<BoundExecutable>();
  disposals = 0;
  readonly faults: string[] = [];
  readonly claimed = new Set<string>();
  readonly refused = new Map<string, string>();
  readonly compiled = new Set<string>();
  readonly progress: number[] = [];
  declare readonly measure?: ExecutionProvider['measure'];

  constructor(provider: ExecutionProvider) {
    this.provider = provider;
    this.memory = watchMemory(provider.memory, this.buffers, this.faults);
    if (provider.measure) this.measure = () => provider.measure!();
  }

  get id() {
    return this.provider.id;
  }

  get device() {
    return this.provider.device;
  }

  get profile() {
    return this.provider.profile;
  }

  get artifactKey() {
    return this.provider.artifactKey;
  }

  supports(node: GraphNode) {
    const support = this.provider.supports(node);
    const name = operatorName(node);
    if (support.ok) {
      // Operators that core itself makes are in no model.
      if (!node.domain.startsWith('onnx-ts')) this.claimed.add(name);
    } else {
      this.refused.set(name, support.reason);
      if (typeof support.reason !== 'string' || support.reason.trim() === '') {
        this.faults.push(`${name} was refused without a reason`);
      }
    }
    return support;
  }

  async compile(partition: Partition, context: CompileContext): Promise<Executable> {
    const executable = await this.provider.compile(partition, {
      ...context,
      progress: (fraction, what) => {
        this.progress.push(fraction);
        context.progress?.(fraction, what);
      },
    });
    for (const node of partition.nodes) {
      this.compiled.add(operatorName(node));
      if (node.origin) this.compiled.add(operatorName(node.origin));
    }
    return watchExecutable(executable, this);
  }

  async dispose(): Promise<void> {
    this.disposals++;
    if (this.disposals > 1) this.faults.push('the provider was disposed twice');
    await this.provider.dispose();
  }
}

function watchMemory(memory: DeviceMemory, buffers: Set<DeviceBuffer>, faults: string[]): DeviceMemory {
  return {
    allocate(byteLength) {
      const buffer = memory.allocate(byteLength);
      if (!(buffer.byteLength >= byteLength)) {
        faults.push(`a buffer of ${buffer.byteLength} bytes was given where ${byteLength} were asked for`);
      }
      buffers.add(buffer);
      return buffer;
    },
    free(buffer) {
      if (!buffers.delete(buffer)) faults.push('a buffer was freed twice');
      memory.free(buffer);
    },
    upload: (tensor, target, runs) => memory.upload(tensor, target, runs),
    download: (source, byteLength) => memory.download(source, byteLength),
    ...(memory.read && { read: memory.read.bind(memory) }),
    ...(memory.copy && { copy: memory.copy.bind(memory) }),
    get bytesInUse() {
      return memory.bytesInUse;
    },
    get peakBytes() {
      return memory.peakBytes;
    },
  };
}

function watchExecutable(executable: Executable, watch: WatchedInstance): Executable {
  const watched: Executable = {
    ...(executable.inputs && { inputs: executable.inputs }),
    ...(executable.appends && { appends: executable.appends }),
    kernels: executable.kernels,
    ...(executable.weightBytes !== undefined && { weightBytes: executable.weightBytes }),
    bind(dims) {
      const bound = executable.bind(dims);
      const binding: BoundExecutable = {
        scratchBytes: bound.scratchBytes,
        ...(bound.scratchLowerBound !== undefined && { scratchLowerBound: bound.scratchLowerBound }),
        run(given, context) {
          if (!watch.bindings.has(binding)) watch.faults.push('a binding was run after it was disposed');
          return bound.run(given, context);
        },
        dispose() {
          if (!watch.bindings.delete(binding)) watch.faults.push('a binding was disposed twice');
          bound.dispose();
        },
      };
      watch.bindings.add(binding);
      return binding;
    },
    dispose() {
      if (!watch.executables.delete(watched)) watch.faults.push('an executable was disposed twice');
      executable.dispose();
    },
  };
  watch.executables.add(watched);
  return watched;
}

/** Everything lent was given back, and the provider was disposed. @returns what is wrong, in words */
export function imbalanceOf(watch: Watch): string | undefined {
  if (watch.faults.length > 0) return watch.faults[0];
  const left = [
    [watch.buffers.size, 'buffers'],
    [watch.executables.size, 'executables'],
    [watch.bindings.size, 'bindings'],
  ].filter(([count]) => count !== 0);
  if (left.length > 0) return `${left.map(([count, what]) => `${count} ${what}`).join(', ')} were not given back`;
  if (watch.disposals !== 1) return `the provider was disposed ${watch.disposals} times`;
  return undefined;
}

/** The provider with a `dispose` that does nothing: for several sessions, one after the other. */
export function withoutDispose(provider: ExecutionProvider): ExecutionProvider {
  return { ...delegate(provider), dispose: async () => {} };
}

/** An object that does what a provider does, and can be spread: its methods need no `this`. */
export function delegate(provider: ExecutionProvider): ExecutionProvider {
  return {
    id: provider.id,
    device: provider.device,
    memory: provider.memory,
    profile: provider.profile,
    ...(provider.artifactKey !== undefined && { artifactKey: provider.artifactKey }),
    supports: (node) => provider.supports(node),
    compile: (partition, context) => provider.compile(partition, context),
    ...(provider.measure && { measure: () => provider.measure!() }),
    dispose: () => provider.dispose(),
  };
}
