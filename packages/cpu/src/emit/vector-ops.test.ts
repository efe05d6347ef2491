import type { BinaryOp, CompareOp, DType, TestOp, UnaryOp } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import {
  binaryFunction,
  compareFunction,
  type ScalarValue,
  testFunction,
  unaryFunction,
} from '../../../tensor-ir/src/scalar-ops.ts';
import {
  type Case,
  check,
  compile,
  interestingValues,
  randomFrom,
  randomValues,
  seed,
} from '../../tests/emit-harness.ts';
import type { EmitContext } from './context.ts';
import {
  emitBinaryScalar,
  emitCompareScalar,
  emitConstScalar,
  emitSelectScalar,
  emitTestScalar,
  emitUnaryScalar,
} from './scalar-ops.ts';
import { isWide } from './value-type.ts';
import { emitBinary, emitCompare, emitConst, emitSelect, emitShiftBy, emitTest, emitUnary } from './vector-ops.ts';

const floats: readonly DType[] = ['float32', 'float64', 'float16', 'bfloat16', 'float8e4m3fn', 'float8e5m2'];
const integers: readonly DType[] = [
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
];

function pairs(type: DType, random: () => number): [ScalarValue[], ScalarValue[]] {
  const values = interestingValues(type);
  const crossed = values.flatMap((a) => values.map((b) => [a, b] as const));
  const count = 300;
  return [
    [...crossed.map(([a]) => a), ...randomValues(type, count, random)],
    [...crossed.map(([, b]) => b), ...randomValues(type, count, random)],
  ];
}

const unsigned = (value: ScalarValue): ScalarValue => (value === 0 ? 0 : value);

const wrapInt2 = (x: number): number => (x << 30) >> 30;

describe('unary operations', () => {
  const exact: readonly UnaryOp[] = ['neg', 'abs', 'sign', 'floor', 'ceil', 'round', 'trunc', 'sqrt'];
  for (const type of floats) {
    it.each(exact)(`%s of ${type}`, (op) => {
      const values = [...interestingValues(type), ...randomValues(type, 203, randomFrom(seed))];
      check(
        {
          inputs: [type],
          output: type,
          vector: (c) => emitUnary(c, op, type),
          scalar: (c) => emitUnaryScalar(c, op, type),
          reference: unaryFunction(op, type),
        },
        [values],
      );
    });
  }
  for (const type of integers) {
    it.each(['neg', 'abs', 'sign', 'not', 'popcount'] as const)(`%s of ${type}`, (op) => {
      const values = [...interestingValues(type), ...randomValues(type, 203, randomFrom(seed))];
      check(
        {
          inputs: [type],
          output: type,
          vector: (c) => emitUnary(c, op, type),
          scalar: (c) => emitUnaryScalar(c, op, type),
          // Two set bits are more than an int2 can hold.
          reference:
            type === 'int2' ? (x: never) => wrapInt2(unaryFunction(op, type)(x) as number) : unaryFunction(op, type),
        },
        [values],
      );
    });
  }
  it('not of bool', () => {
    check(
      {
        inputs: ['bool'],
        output: 'bool',
        vector: (c) => emitUnary(c, 'not', 'bool'),
        scalar: (c) => emitUnaryScalar(c, 'not', 'bool'),
        reference: unaryFunction('not', 'bool'),
      },
      [[true, false, true, true, false]],
    );
  });
  it('refuses what a type does not have', () => {
    const refuse = (op: UnaryOp, type: DType) => () =>
      compile({ inputs: [type], output: type, emit: (c) => emitUnary(c, op, type) }, isWide(type) ? 2 : 4);
    expect(refuse('exp', 'int32')).toThrow('exp of int32');
    expect(refuse('popcount', 'float64')).toThrow('popcount of float64');
    expect(refuse('neg', 'bool')).toThrow('neg of bool');
  });
});

