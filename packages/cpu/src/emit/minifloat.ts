// Conversion between float32 lanes and the bits of floats of at most 16 bits (IEEE half and the float8, float6 and float4 kinds of ONNX),
// exact one way, to nearest even the other. Denormal float32 operands, which some processors handle slowly, are avoided.

import type { DType } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { type Term, Terms } from './terms.ts';

interface MinifloatFormat {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /** Magnitude of the largest finite number, as bits without the sign. */
  readonly largest: number;
  /**
   * - `ieee`: everything above `largest` is infinity, then NaN;
   * - `fn`: no infinity, one NaN magnitude just above `largest`;
   * - `fnuz`: no infinity, no negative zero; the bits of negative zero are the NaN;
   * - `none`: finite numbers only.
   */
  readonly special: 'ieee' | 'fn' | 'fnuz' | 'none';
  /** Bits of NaN. */
  readonly nan: number;
}

const formats: Partial<Record<DType, MinifloatFormat>> = {
  float16: { exponentBits: 5, mantissaBits: 10, bias: 15, largest: 0x7bff, special: 'ieee', nan: 0x7e00 },
  float8e4m3fn: { exponentBits: 4, mantissaBits: 3, bias: 7, largest: 0x7e, special: 'fn', nan: 0x7f },
  float8e4m3fnuz: { exponentBits: 4, mantissaBits: 3, bias: 8, largest: 0x7f, special: 'fnuz', nan: 0x80 },
  float8e5m2: { exponentBits: 5, mantissaBits: 2, bias: 15, largest: 0x7b, special: 'ieee', nan: 0x7e },
  float8e5m2fnuz: { exponentBits: 5, mantissaBits: 2, bias: 16, largest: 0x7f, special: 'fnuz', nan: 0x80 },
  float6e2m3: { exponentBits: 2, mantissaBits: 3, bias: 1, largest: 0x1f, special: 'none', nan: 0x1f },
  float6e3m2: { exponentBits: 3, mantissaBits: 2, bias: 3, largest: 0x1f, special: 'none', nan: 0x1f },
  float4e2m1: { exponentBits: 2, mantissaBits: 1, bias: 1, largest: 0x7, special: 'none', nan: 0x7 },
};

const infinityBits = 0x7f80_0000;

function formatOf(dtype: DType): MinifloatFormat {
  const format = formats[dtype];
  if (!format) throw new TypeError(`${dtype} is not a small float`);
  return format;
}

/** Zero-extended bits in 32-bit lanes → float32 lanes. */
export function emitDecodeMinifloat(c: EmitContext, dtype: DType): void {
  const { exponentBits, mantissaBits, bias, special, nan } = formatOf(dtype);
  const width = exponentBits + mantissaBits;
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const raw = t.pop();
    const magnitude = t.keep(t.and(raw, t.bits(2 ** width - 1)));
    const moved = t.op('i32x4.shl', magnitude, t.i32(23 - mantissaBits));
    const normal = t.op('i32x4.add', moved, t.bits((127 - bias) << 23));
    const denormal = t.mul(t.op('f32x4.convert_i32x4_s', magnitude), t.const(2 ** (1 - bias - mantissaBits)));
    const isDenormal = t.op('i32x4.lt_s', magnitude, t.bits(1 << mantissaBits));
    let value: Term = t.select(denormal, normal, isDenormal);
    if (special === 'ieee') {
      const isSpecial = t.op('i32x4.ge_s', magnitude, t.bits((2 ** exponentBits - 1) << mantissaBits));
      value = t.or(value, t.and(isSpecial, t.bits(infinityBits)));
    } else if (special !== 'none') {
      value = t.or(value, t.op('i32x4.eq', special === 'fn' ? magnitude : raw, t.bits(nan)));
    }
    const sign = t.and(t.op('i32x4.shl', raw, t.i32(31 - width)), t.bits(0x8000_0000));
    t.or(value, sign)();
  });
}

