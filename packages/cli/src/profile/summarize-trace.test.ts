import type { ChromeTraceEvent } from '@onnx-ts/core';
import { expect, it } from 'vitest';
import { shareOfLimit } from './machine-rates.ts';
import { summarizeTrace } from './summarize-trace.ts';

const event = (name: string, cat: string, ms: number, args?: ChromeTraceEvent['args']): ChromeTraceEvent => ({
  name,
  cat,
  ph: 'X',
  ts: 0,
  dur: ms * 1000,
  pid: 1,
  tid: 0,
  ...(args && { args }),
});

const nodes = ['a', 'b'];

/** A kernel in two parts, a node on the host, and the whole run. */
const run = (ms: number): ChromeTraceEvent[] => [
  event('k', 'product', ms, { nodes, flops: 100, bytes: 10 }),
  event('k', 'product', ms, { nodes, flops: 0, bytes: 0 }),
  event('n', 'host Loop', 1),
  event('run', 'session', 2 * ms + 1.5),
];

it('takes medians over runs and adds up the parts of a kernel', () => {
  const { kernels, runMs, overheadMs } = summarizeTrace([run(3), run(1), run(2)]);
  expect(kernels).toMatchObject([
    { kind: 'product', nodes, ms: 4, leastMs: 2, flops: 100, bytes: 10 },
    { kind: 'host', nodes: ['n (Loop)'], ms: 1, flops: 0 },
  ]);
  expect(runMs).toBe(5.5);
  expect(overheadMs).toBeCloseTo(0.5);
});

it('the share of the limit is that of the scarcer resource', () => {
  const rates = { flops: 1e9, bandwidth: 1e9 };
  expect(shareOfLimit(5e5, 1e5, 1, rates)).toBeCloseTo(0.5);
  expect(shareOfLimit(1e5, 8e5, 1, rates)).toBeCloseTo(0.8);
});
