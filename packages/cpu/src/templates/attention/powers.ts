// The step of an online softmax after a block's logits are known: powers relative to the row's reference, their sum, and
// the row's earlier sums brought to that reference.

import { FunctionBuilder, type Local } from '../../wasm/function.ts';
import { increase } from './block-product.ts';

/** Exponents below this give 0: powers that small are lost beside the power 1 that every row has. */
const leastExponent = -87;

/** Adding this rounds to an integer, which is then in the low bits. */
const roundingAnchor = 1.5 * 2 ** 23;

// ln 2 in two parts: products of the first with integers of 9 bits are exact.
const ln2Upper = 0.693359375;
const ln2Lower = -2.1219444e-4;

/** (e^r − 1 − r) ÷ r² for |r| ≤ ln 2 ÷ 2, a minimax fit. */
const coefficients = [
  0.4999999403953552, 0.16666515171527863, 0.041668087244033813, 0.00836929865181446, 0.0013838307932019234,
];

const params = {
  scores: 'i32',
  scoreStride: 'i32',
  rows: 'i32',
  keys: 'i32',
  references: 'i32',
  factors: 'i32',
  totals: 'i32',
  sums: 'i32',
  columns: 'i32',
} as const;

/**
 * Function (scores, scoreStride, rows, keys, references, factors, totals, sums, columns) → whether any power is not 0:
 * scores[r][k] = exp(scores[r][k] − references[r]) for k < keys, with zeros up to the next multiple of 4;
 * totals[r] = totals[r] · factors[r] + Σ over k of scores[r][k]; sums[r][c] *= factors[r] for c < columns (a multiple of
 * 4). Scores are at most their reference, −∞ or NaN.
 */
export function emitPowers({ relaxed }: { readonly relaxed: boolean }): FunctionBuilder {
  const f = new FunctionBuilder('powers', params, ['i32']);
  const [scores, scoreStride, rows, keys, references, factors, totals, sums, columns] = f.params;
  const [at, left, place, hasPower] = f.locals(4, 'i32');
  const [reference, sum, other] = f.locals(3, 'v128');
  const [factor, total] = f.locals(2, 'f32');
  const constants = new Constants(f);
  constants.prepare();
  f.loop((nextRow) => {
    f.get(references);
    f.load('v128.load32_splat', 0, 4);
    f.set(reference);
    for (const local of [sum, other]) {
      f.lanesConst('i32x4', 0);
      f.set(local);
    }
    f.get(scores);
    f.set(at);
    f.get(keys);
    f.set(left);
    const step = (offset: number, into: Local, mask?: () => void): void => {
      f.scope(() => {
        const x = f.local('v128', 'x');
        f.get(at);
        f.load('v128.load', offset, 4);
        f.get(reference);
        f.op('f32x4.sub');
        f.set(x);
        const power = f.local('v128', 'power');
        emitPower(f, constants, x, relaxed);
        if (mask) {
          mask();
          f.op('v128.and');
        }
        f.set(power);
        f.get(at);
        f.get(power);
        f.store('v128.store', offset, 4);
        f.get(into);
        f.get(power);
        f.op('f32x4.add');
        f.set(into);
      });
    };
    f.block((exit) => {
      f.loop((again) => {
        f.get(left);
        f.i32Const(8);
        f.op('i32.lt_s');
        f.brIf(exit);
        step(0, sum);
        step(16, other);
        increase(f, at, 32);
        increase(f, left, -8);
        f.br(again);
      });
    });
    f.block((exit) => {
      f.loop((again) => {
        f.get(left);
        f.i32Const(0);
        f.op('i32.le_s');
        f.brIf(exit);
        step(0, sum, () => {
          f.lanesConst('i32x4', [0, 1, 2, 3]);
          f.get(left);
          f.op('i32x4.splat');
          f.op('i32x4.lt_s');
        });
        increase(f, at, 16);
        increase(f, left, -4);
        f.br(again);
      });
    });
    f.get(sum);
    f.get(other);
    f.op('f32x4.add');
    f.set(sum);
    for (const lane of [0, 1, 2, 3]) {
      f.get(sum);
      f.lane('f32x4.extract_lane', lane);
      if (lane > 0) f.op('f32.add');
    }
    f.set(total);
    // NaN counts as a power.
    f.get(total);
    f.f32Const(0);
    f.op('f32.ne');
    f.get(hasPower);
    f.op('i32.or');
    f.set(hasPower);
    f.get(factors);
    f.load('f32.load');
    f.set(factor);
    f.get(totals);
    f.get(totals);
    f.load('f32.load');
    f.get(factor);
    f.op('f32.mul');
    f.get(total);
    f.op('f32.add');
    f.store('f32.store');
    f.get(factor);
    f.f32Const(1);
    f.op('f32.ne');
    f.if(() => {
      f.get(sums);
      f.set(place);
      f.get(columns);
      f.set(left);
      f.loop((again) => {
        f.get(place);
        f.get(place);
        f.load('v128.load', 0, 4);
        f.get(factor);
        f.op('f32x4.splat');
        f.op('f32x4.mul');
        f.store('v128.store', 0, 4);
        increase(f, place, 16);
        increase(f, left, -4);
        f.get(left);
        f.i32Const(0);
        f.op('i32.gt_s');
        f.brIf(again);
      });
    });
    f.get(scores);
    f.get(scoreStride);
    f.op('i32.add');
    f.set(scores);
    f.get(sums);
    f.get(columns);
    f.i32Const(2);
    f.op('i32.shl');
    f.op('i32.add');
    f.set(sums);
    for (const pointer of [references, factors, totals]) increase(f, pointer, 4);
    increase(f, rows, -1);
    f.get(rows);
    f.brIf(nextRow);
  });
  f.get(hasPower);
  return f;
}

