// Exact floating point remainders, one value at a time.

import type { Local } from '../wasm/function.ts';
import type { EmitContext, HelperDefinition } from './context.ts';
import { type Term, Terms } from './terms.ts';

/** Remainder with the sign of x, exact: the divisor is subtracted from the dividend bit by bit, as in musl's fmod. */
const remF64: HelperDefinition = {
  name: 'f64.rem',
  params: { x: 'f64', y: 'f64' },
  result: 'f64',
  body: (c, [x, y]) => {
    const { f } = c;
    const t = new Terms(c, 'f64');
    const a = f.local('i64', 'a');
    const b = f.local('i64', 'b');
    const ea = f.local('i64', 'ea');
    const eb = f.local('i64', 'eb');
    const [readX, readY, readA, readB] = [x, y, a, b].map((local) => t.read(local));

    // NaN for a NaN operand, an infinite x or a zero y; x itself where it is smaller than y.
    const isBadX = t.op('i32.eqz', t.lt(t.abs(readX), t.const(Number.POSITIVE_INFINITY)));
    t.op('i32.or', isBadX, t.op('i32.eqz', t.gt(t.abs(readY), t.const(0))))();
    f.if(() => {
      f.f64Const(Number.NaN);
      f.return();
    });
    t.lt(t.abs(readX), t.abs(readY))();
    f.if(() => {
      f.get(x);
      f.return();
    });
    unpack(c, t.abs(readX), a, ea);
    unpack(c, t.abs(readY), b, eb);
    f.block((exit) => {
      f.loop((again) => {
        t.op('i64.ge_s', readA, readB)();
        f.if(() => {
          t.op('i64.sub', readA, readB)();
          f.set(a);
        });
        t.op('i64.le_s', t.read(ea), t.read(eb))();
        f.brIf(exit);
        t.op('i64.shl', readA, t.i64(1))();
        f.set(a);
        t.op('i64.sub', t.read(ea), t.i64(1))();
        f.set(ea);
        f.br(again);
      });
    });
    // a · 2^(eb − 1075) in two steps, since neither factor alone is always a normal number.
    const half = t.keep(t.op('i64.shr_s', t.op('i64.sub', t.read(eb), t.i64(1075)), t.i64(1)), 'i64');
    const other = t.op('i64.sub', t.op('i64.sub', t.read(eb), t.i64(1075)), half);
    const value = t.mul(t.mul(t.op('f64.convert_i64_s', readA), powerOfTwo(t, half)), powerOfTwo(t, other));
    t.op('f64.copysign', value, readX)();
  },
};

/** 2^exponent for an i64 exponent in [−1022, 1023]. */
function powerOfTwo(t: Terms, exponent: Term): Term {
  return t.op('f64.reinterpret_i64', t.op('i64.shl', t.op('i64.add', exponent, t.i64(1023)), t.i64(52)));
}

/** Splits a positive finite number into a mantissa in [2^52, 2^53) and the biased exponent, below 1 for denormals. */
function unpack(c: EmitContext, value: Term, mantissa: Local, exponent: Local): void {
  const { f } = c;
  const t = new Terms(c, 'f64');
  value();
  f.op('i64.reinterpret_f64');
  f.tee(mantissa);
  f.i64Const(52);
  f.op('i64.shr_u');
  f.tee(exponent);
  f.op('i64.eqz');
  f.if(
    () => {
      const shift = t.keep(t.op('i64.sub', t.op('i64.clz', t.read(mantissa)), t.i64(11)), 'i64');
      t.op('i64.shl', t.read(mantissa), shift)();
      f.set(mantissa);
      t.op('i64.sub', t.i64(1), shift)();
      f.set(exponent);
    },
    () => {
      t.op('i64.or', t.op('i64.and', t.read(mantissa), t.i64((1n << 52n) - 1n)), t.i64(1n << 52n))();
      f.set(mantissa);
    },
  );
}

/**
 * In float64, x − ⌊x ÷ y⌋ · y is exact for float32 operands while the quotient is below 2^28: it has at most 28 bits and
 * y has 24, and a quotient that is not whole is too far from the next integer to be rounded to it.
 */
const remF32: HelperDefinition = {
  name: 'f32.rem',
  params: { x: 'f32', y: 'f32' },
  result: 'f32',
  body: (c, [x, y]) => {
    const { f } = c;
    const t = new Terms(c, 'f64');
    const wideX = t.keep(t.op('f64.promote_f32', t.read(x)));
    const wideY = t.keep(t.op('f64.promote_f32', t.read(y)));
    const quotient = t.keep(t.op('f64.trunc', t.div(wideX, wideY)));
    const isSmall = t.lt(t.abs(quotient), t.const(2 ** 28));
    t.op('i32.and', isSmall, t.lt(t.abs(wideY), t.const(Number.POSITIVE_INFINITY)))();
    f.if(
      'f64',
      () => t.op('f64.copysign', t.sub(wideX, t.mul(quotient, wideY)), wideX)(),
      () => {
        wideX();
        wideY();
        c.helpers.call(f, remF64);
      },
    );
    f.op('f32.demote_f64');
  },
};

/** Remainder with the sign of y, as numpy.mod: a zero takes the sign of y. */
function floored(shape: 'f32' | 'f64', truncated: HelperDefinition): HelperDefinition {
  return {
    name: `${shape}.mod`,
    params: { x: shape, y: shape },
    result: shape,
    body: (c, [x, y]) => {
      const { f } = c;
      const t = new Terms(c, shape);
      const [readX, readY] = [t.read(x), t.read(y)];
      const r = t.keep(t.call(c.helpers.reference(truncated), readX, readY));
      t.ne(r, t.const(0))();
      f.if(
        shape,
        () => t.select(t.add(r, readY), r, t.op('i32.xor', t.lt(r, t.const(0)), t.lt(readY, t.const(0))))(),
        () => t.op(`${shape}.copysign`, t.const(0), readY)(),
      );
    },
  };
}

export const remainderHelpers = {
  rem_f32: remF32,
  rem_f64: remF64,
  mod_f32: floored('f32', remF32),
  mod_f64: floored('f64', remF64),
} as const;