describe('binary operations', () => {
  const floatOps: readonly BinaryOp[] = ['add', 'sub', 'mul', 'div', 'min', 'max', 'mod', 'rem'];
  const integerOps: readonly BinaryOp[] = [
    'add',
    'sub',
    'mul',
    'div',
    'mod',
    'rem',
    'pow',
    'min',
    'max',
    'and',
    'or',
    'xor',
    'shl',
    'shr',
  ];
  const boolOps: readonly BinaryOp[] = ['and', 'or', 'xor', 'min', 'max'];
  for (const [types, ops] of [
    [floats, floatOps],
    [integers, integerOps],
    [['bool'] as const, boolOps],
  ] as const) {
    for (const type of types) {
      it.each(ops)(`%s of ${type}`, (op) => {
        const reference = binaryFunction(op, type) as (a: ScalarValue, b: ScalarValue) => ScalarValue;
        const isExtreme = op === 'min' || op === 'max';
        const test: Case = {
          inputs: [type, type],
          output: type,
          vector: (c) => emitBinary(c, op, type),
          scalar: (c) => emitBinaryScalar(c, op, type),
          reference,
        };
        if (!isExtreme) return check(test, pairs(type, randomFrom(seed)));
        // Which of two zeros is the smaller one is not specified.
        const columns = pairs(type, randomFrom(seed)).map((column) => column.map(unsigned)) as [
          ScalarValue[],
          ScalarValue[],
        ];
        check(test, columns);
        const facts: Case = { ...test, vector: (c) => emitBinary(c, op, type, { rightIsNumber: true }) };
        const numbers = columns[0].map((_, i) => i).filter((i) => !Number.isNaN(columns[1][i]));
        check(
          facts,
          columns.map((column) => numbers.map((i) => column[i])),
        );
      });
    }
  }
  for (const type of integers) {
    it.each(['shl', 'shr'] as const)(`%s of ${type} by a constant`, (op) => {
      const reference = binaryFunction(op, type) as (a: ScalarValue, b: ScalarValue) => ScalarValue;
      for (const amount of [0, 1, 3, 15, 31, 63, 64, -1]) {
        const operand = isWide(type) ? BigInt(amount) : amount;
        check(
          {
            inputs: [type],
            output: type,
            vector: (c) => emitShiftBy(c, op, type, amount),
            scalar: (c) => {
              emitConstScalar(c, type, operand);
              emitBinaryScalar(c, op, type);
            },
            reference: (x: never) => reference(x, operand),
          },
          [[...interestingValues(type), ...randomValues(type, 100, randomFrom(seed))]],
        );
      }
    });
  }
});

describe('comparisons, tests and choices', () => {
  const ops: readonly CompareOp[] = ['eq', 'ne', 'lt', 'le', 'gt', 'ge'];
  for (const type of [...floats, ...integers, 'bool' as const]) {
    it.each(ops)(`%s of ${type}`, (op) => {
      check(
        {
          inputs: [type, type],
          output: 'bool',
          vector: (c) => emitCompare(c, op, type),
          scalar: (c) => emitCompareScalar(c, op, type),
          reference: compareFunction(op, type) as Case['reference'],
        },
        pairs(type, randomFrom(seed)),
      );
    });
    it(`select of ${type}`, () => {
      const [a, b] = pairs(type, randomFrom(seed));
      const random = randomFrom(seed);
      check(
        {
          inputs: [type, type, 'bool'],
          output: type,
          vector: (c) => emitSelect(c, type),
          scalar: (c) => emitSelectScalar(c),
          reference: (x: never, y: never, condition: boolean) => (condition ? x : y),
        },
        [a, b, a.map(() => random() < 0.5)],
      );
    });
  }
  for (const type of floats) {
    it.each(['isnan', 'isposinf', 'isneginf'] as const satisfies readonly TestOp[])(`%s of ${type}`, (op) => {
      check(
        {
          inputs: [type],
          output: 'bool',
          vector: (c) => emitTest(c, op, type),
          scalar: (c) => emitTestScalar(c, op, type),
          reference: testFunction(op) as Case['reference'],
        },
        [interestingValues(type)],
      );
    });
  }
});

describe('constants', () => {
  for (const type of [...floats, ...integers, 'bool' as const]) {
    it(`of ${type}`, () => {
      for (const value of interestingValues(type)) {
        const number = typeof value === 'boolean' ? Number(value) : (value as number | bigint);
        const drop = (c: EmitContext): void => c.f.drop();
        check(
          {
            inputs: [type],
            output: type,
            vector: (c) => {
              drop(c);
              emitConst(c, type, number);
            },
            scalar: (c) => {
              drop(c);
              emitConstScalar(c, type, number);
            },
            reference: () => value,
          },
          [[value, value, value]],
        );
      }
    });
  }
});
