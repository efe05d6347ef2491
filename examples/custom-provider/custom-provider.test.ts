import { runConformance } from '@onnx-ts/conformance';
import { createSession, reference, Tensor } from '@onnx-ts/core';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { expect, it } from 'vitest';
import { plainKernels } from './provider.ts';

const matrix = (rows: number | string, columns: number) => ({
  tensorType: {
    elemType: 1,
    shape: { dim: [typeof rows === 'string' ? { dimParam: rows } : { dimValue: rows }, { dimValue: columns }] },
  },
});

/** y = Softmax(Relu(x · w)) */
const model = encodeModel({
  irVersion: 10,
  opsetImport: [{ version: 20 }],
  graph: {
    name: 'layers',
    input: [{ name: 'x', type: matrix('rows', 3) }],
    output: [{ name: 'y', type: matrix('rows', 4) }],
    initializer: [
      { name: 'w', dataType: 1, dims: [3, 4], floatData: Array.from({ length: 12 }, (_, at) => Math.sin(at)) },
    ],
    node: [
      { opType: 'MatMul', input: ['x', 'w'], output: ['a'] },
      { opType: 'Relu', input: ['a'], output: ['b'] },
      { opType: 'Softmax', input: ['b'], output: ['y'] },
    ],
  },
});

it('runs its operators on its own kernels and the rest elsewhere', async () => {
  const feeds = {
    x: new Tensor(
      'float32',
      Array.from({ length: 15 }, (_, at) => Math.cos(at * 2)),
      [5, 3],
    ),
  };
  await using mixed = await createSession(model, { providers: [plainKernels(), reference()] });
  await using plain = await createSession(model, { providers: [reference()] });
  const [got, want] = [(await mixed.run(feeds)).y, (await plain.run(feeds)).y];
  expect(got.dims).toEqual([5, 4]);
  for (const [at, value] of (want.data as Float32Array).entries())
    expect((got.data as Float32Array)[at]).toBeCloseTo(value, 5);
  const { steps } = mixed.explain();
  expect(steps.map((step) => [step.provider, step.nodes.map((node) => node.op)])).toEqual([
    ['plain', ['MatMul', 'Relu']],
    ['reference', ['Softmax']],
  ]);
});

it('passes the conformance kit', async () => {
  // All cases: onnx-ts conformance --provider examples/custom-provider/provider.ts
  const report = await runConformance(plainKernels(), { perGenerator: 1, graphs: 10 });
  expect(report.results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error')).toEqual([]);
  expect(report.findings).toEqual([]);
  expect(report.counts.pass).toBeGreaterThanOrEqual(34);
});
