import { Dim, elementAt, exp, mul, newTensorRef, StageBuilder, toIndex } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { secondsOf, type Work, workOfProgram, workOfStage } from './cost.ts';

const m = Dim.symbol('m');
const tensor = (name: string, ...shape: (Dim | number)[]) => newTensorRef(name, 'float32', shape.map(Dim.from));

/** Bytes read, bytes written and operations where m is 3. */
function sizes({ reads, writes, arithmetic }: Work): number[] {
  return [reads, writes, arithmetic].map((dim) => dim.evaluate(new Map([['m', 3]])));
}

/** y = exp(a · b), of sizes m×8 and 8×4. */
function product() {
  const [a, b] = [tensor('a', m, 8), tensor('b', 8, 4)];
  const builder = new StageBuilder();
  const sum = builder.reduce('sum', 'float32', [m, 4], [8], ([i, j], [k]) =>
    mul(elementAt(a, [i, k]), elementAt(b, [k, j])),
  );
  const y = builder.map('float32', [m, 4], (index) => exp(elementAt(sum, index)));
  return {
    sum,
    y,
    program: { inputs: [a, b], stages: builder.stages, outputs: [{ tensor: tensor('y', m, 4), source: y }] },
  };
}

describe('work of a stage', () => {
  it('counts a multiplication and an addition for each term of a product', () => {
    const { sum } = product();
    expect(sizes(workOfStage(sum))).toEqual([4 * (3 * 8 + 8 * 4), 4 * 3 * 4, 2 * 3 * 4 * 8]);
  });

  it('reads no more than an index map asks for', () => {
    const x = tensor('x', 1000);
    const slice = new StageBuilder().map('float32', [10], ([i]) => elementAt(x, [i]));
    const { reads, arithmetic } = workOfStage(slice);
    expect([reads, arithmetic].map((dim) => dim.constant)).toEqual([40, 0]);
  });

  it('counts the elements that an index from data asks for', () => {
    const [table, ids] = [tensor('table', 1000, 4), newTensorRef('ids', 'int64', [m])];
    const rows = new StageBuilder().map('float32', [m, 4], ([i, j]) =>
      elementAt(table, [toIndex(elementAt(ids, [i])), j]),
    );
    expect(workOfStage(rows).reads.evaluate(new Map([['m', 2]]))).toBe(2 * 4 * 4 + 2 * 8);
  });
});

it('work of a program: fused stages pass results in registers', () => {
  const { program } = product();
  const work = workOfProgram(program);
  expect(work.kernels).toBe(1);
  expect(sizes(work)).toEqual([4 * (3 * 8 + 8 * 4), 4 * 3 * 4, 3 * 4 * (2 * 8 + 10)]);
  const profile = { launch: 1, flops: 104, bandwidth: 1e9, transferLatency: 0, transferBandwidth: 1 };
  expect(secondsOf(work, 1, profile, new Map([['m', 3]]))).toBeCloseTo(4, 6);
});
