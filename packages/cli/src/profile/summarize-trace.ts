// Traces of several runs → time and work of each kernel.

import type { ChromeTraceEvent } from '@onnx-ts/core';
import { percentile } from '../bench/statistics.ts';

export interface KernelTime {
  readonly name: string;
  /** Class of the kernel or name of its template; `host` for nodes on the host. */
  readonly kind: string;
  readonly nodes: readonly string[];
  /** Times that it ran in a run. */
  readonly launches: number;
  /** Median over the runs of the time in one run. */
  readonly ms: number;
  /** The least of these times: what other processes disturb least. */
  readonly leastMs: number;
  /** Work in one run; 0 where nobody counts it. */
  readonly flops: number;
  readonly bytes: number;
}

export interface TraceSummary {
  /** Longest first. */
  readonly kernels: readonly KernelTime[];
  /** Medians over the runs: a whole run, and what is left of it beside kernels and host nodes. */
  readonly runMs: number;
  readonly overheadMs: number;
}

interface Entry {
  readonly name: string;
  readonly kind: string;
  readonly nodes: readonly string[];
  readonly ms: number[];
  launches: number;
  flops: number;
  bytes: number;
}

/** @param runs the events of each run */
export function summarizeTrace(runs: readonly (readonly ChromeTraceEvent[])[]): TraceSummary {
  const entries = new Map<string, Entry>();
  const runMs: number[] = [];
  const overheadMs: number[] = [];
  for (const [run, events] of runs.entries()) {
    let whole = 0;
    let inside = 0;
    for (const event of events) {
      const ms = event.dur / 1000;
      if (event.cat === 'session') {
        whole += ms;
        continue;
      }
      inside += ms;
      const entry = entryOf(entries, event);
      entry.ms[run] = (entry.ms[run] ?? 0) + ms;
      // Work is the same in each run of the same sizes.
      if (run > 0) continue;
      entry.launches++;
      entry.flops += event.args?.flops ?? 0;
      entry.bytes += event.args?.bytes ?? 0;
    }
    runMs.push(whole);
    overheadMs.push(Math.max(0, whole - inside));
  }
  const kernels = [...entries.values()].map(({ ms, ...entry }): KernelTime => {
    const all = Array.from({ length: runs.length }, (_, run) => ms[run] ?? 0);
    return { ...entry, ms: percentile(all, 0.5), leastMs: Math.min(...all) };
  });
  return {
    kernels: kernels.sort((a, b) => b.ms - a.ms),
    runMs: percentile(runMs, 0.5),
    overheadMs: percentile(overheadMs, 0.5),
  };
}

function entryOf(entries: Map<string, Entry>, { name, cat, args }: ChromeTraceEvent): Entry {
  const isHost = cat.startsWith('host ');
  const nodes = args?.nodes ?? [isHost ? `${name} (${cat.slice(5)})` : name];
  const key = [name, cat, ...nodes].join('\n');
  let entry = entries.get(key);
  if (!entry) {
    entry = { name, kind: isHost ? 'host' : cat, nodes, ms: [], launches: 0, flops: 0, bytes: 0 };
    entries.set(key, entry);
  }
  return entry;
}
