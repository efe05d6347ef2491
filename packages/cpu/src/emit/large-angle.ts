// Exact reduction of large float64 angles (Payne and Hanek, 1983): x · 2/π modulo 4 from those bits of 2/π that matter.

import type { Local } from '../wasm/function.ts';
import type { EmitContext, HelperDefinition } from './context.ts';
import { type Term, Terms } from './terms.ts';

/** 2/π after the binary point in words of 64 bits, after one word of zeros. */
const twoOverPi = [
  0x0n,
  0xa2f9836e4e441529n,
  0xfc2757d1f534ddc0n,
  0xdb6295993c439041n,
  0xfe5163abdebbc561n,
  0xb7246e3a424dd2e0n,
  0x06492eea09d1921cn,
  0xfe1deb1cb129a73en,
  0xe88235f52ebb4484n,
  0xe99c7026b45f7e41n,
  0x3991d639835339f4n,
  0x9c845f8bbdf9283bn,
  0x1ff897ffde05980fn,
  0xef2f118b5a0a6d1fn,
  0x6d367ecf27cb09b7n,
  0x4f463f669e5fea2dn,
  0x7527bac7ebe5f17bn,
  0x3d0739f78a5292ean,
  0x6bfb5fb11f8d5d08n,
  0x56033046fc7b6babn,
];

const twoOverPiWord: HelperDefinition = {
  name: 'two_over_pi_word',
  params: { index: 'i64' },
  result: 'i64',
  body: (c, [index]) => {
    const { f } = c;
    for (const [i, word] of twoOverPi.entries()) {
      f.get(index);
      f.i64Const(i);
      f.op('i64.eq');
      f.if(() => {
        f.i64Const(word);
        f.return();
      });
    }
    f.i64Const(0);
  },
};

/** Upper 64 bits of the product of a number below 2^53 and any other, both unsigned. */
const multiplyHigh: HelperDefinition = {
  name: 'i64.multiply_high',
  params: { a: 'i64', b: 'i64' },
  result: 'i64',
  body: (c, [a, b]) => {
    const t = new Terms(c, 'f64');
    const low = (x: Local): Term => t.op('i64.and', t.read(x), t.i64(0xffff_ffffn));
    const high = (x: Local): Term => t.op('i64.shr_u', t.read(x), t.i64(32));
    const product = (x: Term, y: Term): Term => t.op('i64.mul', x, y);
    const carried = t.op('i64.shr_u', product(low(a), low(b)), t.i64(32));
    const middle = t.keep(t.op('i64.add', product(low(a), high(b)), carried), 'i64');
    const other = t.op('i64.add', product(high(a), low(b)), t.op('i64.and', middle, t.i64(0xffff_ffffn)));
    const upper = t.op('i64.add', product(high(a), high(b)), t.op('i64.shr_u', middle, t.i64(32)));
    t.op('i64.add', upper, t.op('i64.shr_u', other, t.i64(32)))();
  },
};

/**
 * For a finite x ≥ 2^16: x − n · π/2 as a float64 in lane 0, and n modulo 4, as an integer, in lane 1.
 *
 * With x = m · 2^e, only bits of 2/π from place e − 1 on give less than a multiple of 4. 192 of them times m, modulo
 * 2^192, are 2 bits of quadrant and 190 bits of fraction; what is left out is below 2^−136.
 */
export const reduceLargeAngle: HelperDefinition = {
  name: 'f64.reduce_large_angle',
  params: { x: 'f64' },
  result: 'v128',
  body: (c, [x]) => {
    const { f } = c;
    const t = new Terms(c, 'f64');
    const keep = (term: Term): Term => t.keep(term, 'i64');
    const op = (name: 'add' | 'sub' | 'mul' | 'and' | 'or' | 'shl' | 'shr_u', a: Term, b: Term): Term =>
      t.op(`i64.${name}`, a, b);
    const bits = keep(t.op('i64.reinterpret_f64', t.read(x)));
    const mantissa = keep(op('or', op('and', bits, t.i64((1n << 52n) - 1n)), t.i64(1n << 52n)));
    // Place e − 2 before the first bit, counted with the word of zeros: (biased − 1075) − 2 + 64.
    const place = keep(op('sub', op('and', op('shr_u', bits, t.i64(52)), t.i64(0x7ff)), t.i64(1013)));
    const first = keep(op('shr_u', place, t.i64(6)));
    const shift = keep(op('and', place, t.i64(63)));
    const words = [0, 1, 2, 3].map((i) => keep(t.call(c.helpers.reference(twoOverPiWord), op('add', first, t.i64(i)))));
    // (low >> 1) >> (63 − shift) is low >> (64 − shift), and 0 for a shift of 0.
    const window = (high: Term, low: Term): Term =>
      keep(op('or', op('shl', high, shift), op('shr_u', op('shr_u', low, t.i64(1)), op('sub', t.i64(63), shift))));
    const [w2, w1, w0] = [window(words[0], words[1]), window(words[1], words[2]), window(words[2], words[3])];

    const high = (word: Term): Term => t.call(c.helpers.reference(multiplyHigh), mantissa, word);
    const carry0 = keep(high(w0));
    const p1 = keep(op('add', op('mul', mantissa, w1), carry0));
    const carry = t.op('i64.extend_i32_u', t.op('i64.lt_u', p1, carry0));
    const p2 = keep(op('add', op('mul', mantissa, w2), op('add', high(w1), carry)));

    // The fraction as a signed number in [−½, ½): its top bit rounds the quadrant.
    const top = keep(op('or', op('shl', p2, t.i64(2)), op('shr_u', p1, t.i64(62))));
    const quadrant = op('add', op('shr_u', p2, t.i64(62)), op('shr_u', top, t.i64(63)));
    const upperPart = t.mul(t.op('f64.convert_i64_s', top), t.const(2 ** -64));
    const lowerPart = t.mul(t.op('f64.convert_i64_u', op('shl', p1, t.i64(2))), t.const(2 ** -128));
    t.mul(t.add(upperPart, lowerPart), t.const(Math.PI / 2))();
    f.op('f64x2.splat');
    quadrant();
    f.lane('i64x2.replace_lane', 1);
  },
};

/** Takes nothing; pushes the result of `reduceLargeAngle` for one lane of a vector. */
export function pushReducedLane(c: EmitContext, vector: Term, lane: number): void {
  vector();
  c.f.lane('f64x2.extract_lane', lane);
  c.helpers.call(c.f, reduceLargeAngle);
}
