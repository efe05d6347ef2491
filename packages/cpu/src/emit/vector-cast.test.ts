import { bitsOf, type DType, isFloat } from '@onnx-ts/tensor-ir';
import { describe, it } from 'vitest';
import { bitcastFunction, castFunction } from '../../../tensor-ir/src/scalar-casts.ts';
import { check, interestingValues, randomFrom, randomValues, seed } from '../../tests/emit-harness.ts';
import { emitBitcastScalar, emitCastScalar } from './scalar-ops.ts';
import { emitBitcast, emitCast } from './vector-ops.ts';

const types: readonly DType[] = [
  'float32',
  'float64',
  'float16',
  'bfloat16',
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'float8e8m0',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int4',
  'uint4',
  'int2',
  'uint2',
  'bool',
];

describe.each(types)('casts from %s', (from) => {
  for (const to of types.filter((type) => type !== from)) {
    it.each([false, true])(`to ${to}, saturate %s`, (saturate) => {
      check(
        {
          inputs: [from],
          output: to,
          vector: (c) => emitCast(c, from, to, saturate),
          scalar: (c) => emitCastScalar(c, from, to, saturate),
          reference: castFunction(from, to, saturate),
        },
        [[...interestingValues(from), ...randomValues(from, 301, randomFrom(seed))]],
      );
    });
  }
});

describe('bitcasts', () => {
  for (const from of types) {
    for (const to of types.filter(
      (type) => type !== from && bitsOf(type) === bitsOf(from) && from !== 'bool' && type !== 'bool',
    )) {
      it(`${from} to ${to}`, () => {
        // JavaScript numbers do not keep the payload of a NaN.
        const values = interestingValues(from).filter((value) => !(isFloat(from) && Number.isNaN(value)));
        check(
          {
            inputs: [from],
            output: to,
            vector: (c) => emitBitcast(c, from, to),
            scalar: (c) => emitBitcastScalar(c, from, to),
            reference: bitcastFunction(from, to),
          },
          [values],
        );
      });
    }
  }
});
