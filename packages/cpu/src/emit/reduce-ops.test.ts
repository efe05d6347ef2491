import type { DType } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { binaryFunction, type ScalarValue } from '../../../tensor-ir/src/scalar-ops.ts';
import { apply, compile, randomFrom, randomValues, seed, toElements, toValues } from '../../tests/emit-harness.ts';
import {
  combiningOp,
  emitCombine,
  emitHorizontal,
  emitIdentity,
  emitIdentityScalar,
  type LaneReduceOp,
} from './reduce-ops.ts';
import { emitBinaryScalar } from './scalar-ops.ts';
import { isWide } from './value-type.ts';
import { emitSplat } from './vector-ops.ts';

const numeric: readonly DType[] = [
  'float32',
  'float64',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'int8',
  'uint8',
  'int16',
  'uint16',
];
const cases: readonly (readonly [DType, readonly LaneReduceOp[]])[] = [
  ...numeric.map((type) => [type, ['sum', 'prod', 'max', 'min']] as const),
  ['int32', ['and', 'or']],
  ['bool', ['and', 'or', 'max', 'min']],
];

for (const [type, ops] of cases) {
  describe.each(ops)(`%s of ${type}`, (op) => {
    const reference = binaryFunction(combiningOp(op), type) as (a: ScalarValue, b: ScalarValue) => ScalarValue;
    const pattern = randomValues(type, 8, randomFrom(seed));

    it.each(isWide(type) ? ([2] as const) : ([4, 2] as const))('over %s lanes', (lanes) => {
      const kernel = {
        inputs: [type],
        output: type,
        emit: (c: Parameters<typeof emitHorizontal>[0]) => {
          emitHorizontal(c, op, type);
          emitSplat(c, type);
        },
      };
      const data = toElements(type, pattern);
      const result = toValues(type, apply(kernel, compile(kernel, lanes), [data]));
      const values = toValues(type, data);
      for (let at = 0; at < values.length; at += lanes) {
        const part = values.slice(at, at + lanes);
        const [a, b] = lanes === 4 ? [reference(part[0], part[2]), reference(part[1], part[3])] : part;
        expect(result[at]).toEqual(reference(a, b));
        expect(result[at + lanes - 1]).toEqual(result[at]);
      }
    });

    it('starts from a neutral element', () => {
      for (const lanes of isWide(type) ? ([2, 1] as const) : ([4, 1] as const)) {
        const kernel = {
          inputs: [type],
          output: type,
          emit: (c: Parameters<typeof emitHorizontal>[0]) => {
            if (lanes === 1) {
              emitIdentityScalar(c, op, type);
              emitBinaryScalar(c, combiningOp(op), type);
            } else {
              emitIdentity(c, op, type);
              emitCombine(c, op, type);
            }
          },
        };
        const data = toElements(type, pattern);
        expect(apply(kernel, compile(kernel, lanes), [data])).toEqual(data);
      }
    });
  });
}
