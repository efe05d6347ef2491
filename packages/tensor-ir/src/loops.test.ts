import { describe, expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { add, constant, dimension, mul, newAxis, toIndex } from './expr.ts';
import { elementAtOffset, type LoopPhase, newRegister, newRowBuffer, type Statement, variableValue } from './loops.ts';
import { printPhase } from './print-loops.ts';
import { newTensorRef } from './tensor-ref.ts';
import { verifyPhase } from './verify-loops.ts';

const N = Dim.symbol('N');
const x = newTensorRef('x', 'float32', [N, Dim.constant(64)]);
const y = newTensorRef('y', 'float32', [N, Dim.constant(64)]);
const row = newAxis('row', N);
const lane = newAxis('lane', 64);
const total = newRegister('total', 'float32');
const kept = newRowBuffer('kept', 'float32', 64);
const offset = add(mul(toIndex(row), 64), toIndex(lane));

function phase(body: readonly Statement[]): LoopPhase {
  return { name: 'sums', parallel: [row], body, independent: false };
}

const declareTotal: Statement = { kind: 'alloc', tensor: total, scope: 'register', initial: constant('float32', 0) };
const keep: Statement = { kind: 'store', tensor: kept, offset: toIndex(lane), value: elementAtOffset(x, offset) };

const whole = phase([
  declareTotal,
  { kind: 'alloc', tensor: kept, scope: 'row' },
  {
    kind: 'for',
    loops: [{ axis: lane, mode: 'vector' }],
    reductions: [{ variable: total, op: 'sum', value: elementAtOffset(x, offset) }],
    body: [keep],
  },
  {
    kind: 'for',
    loops: [{ axis: lane, mode: 'vector', begin: dimension(1), end: dimension(63) }],
    reductions: [],
    body: [
      {
        kind: 'store',
        tensor: y,
        offset,
        value: add(elementAtOffset(kept, toIndex(lane)), variableValue(total)),
      },
    ],
  },
]);

const memory = { params: [x], outputs: [y] };

describe('printPhase', () => {
  it('shows one statement a line', () => {
    expect(printPhase(whole)).toMatchInlineSnapshot(`
      "phase sums parallel row < N
        register total: float32 = 0
        row kept: float32[64]
        for vector lane < 64
          total sum= x[row * 64 + lane]
          kept[lane] = x[row * 64 + lane]
        for vector 1 <= lane < 63
          y[row * 64 + lane] = kept[lane] + total[]"
    `);
  });
});

describe('verifyPhase', () => {
  it('accepts a correct phase', () => {
    expect(() => verifyPhase(whole, memory)).not.toThrow();
  });

  const wrong: Record<string, readonly Statement[]> = {
    'kept may not be written': [{ kind: 'for', loops: [{ axis: lane, mode: 'serial' }], reductions: [], body: [keep] }],
    'variable total is not declared': [{ kind: 'set', variable: total, value: constant('float32', 1) }],
    'axis lane is not in scope': [{ kind: 'store', tensor: y, offset, value: constant('float32', 1) }],
    'value for y is int32 instead of float32': [
      { kind: 'store', tensor: y, offset: toIndex(row), value: constant('int32', 1) },
    ],
    'x may not be written': [{ kind: 'store', tensor: x, offset: toIndex(row), value: constant('float32', 1) }],
    'axis row is bound twice': [{ kind: 'let', axis: row, value: dimension(1) }],
    'row.u is unrolled, but its bounds are no constants': [
      { kind: 'for', loops: [{ axis: newAxis('row.u', N), mode: 'unroll' }], reductions: [], body: [] },
    ],
    'lane.v is a vector loop inside a vector loop': [
      {
        kind: 'for',
        loops: [{ axis: lane, mode: 'vector' }],
        reductions: [],
        body: [{ kind: 'for', loops: [{ axis: newAxis('lane.v', 4), mode: 'vector' }], reductions: [], body: [] }],
      },
    ],
  };
  for (const [problem, body] of Object.entries(wrong)) {
    it(`finds: ${problem}`, () => expect(() => verifyPhase(phase(body), memory)).toThrow(problem));
  }
});
