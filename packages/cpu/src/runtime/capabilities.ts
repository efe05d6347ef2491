// What this host can do, found out by trying and never by its version.

import { FunctionBuilder } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { nodeModule } from './host-modules.ts';

/** Whether something can be used; if not, why, in words for the user. */
export type Verdict = { readonly ok: true } | { readonly ok: false; readonly reason: string };

export interface Capabilities {
  /** Compiling WebAssembly from bytes. Where it is forbidden, modules compiled ahead of time still run. */
  readonly compile: Verdict;
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
  /** Memory shared between workers. */
  readonly threads: Verdict;
  /** Whether the calling thread may sleep; a browser page's may not. */
  readonly canBlock: boolean;
  /** Threads that can run at the same time, at least 1. */
  readonly concurrency: number;
}

/** Probes afresh; the results do not change while the program runs. */
export function probeCapabilities(): Capabilities {
  return {
    // Only on request: some hosts report each attempt.
    get compile() {
      return probeCompile();
    },
    simd: probeSimd(),
    relaxedSimd: probeRelaxedSimd(),
    threads: probeThreads(),
    canBlock: probeBlocking(),
    concurrency: hardwareConcurrency(),
  };
}

const ok: Verdict = { ok: true };

function probeCompile(): Verdict {
  if (typeof WebAssembly === 'undefined') return { ok: false, reason: 'this host has no WebAssembly' };
  try {
    new WebAssembly.Module(new ModuleBuilder().toBytes());
    return ok;
  } catch (error) {
    // Content security policies and hosts such as edge workers allow only modules that came with the program.
    return { ok: false, reason: `this host does not compile WebAssembly from bytes: ${messageOf(error)}` };
  }
}

function probeSimd(): boolean {
  return validates((f) => {
    f.lanesConst('f32x4', 1);
    f.op('f32x4.sqrt');
    f.drop();
  });
}

function probeRelaxedSimd(): boolean {
  const probe = (f: FunctionBuilder) => {
    for (let operand = 0; operand < 3; operand++) f.lanesConst('f32x4', 1);
    f.op('f32x4.relaxed_madd');
    f.drop();
  };
  if (validates(probe)) return true;
  // Node 20 knows the instructions but has them off. Engines that lack the flag ignore it.
  try {
    nodeModule('node:v8')?.setFlagsFromString('--experimental-wasm-relaxed-simd');
  } catch {
    return false;
  }
  return validates(probe);
}

function validates(write: (f: FunctionBuilder) => void): boolean {
  if (typeof WebAssembly === 'undefined') return false;
  const f = new FunctionBuilder('probe', {});
  write(f);
  const module = new ModuleBuilder();
  module.define(f);
  return WebAssembly.validate(module.toBytes());
}

function probeThreads(): Verdict {
  const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean };
  // Without isolation some browsers create shared memory, but none lets it travel to a worker.
  if (crossOriginIsolated === false) {
    return {
      ok: false,
      reason:
        'the page is not cross-origin isolated: serve it with the headers ' +
        '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp"',
    };
  }
  if (typeof SharedArrayBuffer === 'undefined') return { ok: false, reason: 'this host has no SharedArrayBuffer' };
  const { Worker } = globalThis as { Worker?: unknown };
  if (nodeModule('node:worker_threads') === undefined && Worker === undefined) {
    return { ok: false, reason: 'this host has no workers' };
  }
  try {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    if (memory.buffer instanceof SharedArrayBuffer) return ok;
    return { ok: false, reason: 'this host ignores the request for shared WebAssembly memory' };
  } catch (error) {
    return { ok: false, reason: `this host has no shared WebAssembly memory: ${messageOf(error)}` };
  }
}

export function probeBlocking(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false;
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0);
    return true;
  } catch {
    return false;
  }
}

export function hardwareConcurrency(): number {
  const { navigator } = globalThis as { navigator?: { hardwareConcurrency?: number } };
  // Node's count respects the limits set for the process, so it goes first.
  return Math.max(1, nodeModule('node:os')?.availableParallelism() ?? navigator?.hardwareConcurrency ?? 1);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