/** Vector constants in locals. */
class Constants {
  readonly #f: FunctionBuilder;
  readonly #locals = new Map<number, Local>();

  constructor(f: FunctionBuilder) {
    this.#f = f;
  }

  prepare(): void {
    for (const value of [leastExponent, Math.LOG2E, roundingAnchor, ln2Upper, ln2Lower, 1, ...coefficients]) {
      const local = this.#f.local('v128', `const ${value}`);
      this.#f.f32Const(value);
      this.#f.op('f32x4.splat');
      this.#f.set(local);
      this.#locals.set(value, local);
    }
  }

  get(value: number): void {
    this.#f.get(this.#locals.get(value)!);
  }
}

/** Pushes e^x for x ≤ 0, and 0 for x below `leastExponent`; NaN stays. */
function emitPower(f: FunctionBuilder, c: Constants, x: Local, relaxed: boolean): void {
  const [y, anchored, n, r, square] = f.locals(5, 'v128');
  const isSmall = f.local('v128');
  // sum + a · b
  const multiplyAdd = (sum: () => void, a: () => void, b: () => void): void => {
    if (relaxed) {
      a();
      b();
      sum();
      f.op('f32x4.relaxed_madd');
    } else {
      sum();
      a();
      b();
      f.op('f32x4.mul');
      f.op('f32x4.add');
    }
  };
  const subtractProduct = (from: Local, a: Local, constant: number): void => {
    if (relaxed) {
      f.get(a);
      c.get(constant);
      f.get(from);
      f.op('f32x4.relaxed_nmadd');
    } else {
      f.get(from);
      f.get(a);
      c.get(constant);
      f.op('f32x4.mul');
      f.op('f32x4.sub');
    }
  };
  f.get(x);
  c.get(leastExponent);
  f.op('f32x4.lt');
  f.set(isSmall);
  f.get(x);
  c.get(leastExponent);
  f.op('f32x4.pmax');
  f.set(y);
  multiplyAdd(
    () => c.get(roundingAnchor),
    () => f.get(y),
    () => c.get(Math.LOG2E),
  );
  f.set(anchored);
  f.get(anchored);
  c.get(roundingAnchor);
  f.op('f32x4.sub');
  f.set(n);
  subtractProduct(y, n, ln2Upper);
  f.set(r);
  subtractProduct(r, n, ln2Lower);
  f.set(r);
  f.get(r);
  f.get(r);
  f.op('f32x4.mul');
  f.set(square);
  // Pairs of coefficients, so that the chain is short.
  const pair = (i: number) => () =>
    multiplyAdd(
      () => c.get(coefficients[i]),
      () => f.get(r),
      () => c.get(coefficients[i + 1]),
    );
  const upper = (): void =>
    multiplyAdd(
      pair(2),
      () => f.get(square),
      () => c.get(coefficients[4]),
    );
  const all = (): void => multiplyAdd(pair(0), () => f.get(square), upper);
  multiplyAdd(
    () => {
      f.get(r);
      c.get(1);
      f.op('f32x4.add');
    },
    () => f.get(square),
    all,
  );
  // 2^n: n as an exponent, added to that of 1.
  f.get(anchored);
  f.i32Const(23);
  f.op('i32x4.shl');
  c.get(1);
  f.op('i32x4.add');
  f.op('f32x4.mul');
  f.get(isSmall);
  f.op('v128.andnot');
}
