// What ran when, in the form of the Chrome trace viewer and Perfetto.

import type { TraceEvent } from '../provider/contract.ts';

/** Write it into a file with JSON.stringify. Times are in microseconds. */
export interface ChromeTrace {
  readonly traceEvents: readonly ChromeTraceEvent[];
}

export interface ChromeTraceEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: 'X';
  readonly ts: number;
  readonly dur: number;
  readonly pid: number;
  readonly tid: number;
  /** Of a kernel: whose work it is, and how much; see `TraceEvent`. */
  readonly args?: { readonly nodes: readonly string[]; readonly flops: number; readonly bytes: number };
}

export function chromeTrace(events: readonly TraceEvent[]): ChromeTrace {
  return {
    traceEvents: events.map(({ name, kind, start, duration, thread, nodes, flops = 0, bytes = 0 }) => ({
      name,
      cat: kind,
      ph: 'X',
      ts: start * 1000,
      dur: duration * 1000,
      pid: 1,
      tid: thread ?? 0,
      ...(nodes && { args: { nodes, flops, bytes } }),
    })),
  };
}
