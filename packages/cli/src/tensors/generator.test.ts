import type { Tensor } from '@onnx-ts/core';
import { expect, it } from 'vitest';
import { generateTensor, type TensorSpec } from './generator.ts';

// The values of an implementation that others share.
const examples: readonly (readonly [TensorSpec, readonly (number | bigint)[]])[] = [
  [
    { dtype: 'float32', shape: [5], seed: 11, dist: { kind: 'uniform', lo: -2, hi: 2 } },
    [-1.4950392246246338, 1.5776758193969727, 1.3277695178985596, -0.5748498439788818, -0.9593374729156494],
  ],
  [
    { dtype: 'float16', shape: [5], seed: 11, dist: { kind: 'uniform', lo: -2, hi: 2 } },
    [48635, 15952, 15696, 47257, 48045],
  ],
  [
    { dtype: 'bfloat16', shape: [5], seed: 11, dist: { kind: 'uniform', lo: -2, hi: 2 } },
    [49087, 16330, 16298, 48915, 49014],
  ],
  [
    { dtype: 'float64', shape: [2], seed: 5, dist: { kind: 'uniform', lo: 0, hi: 1 } },
    [0.2754862308502197, 0.7709434628486633],
  ],
  [
    { dtype: 'int64', shape: [5], seed: 21, dist: { kind: 'uniform_int', lo: 0, hi: 51864 } },
    [32740n, 20973n, 10565n, 22324n, 31164n],
  ],
  [{ dtype: 'uint8', shape: [5], seed: 3, dist: { kind: 'nibbles', lo: 1, hi: 15 } }, [30, 252, 73, 69, 193]],
  [{ dtype: 'int64', shape: [2, 3], dist: { kind: 'arange', start: 1, step: 2, period: 4 } }, [1n, 3n, 5n, 7n, 1n, 3n]],
  [
    {
      dtype: 'float32',
      shape: [3, 2],
      dist: { kind: 'rope', part: 'sin', c1: [0.5, 0.8], s1: [Math.sqrt(0.75), 0.6] },
    },
    [0, 0, 0.8660253882408142, 0.6000000238418579, 0.8660253882408142, 0.9599999785423279],
  ],
  [{ dtype: 'bool', shape: [3], dist: { kind: 'constant', value: 1 } }, [1, 1, 1]],
  [{ dtype: 'float32', shape: [2, 2], dist: { kind: 'fractions', count: 4 } }, [0, 0.25, 0.5, 0.75]],
];

it.each(examples.map(([spec, values]) => [`${spec.dtype} ${spec.dist.kind}`, spec, values] as const))(
  '%s',
  (_, spec, values) => {
    const tensor: Tensor = generateTensor(spec);
    expect(tensor.dims).toEqual(spec.shape);
    expect([...tensor.data]).toEqual(values);
  },
);

it('strings repeat', () => {
  const tensor = generateTensor({ dtype: 'string', shape: [3], dist: { kind: 'values', values: ['a', 'b'] } });
  expect(tensor.data).toEqual(['a', 'b', 'a']);
});
