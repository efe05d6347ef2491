// Finds out what the host can do and opens the provider.

import { type DeviceInfo, OnnxTsError, type ProviderFactory } from '@onnx-ts/core/provider';
import { type Capabilities, probeCapabilities } from '../runtime/capabilities.ts';
import { v8Build } from '../runtime/host-modules.ts';
import type { LeaderMode } from '../runtime/threads.ts';
import { CpuProvider } from './cpu-provider.ts';

export interface CpuOptions {
  /** Threads at most, the leader included. Default: as many as there are cores, where threads are possible. */
  readonly threads?: number;
  /**
   * Who computes: the thread that calls `run` with helpers (`inline`, the default where a thread may block), or workers
   * alone (`worker`, the default on browser pages), so that the caller stays responsive.
   */
  readonly leader?: LeaderMode;
  /** False leaves out relaxed SIMD: results are then the same on every processor. */
  readonly relaxedSimd?: boolean;
  /**
   * False leaves V8's experimental joining of vector operations into 256-bit ones alone. Otherwise it is turned on where it
   * pays, for all WebAssembly that the process compiles from then on: Node 24 and later on processors with AVX2.
   */
  readonly wideVectors?: boolean;
}

/** Threads beyond this many rarely help one model. */
const mostThreads = 16;

interface Threading {
  readonly threads: number;
  readonly leader: LeaderMode;
  readonly shared: boolean;
  readonly note: string | undefined;
}

function threadingFor(
  capabilities: Capabilities,
  wanted: number | undefined,
  leader: LeaderMode | undefined,
): Threading {
  const threads = Math.max(1, Math.min(wanted ?? Math.min(capabilities.concurrency, mostThreads), 64));
  if (capabilities.threads.ok) {
    const chosen = leader ?? (capabilities.canBlock ? 'inline' : 'worker');
    return { threads, leader: chosen, shared: threads > 1 || chosen === 'worker', note: undefined };
  }
  const note = threads > 1 || leader === 'worker' ? `one thread: ${capabilities.threads.reason}` : undefined;
  return { threads: 1, leader: 'inline', shared: false, note };
}

/** The provider factory to pass to `createSession`. */
export function cpu(options: CpuOptions = {}): ProviderFactory {
  return {
    id: 'cpu',
    apiVersion: 1,
    async discover({ isPrecompiled }): Promise<readonly DeviceInfo[]> {
      const capabilities = probeCapabilities();
      const compile = isPrecompiled ? undefined : capabilities.compile;
      const reason =
        compile?.ok === false ? compile.reason : capabilities.simd ? undefined : 'this engine has no WebAssembly SIMD';
      return [describe(capabilities, reason)];
    },
    async open(_device, { threads, memoryBudget, isPrecompiled } = {}) {
      const capabilities = probeCapabilities();
      const threading = threadingFor(capabilities, options.threads ?? threads, options.leader);
      const relaxedSimd = capabilities.relaxedSimd && options.relaxedSimd !== false;
      const wideVectors =
        options.wideVectors !== false &&
        !isPrecompiled &&
        v8Build() !== undefined &&
        (await hasWideVectors(relaxedSimd));
      const device = describe(capabilities, undefined, threading, wideVectors);
      try {
        return new CpuProvider({
          device,
          relaxedSimd,
          wideVectors,
          ...threading,
          ...(memoryBudget !== undefined && { memoryBudget }),
        });
      } catch (cause) {
        throw new OnnxTsError('PROVIDER', `it could not be opened: ${(cause as Error).message}.`, {
          place: { provider: 'cpu' },
          cause,
        });
      }
    },
  };
}

/** The probe comes with a part of the code generator, which web pages fetch when they compile. */
async function hasWideVectors(relaxedSimd: boolean): Promise<boolean> {
  const { probeWideVectors } = await import('./wide-vectors.ts');
  return probeWideVectors(relaxedSimd);
}

function describe(
  capabilities: Capabilities,
  unusable: string | undefined,
  threading?: Threading,
  wideVectors?: boolean,
): DeviceInfo {
  const reason = unusable ?? threading?.note;
  return {
    provider: 'cpu',
    name: threading
      ? `WebAssembly SIMD, ${threading.threads} thread${threading.threads === 1 ? '' : 's'}`
      : 'WebAssembly SIMD',
    usable: unusable === undefined,
    ...(reason !== undefined && { reason }),
    properties: {
      threads: threading?.threads ?? capabilities.concurrency,
      leader: threading?.leader ?? 'inline',
      relaxedSimd: capabilities.relaxedSimd,
      ...(wideVectors !== undefined && { wideVectors }),
    },
  };
}
