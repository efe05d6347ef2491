// Integer operations that trap or do not exist in WebAssembly, as functions on one value.

import type { Local } from '../wasm/function.ts';
import type { EmitContext, HelperDefinition } from './context.ts';

type Word = 'i32' | 'i64';
type Sign = 's' | 'u';

/** Quotient, truncated; 0 for a divisor of 0; the least integer divided by −1 wraps. */
function division(word: Word, sign: Sign): HelperDefinition {
  return {
    name: `${word}.quotient_${sign}`,
    params: { a: word, b: word },
    result: word,
    body: (c, [a, b]) => {
      const { f } = c;
      // −a instead of a ÷ −1, which traps for the least integer.
      const quotient = (): void => {
        f.get(a);
        f.get(b);
        f.op(`${word}.div_${sign}`);
      };
      const divide =
        sign === 'u'
          ? quotient
          : () => {
              emitIs(c, word, b, -1);
              f.if(
                word,
                () => {
                  emitInt(c, word, 0);
                  f.get(a);
                  f.op(`${word}.sub`);
                },
                quotient,
              );
            };
      f.get(b);
      f.op(`${word}.eqz`);
      f.if(word, () => emitInt(c, word, 0), divide);
    },
  };
}

/** Remainder with the sign of the dividend, or of the divisor when `floored`; 0 for a divisor of 0. */
function remainder(word: Word, sign: Sign, floored: boolean): HelperDefinition {
  return {
    name: `${word}.${floored ? 'mod' : 'rem'}_${sign}`,
    params: { a: word, b: word },
    result: word,
    body: (c, [a, b]) => {
      const { f } = c;
      f.get(b);
      f.op(`${word}.eqz`);
      f.if(
        word,
        () => emitInt(c, word, 0),
        () => {
          f.get(a);
          f.get(b);
          f.op(`${word}.rem_${sign}`);
          if (!floored || sign === 'u') return;
          // Add the divisor where the remainder is not zero and has the other sign.
          f.set(a);
          f.get(a);
          f.get(b);
          emitInt(c, word, 0);
          f.get(a);
          emitInt(c, word, 0);
          f.op(`${word}.ne`);
          f.get(a);
          f.get(b);
          f.op(`${word}.xor`);
          emitInt(c, word, 0);
          f.op(`${word}.lt_s`);
          f.op('i32.and');
          f.select();
          f.op(`${word}.add`);
        },
      );
    },
  };
}

/**
 * base^exponent, wrapped to 64 bits, by repeated squaring. A negative exponent gives the truncated reciprocal: ±1 for a
 * base of ±1, otherwise 0.
 */
function integerPower(sign: Sign): HelperDefinition {
  return {
    name: `i64.pow_${sign}`,
    params: { base: 'i64', exponent: 'i64' },
    result: 'i64',
    body: (c, [base, exponent]) => {
      const { f } = c;
      const result = f.local('i64', 'result');
      f.i64Const(1);
      f.set(result);
      if (sign === 's') {
        f.get(exponent);
        f.i64Const(0);
        f.op('i64.lt_s');
        f.if(() => {
          // ±1 to the power −n is the same as to the power n; the parity of the exponent is all that counts.
          f.get(base);
          f.i64Const(1);
          f.op('i64.add');
          f.i64Const(2);
          f.op('i64.gt_u');
          f.get(base);
          f.op('i64.eqz');
          f.op('i32.or');
          f.if(() => {
            f.i64Const(0);
            f.return();
          });
          f.get(exponent);
          f.i64Const(1);
          f.op('i64.and');
          f.set(exponent);
        });
      }
      f.block((exit) => {
        f.loop((again) => {
          f.get(exponent);
          f.op('i64.eqz');
          f.brIf(exit);
          f.get(result);
          f.get(base);
          f.op('i64.mul');
          f.get(result);
          f.get(exponent);
          f.i64Const(1);
          f.op('i64.and');
          f.op('i32.wrap_i64');
          f.select();
          f.set(result);
          f.get(base);
          f.get(base);
          f.op('i64.mul');
          f.set(base);
          f.get(exponent);
          f.i64Const(1);
          f.op('i64.shr_u');
          f.set(exponent);
          f.br(again);
        });
      });
      f.get(result);
    },
  };
}

