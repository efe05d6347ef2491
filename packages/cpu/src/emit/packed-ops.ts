// Elements of less than a byte (int4, uint4, int2, uint2, floats of 6 and 4 bits), low bits first: they have no address, so
// loads and stores take a base address and an element index. Those of 6 bits may lie in two bytes.

import { bitsOf, type DType } from '@onnx-ts/tensor-ir';
import type { EmitContext } from './context.ts';
import { emitLaneWise } from './lane-wise.ts';
import { emitFromRaw, emitToRaw } from './raw-bits.ts';
import { emitFromRawScalar, emitToRawScalar } from './scalar-raw-bits.ts';
import { type Term, Terms } from './terms.ts';

/** base, index → bits of the element. */
function emitLoadBits(c: EmitContext, dtype: DType): void {
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f32');
    const { byte, next, shift } = place(t, dtype);
    const bits = loadBytes(c, t, byte, next);
    t.op('i32.and', t.op('i32.shr_u', bits, shift), t.i32(2 ** bitsOf(dtype) - 1))();
  });
}

/** One byte, or two as a number of 16 bits. */
function loadBytes(c: EmitContext, t: Terms, byte: Term, next: Term | undefined): Term {
  byte();
  c.f.load('i32.load8_u');
  const low = t.pop('i32');
  if (!next) return low;
  next();
  c.f.load('i32.load8_u');
  return t.op('i32.or', low, t.op('i32.shl', t.pop('i32'), t.i32(8)));
}

interface Place {
  /** Address of the byte with the element's first bit. */
  readonly byte: Term;
  /** Address of the byte with its last bit, the same or the next one; undefined for types that never lie in two. */
  readonly next?: Term;
  /** Bits before the element in its first byte. */
  readonly shift: Term;
}

/** Takes base and index from the stack. */
function place(t: Terms, dtype: DType): Place {
  const bits = bitsOf(dtype);
  const index = t.pop('i32');
  const base = t.pop('i32');
  if (8 % bits !== 0) return placeInGroup(t, bits, base, index);
  const perByte = 8 / bits;
  return {
    byte: t.op('i32.add', base, t.op('i32.shr_u', index, t.i32(Math.log2(perByte)))),
    shift: t.keep(t.op('i32.mul', t.op('i32.and', index, t.i32(perByte - 1)), t.i32(bits)), 'i32'),
  };
}

/** Eight elements, whatever their bits, fill whole bytes. */
function placeInGroup(t: Terms, bits: number, base: Term, index: Term): Place {
  const group = t.op('i32.mul', t.op('i32.shr_u', index, t.i32(3)), t.i32(bits));
  const start = t.keep(t.op('i32.add', base, group), 'i32');
  const first = t.keep(t.op('i32.mul', t.op('i32.and', index, t.i32(7)), t.i32(bits)), 'i32');
  const byteOf = (bit: Term): Term => t.op('i32.add', start, t.op('i32.shr_u', bit, t.i32(3)));
  return {
    byte: byteOf(first),
    next: t.keep(byteOf(t.op('i32.add', first, t.i32(bits - 1))), 'i32'),
    shift: t.keep(t.op('i32.and', first, t.i32(7)), 'i32'),
  };
}

/** base, index → the element as a scalar. */
export function emitLoadPackedScalar(c: EmitContext, dtype: DType): void {
  emitLoadBits(c, dtype);
  emitFromRawScalar(c, dtype);
}

/**
 * A vector of elements from one index per lane.
 * @param pushPlace pushes base address and index of a lane's element; called once per lane, in order
 */
export function emitLoadPackedLanes(c: EmitContext, dtype: DType, pushPlace: (lane: number) => void): void {
  emitLaneWise(c, [], 'i32x4', (lane) => {
    pushPlace(lane);
    emitLoadBits(c, dtype);
  });
  emitFromRaw(c, dtype);
}

/**
 * base, index, scalar → nothing. The byte is read, changed and written: its other elements must not be written by
 * another thread at the same time.
 */
export function emitStorePackedScalar(c: EmitContext, dtype: DType): void {
  emitToRawScalar(c, dtype);
  emitStoreBits(c, dtype);
}

/** vector → nothing. One element per lane; see `emitLoadPackedLanes`. */
export function emitStorePackedLanes(c: EmitContext, dtype: DType, pushPlace: (lane: number) => void): void {
  const { f, lanes } = c;
  emitToRaw(c, dtype);
  f.scope(() => {
    const vector = f.local('v128');
    f.set(vector);
    for (let lane = 0; lane < lanes; lane++) {
      pushPlace(lane);
      f.get(vector);
      f.lane('i32x4.extract_lane', lane);
      emitStoreBits(c, dtype);
    }
  });
}

/** base, index, bits → nothing. Bits above the element's width are ignored. */
function emitStoreBits(c: EmitContext, dtype: DType): void {
  const { f } = c;
  f.scope(() => {
    const t = new Terms(c, 'f32');
    const mask = t.i32(2 ** bitsOf(dtype) - 1);
    const bits = t.pop('i32');
    const { byte, next, shift } = place(t, dtype);
    const address = t.keep(byte, 'i32');
    const before = loadBytes(c, t, address, next);
    const cleared = t.op('i32.and', before, t.op('i32.xor', t.op('i32.shl', mask, shift), t.i32(-1)));
    const after = t.op('i32.or', cleared, t.op('i32.shl', t.op('i32.and', bits, mask), shift));
    if (!next) {
      address();
      after();
      f.store('i32.store8');
      return;
    }
    const word = t.keep(after, 'i32');
    next();
    t.op('i32.shr_u', word, t.i32(8))();
    f.store('i32.store8');
    // Last, for an element within one byte: the byte after it was no more than a copy of this one.
    address();
    word();
    f.store('i32.store8');
  });
}
