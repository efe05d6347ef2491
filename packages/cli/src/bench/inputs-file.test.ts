import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder, writeFile } from '../../tests/fixtures.ts';
import { checkOutputs, type ExpectedOutput, readInputsFile } from './inputs-file.ts';
import { differenceOf, type PlainTensors } from './plain-tensor.ts';
import { percentile } from './statistics.ts';

const outputs = (...values: number[]): PlainTensors => ({
  y: { type: 'float32', dims: [1, values.length], data: Float32Array.from(values) },
});
const tolerance = { max: 1e-3, mean: 2e-4 };

it('reads cases', () => {
  const path = writeFile(
    join(temporaryFolder(), 'inputs.json'),
    JSON.stringify({
      tolerance: { max_over_absmax: 0.01, mean_over_absmax: 0.002 },
      cases: [
        { name: 'one', inputs: [{ name: 'x', dtype: 'int64', shape: [2], dist: { kind: 'constant', value: 3 } }] },
        { name: 'two', inputs: [{ name: 'x', dtype: 'int64', shape: [1], dist: { kind: 'nonsense' } }] },
      ],
    }),
  );
  const { name, feeds, expected, ...rest } = readInputsFile(path, undefined);
  expect([name, [...feeds.x.data], expected, rest.tolerance]).toEqual([
    'one',
    [3n, 3n],
    [],
    { max: 0.01, mean: 0.002 },
  ]);
  expect(() => readInputsFile(path, 'two')).toThrow('the input "x" cannot be made');
  expect(() => readInputsFile(path, 'three')).toThrow('the cases are one, two');
});

it('checks outputs against their summaries', () => {
  const want: ExpectedOutput = {
    name: 'y',
    dtype: 'float32',
    shape: [1, 4],
    first: [1, 2],
    sample: { stride: 3, values: [1, -10] },
    absmax: 10,
  };
  expect(checkOutputs(outputs(1, 2, 0, -10), [want], tolerance)).toEqual([{ output: 'y', maxError: 0, meanError: 0 }]);
  expect(checkOutputs(outputs(1, 2, 0, -10.1), [want], tolerance)[0].problem).toContain('exceed');
  expect(checkOutputs(outputs(1, Number.NaN, 0, -10), [want], tolerance)[0].problem).toBeDefined();
  expect(checkOutputs(outputs(1, 2), [want], tolerance)[0].problem).toBe('its shape is [1, 2], not [1, 4]');
  expect(checkOutputs({}, [want], tolerance)[0].problem).toBe('it is missing');
});

it('compares runtimes relative to the largest magnitude', () => {
  expect(differenceOf(outputs(100, 0.02), outputs(100, 0), tolerance)).toBeUndefined();
  expect(differenceOf(outputs(100, 1), outputs(100, 0), tolerance)).toContain('element 1 is 1, not 0');
  expect(differenceOf(outputs(100, Number.NaN), outputs(100, 0), tolerance)).toContain('NaN');
  expect(differenceOf({}, outputs(1), tolerance)).toBe('output "y" is missing');
});

it('percentiles', () => {
  expect(percentile([3, 1, 2], 0.5)).toBe(2);
  expect(percentile([1, 2], 0.5)).toBe(1.5);
  expect(percentile([5], 0.9)).toBe(5);
});