/** The integer part of a float modulo 2^64; 0 for NaN and infinities. */
export const wrapFloat64: HelperDefinition = {
  name: 'i64.wrap_f64',
  params: { x: 'f64' },
  result: 'i64',
  body: (c, [x]) => {
    const { f } = c;
    f.get(x);
    f.op('f64.abs');
    f.f64Const(2 ** 63);
    f.op('f64.lt');
    f.if(() => {
      f.get(x);
      f.op('i64.trunc_sat_f64_s');
      f.return();
    });
    // At least 2^63, so the mantissa is only shifted left, by exponent − 52.
    const bits = f.local('i64', 'bits');
    const shift = f.local('i64', 'shift');
    f.get(x);
    f.op('i64.reinterpret_f64');
    f.tee(bits);
    f.i64Const(52);
    f.op('i64.shr_u');
    f.i64Const(0x7ff);
    f.op('i64.and');
    f.i64Const(1075);
    f.op('i64.sub');
    f.set(shift);
    f.get(bits);
    f.i64Const((1n << 52n) - 1n);
    f.op('i64.and');
    f.i64Const(1n << 52n);
    f.op('i64.or');
    f.get(shift);
    f.op('i64.shl');
    f.i64Const(0);
    f.get(shift);
    f.i64Const(64);
    f.op('i64.lt_u');
    f.select();
    f.set(shift);
    f.i64Const(0);
    f.get(shift);
    f.op('i64.sub');
    f.get(shift);
    f.get(bits);
    f.i64Const(0);
    f.op('i64.lt_s');
    f.select();
  },
};

/**
 * 64-bit integer → float64, rounded to odd: of more than 53 bits, the lost ones are gathered in the last. Rounding the
 * result again, to fewer bits, gives what rounding the integer once would.
 */
function oddConversion(sign: Sign): HelperDefinition {
  return {
    name: `f64.convert_odd_i64_${sign}`,
    params: { x: 'i64' },
    result: 'f64',
    body: (c, [x]) => {
      const { f } = c;
      const lost = 2047n;
      // In [−2^53, 2^53] nothing is lost.
      f.get(x);
      f.i64Const(sign === 's' ? 1n << 53n : 0n);
      f.op('i64.add');
      f.i64Const(sign === 's' ? 1n << 54n : 1n << 53n);
      f.op('i64.gt_u');
      f.if(() => {
        f.get(x);
        f.i64Const(~lost);
        f.op('i64.and');
        f.get(x);
        f.i64Const(lost);
        f.op('i64.and');
        f.i64Const(0);
        f.op('i64.ne');
        f.op('i64.extend_i32_u');
        f.i64Const(11);
        f.op('i64.shl');
        f.op('i64.or');
        f.set(x);
      });
      f.get(x);
      f.op(`f64.convert_i64_${sign}`);
    },
  };
}

function emitInt(c: EmitContext, word: Word, value: number): void {
  if (word === 'i32') c.f.i32Const(value);
  else c.f.i64Const(value);
}

function emitIs(c: EmitContext, word: Word, local: Local, value: number): void {
  c.f.get(local);
  emitInt(c, word, value);
  c.f.op(`${word}.eq`);
}

function perWord(
  make: (word: Word, sign: Sign) => HelperDefinition,
): Readonly<Record<`${Word}_${Sign}`, HelperDefinition>> {
  return { i32_s: make('i32', 's'), i32_u: make('i32', 'u'), i64_s: make('i64', 's'), i64_u: make('i64', 'u') };
}

export const quotients = perWord(division);
export const remainders = perWord((word, sign) => remainder(word, sign, false));
export const modulos = perWord((word, sign) => remainder(word, sign, true));
export const integerPowers = { s: integerPower('s'), u: integerPower('u') } as const;
export const oddConversions = { s: oddConversion('s'), u: oddConversion('u') } as const;