/** float32 lanes → zero-extended bits, rounded to nearest even; NaN has no sign. `saturate` is that of ONNX's Cast. */
export function emitEncodeMinifloat(c: EmitContext, dtype: DType, saturate: boolean): void {
  const { exponentBits, mantissaBits, bias, largest, special, nan } = formatOf(dtype);
  const width = exponentBits + mantissaBits;
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const x = t.pop();
    const magnitude = t.keep(t.abs(x));
    const shift = 23 - mantissaBits;
    // Half a unit, less one if the last kept bit is 0: the carry of the addition rounds.
    const odd = t.and(t.op('i32x4.shr_u', magnitude, t.i32(shift)), t.bits(1));
    const rebiased = t.op('i32x4.add', magnitude, t.bits((1 << (shift - 1)) - 1 - ((127 - bias) << 23)));
    const normal = t.op('i32x4.shr_s', t.op('i32x4.add', rebiased, odd), t.i32(shift));
    // Adding a number whose last place is the smallest denormal leaves the rounded count of them in the low bits.
    const anchor = 2 ** (24 - bias - mantissaBits);
    const denormal = t.op('i32x4.sub', t.add(magnitude, t.const(anchor)), t.const(anchor));
    const isDenormal = t.op('i32x4.lt_s', magnitude, t.bits((128 - bias) << 23));
    const rounded = t.keep(t.select(denormal, normal, isDenormal));
    // Beyond the largest: for `fn`, the next code is the NaN; for `ieee`, the infinity.
    const limit = saturate || special === 'none' ? largest : largest + 1;
    const clamped = t.op('i32x4.min_s', rounded, t.bits(limit));
    const isNotNumber = t.op('i32x4.gt_s', magnitude, t.bits(infinityBits));
    const sign = t.and(t.op('i32x4.shr_u', x, t.i32(31 - width)), t.bits(1 << width));
    if (special !== 'fnuz') {
      t.select(t.bits(nan), t.or(clamped, sign), isNotNumber)();
      return;
    }
    const isBad = saturate ? isNotNumber : t.or(isNotNumber, t.op('i32x4.gt_s', rounded, t.bits(largest)));
    const code = t.keep(clamped);
    // A zero has no sign.
    const signed = t.or(code, t.and(sign, t.op('i32x4.ne', code, t.bits(0))));
    t.select(t.bits(nan), signed, isBad)();
  });
}

/** bfloat16 is the upper half of float32. */
export function emitDecodeBfloat16(c: EmitContext): void {
  c.f.i32Const(16);
  c.f.op('i32x4.shl');
}

export function emitEncodeBfloat16(c: EmitContext): void {
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const x = t.pop();
    const odd = t.and(t.op('i32x4.shr_u', x, t.i32(16)), t.bits(1));
    const rounded = t.op('i32x4.add', t.op('i32x4.add', x, t.bits(0x7fff)), odd);
    t.op('i32x4.shr_u', t.select(t.bits(0x7fc0_0000), rounded, t.ne(x, x)), t.i32(16))();
  });
}

/** A power of two: 2^(bits − 127), 255 is NaN. */
export function emitDecodeE8M0(c: EmitContext): void {
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const raw = t.pop();
    const normal = t.op('i32x4.shl', raw, t.i32(23));
    const smallest = t.and(t.op('i32x4.eq', raw, t.bits(0)), t.bits(0x40_0000));
    t.or(t.or(normal, smallest), t.op('i32x4.eq', raw, t.bits(255)))();
  });
}

/** The next power of two at or above the magnitude (ONNX's default round mode); NaN and infinity give NaN. */
export function emitEncodeE8M0(c: EmitContext, saturate: boolean): void {
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f32x4');
    const magnitude = t.keep(t.abs(t.pop()));
    const next = t.op('i32x4.shr_u', t.op('i32x4.add', magnitude, t.bits(0x7f_ffff)), t.i32(23));
    // 2^−127 and below.
    const up = t.and(next, t.op('i32x4.gt_s', magnitude, t.bits(0x40_0000)));
    const finite = saturate ? t.op('i32x4.min_s', up, t.bits(254)) : up;
    t.select(t.bits(255), finite, t.op('i32x4.ge_s', magnitude, t.bits(infinityBits)))();
  });
}
