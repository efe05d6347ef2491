// Loads and stores of tensor elements: memory format on one side, lanes (see `value-type.ts`) on the other.
//
// Addresses are byte addresses, on the stack (i32, used as unsigned), plus a constant `offset`. Types of less than a
// byte have no address: `packed-ops.ts` takes a base address and an element index instead.

import { bitsOf, type DType } from '@onnx-ts/tensor-ir';
import type { Local } from '../wasm/function.ts';
import type { LaneLoadOp, LaneStoreOp, StoreOp } from '../wasm/opcodes.ts';
import type { EmitContext } from './context.ts';
import { emitFromRaw, emitToRaw } from './raw-bits.ts';
import { emitFromRawScalar, emitToRawScalar } from './scalar-raw-bits.ts';
import { isNarrowFloat, isWide, signOf, unsupported } from './value-type.ts';

/** Bytes of one element; throws for packed types and strings. */
export function elementBytes(dtype: DType): 1 | 2 | 4 | 8 {
  const bytes = bitsOf(dtype) / 8;
  if (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8) return bytes;
  return unsupported('a load or store by address', dtype);
}

/** address → all `lanes` consecutive elements. Reads exactly those. */
export function emitLoadVector(c: EmitContext, dtype: DType, offset = 0): void {
  const { f, lanes } = c;
  const bytes = elementBytes(dtype);
  if (bytes === 8 && lanes === 4) throw new TypeError(`4 lanes of ${dtype} do not fit a vector`);
  switch (bytes) {
    case 8:
      f.load('v128.load', offset, 8);
      return;
    case 4:
      if (lanes === 4) f.load('v128.load', offset, 4);
      else f.load('v128.load64_zero', offset, 4);
      return;
    case 2: {
      const sign = isNarrowFloat(dtype) ? 'u' : signOf(dtype);
      if (lanes === 4) f.load(`v128.load16x4_${sign}`, offset, 2);
      else {
        f.load('v128.load32_zero', offset, 2);
        f.op(`i32x4.extend_low_i16x8_${sign}`);
      }
      break;
    }
    case 1: {
      if (lanes === 4) f.load('v128.load32_zero', offset, 1);
      else f.load('v128.load16_splat', offset, 1);
      if (dtype === 'bool') {
        f.lanesConst('i8x16', 0);
        f.op('i8x16.ne');
      }
      const sign = dtype === 'bool' || dtype === 'int8' ? 's' : 'u';
      f.op(`i16x8.extend_low_i8x16_${sign}`);
      f.op(`i32x4.extend_low_i16x8_${sign}`);
      break;
    }
  }
  if (isNarrowFloat(dtype)) emitFromRaw(c, dtype);
}

/**
 * A vector of elements from one address per lane.
 * @param pushAddress pushes the address of a lane's element; called once per lane, in order
 */
export function emitLoadLanes(c: EmitContext, dtype: DType, pushAddress: (lane: number) => void, offset = 0): void {
  const { f, lanes } = c;
  const bytes = elementBytes(dtype);
  pushAddress(0);
  emitLoadBits(c, bytes, offset);
  f.scope(() => {
    const vector = f.local('v128');
    for (let lane = 1; lane < lanes; lane++) {
      f.set(vector);
      pushAddress(lane);
      f.get(vector);
      f.loadLane(laneLoads[bytes], firstPart(bytes, lane), offset);
    }
  });
  emitFromRaw(c, dtype);
}

/** Elements at `address`, `address + stride` and so on; the locals keep their values. */
export function emitLoadStrided(c: EmitContext, dtype: DType, address: Local, strideBytes: Local, offset = 0): void {
  const { f } = c;
  f.scope(() => {
    const pointer = f.local('i32');
    emitLoadLanes(c, dtype, (lane) => pushStrided(c, lane, address, strideBytes, pointer), offset);
  });
}

/** address, vector → nothing. Writes exactly `lanes` consecutive elements; narrow floats are rounded. */
export function emitStoreVector(c: EmitContext, dtype: DType, offset = 0): void {
  const { f, lanes } = c;
  const bytes = elementBytes(dtype);
  if (isWide(dtype)) {
    f.store('v128.store', offset, 8);
    return;
  }
  if (bytes === 4) {
    if (lanes === 4) f.store('v128.store', offset, 4);
    else f.storeLane('v128.store64_lane', 0, offset, 4);
    return;
  }
  emitNarrow(c, dtype, bytes as 1 | 2);
  f.storeLane(laneStores[(bytes * lanes) as 2 | 4 | 8], 0, offset, bytes);
}

/** address, vector → nothing. Writes the first lane only. */
export function emitStoreFirst(c: EmitContext, dtype: DType, offset = 0): void {
  emitToBits(c, dtype);
  c.f.storeLane(laneStores[elementBytes(dtype)], 0, offset);
}

/** vector → nothing. Writes one element per lane, each to its own address; see `emitLoadLanes`. */
export function emitStoreLanes(c: EmitContext, dtype: DType, pushAddress: (lane: number) => void, offset = 0): void {
  const { f, lanes } = c;
  const bytes = elementBytes(dtype);
  emitToBits(c, dtype);
  f.scope(() => {
    const vector = f.local('v128');
    f.set(vector);
    for (let lane = 0; lane < lanes; lane++) {
      pushAddress(lane);
      f.get(vector);
      f.storeLane(laneStores[bytes], firstPart(bytes, lane), offset);
    }
  });
}

/** vector → nothing. Elements go to `address`, `address + stride` and so on; the locals keep their values. */
export function emitStoreStrided(c: EmitContext, dtype: DType, address: Local, strideBytes: Local, offset = 0): void {
  const { f } = c;
  f.scope(() => {
    const pointer = f.local('i32');
    emitStoreLanes(c, dtype, (lane) => pushStrided(c, lane, address, strideBytes, pointer), offset);
  });
}

/** address → the element there, as a scalar. */
export function emitLoadScalar(c: EmitContext, dtype: DType, offset = 0): void {
  const { f } = c;
  switch (dtype) {
    case 'float32':
      f.load('f32.load', offset);
      return;
    case 'float64':
      f.load('f64.load', offset);
      return;
    case 'int64':
    case 'uint64':
      f.load('i64.load', offset);
      return;
    case 'int32':
    case 'uint32':
      f.load('i32.load', offset);
      return;
    case 'int8':
      f.load('i32.load8_s', offset);
      return;
    case 'int16':
      f.load('i32.load16_s', offset);
      return;
  }
  f.load(elementBytes(dtype) === 1 ? 'i32.load8_u' : 'i32.load16_u', offset);
  emitFromRawScalar(c, dtype);
}

/** address, scalar → nothing. */
export function emitStoreScalar(c: EmitContext, dtype: DType, offset = 0): void {
  const { f } = c;
  emitToRawScalar(c, dtype);
  const whole: Partial<Record<DType, StoreOp>> = { float32: 'f32.store', float64: 'f64.store' };
  f.store(whole[dtype] ?? integerStores[elementBytes(dtype)], offset);
}

/**
 * address → a vector whose first lane is the element there: the load of a scalar tail, whose code is the vector code
 * with one lane that counts. Reads one element; the others repeat it, so that no lane takes a slow path on its own.
 */
export function emitLoadFirst(c: EmitContext, dtype: DType, offset = 0): void {
  emitLoadSplat(c, dtype, offset);
}

/** address → the element there in all lanes. */
export function emitLoadSplat(c: EmitContext, dtype: DType, offset = 0): void {
  emitLoadBits(c, elementBytes(dtype), offset);
  emitFromRaw(c, dtype);
}

/** address → the bits there, zero-extended to a lane, in all lanes. */
function emitLoadBits(c: EmitContext, bytes: 1 | 2 | 4 | 8, offset: number): void {
  const { f } = c;
  if (bytes === 8) {
    f.load('v128.load64_splat', offset);
    return;
  }
  if (bytes === 4) {
    f.load('v128.load32_splat', offset);
    return;
  }
  f.load(bytes === 2 ? 'i32.load16_u' : 'i32.load8_u', offset);
  f.op('i32x4.splat');
}

/** Lanes → bits, of which only the low ones of the element's width count. */
function emitToBits(c: EmitContext, dtype: DType): void {
  if (dtype === 'bool' || isNarrowFloat(dtype)) emitToRaw(c, dtype);
}

/** Lanes of a type of 1 or 2 bytes → its bits side by side at the start of the vector. */
function emitNarrow(c: EmitContext, dtype: DType, bytes: 1 | 2): void {
  const { f } = c;
  if (isNarrowFloat(dtype)) emitToRaw(c, dtype);
  const sign = dtype === 'int8' || dtype === 'int16' || dtype === 'bool' ? 's' : 'u';
  f.scope(() => {
    const vector = f.local('v128');
    const twice = (): void => {
      f.tee(vector);
      f.get(vector);
    };
    twice();
    f.op(`i16x8.narrow_i32x4_${sign}`);
    if (bytes === 2) return;
    twice();
    f.op(`i8x16.narrow_i16x8_${sign}`);
  });
  if (dtype === 'bool') f.op('i8x16.neg');
}

function pushStrided(c: EmitContext, lane: number, address: Local, strideBytes: Local, pointer: Local): void {
  const { f } = c;
  if (lane === 0) {
    f.get(address);
    return;
  }
  f.get(lane === 1 ? address : pointer);
  f.get(strideBytes);
  f.op('i32.add');
  f.tee(pointer);
}

/** Position of a lane's element among parts of its size. */
function firstPart(bytes: 1 | 2 | 4 | 8, lane: number): number {
  return bytes >= 4 ? lane : (lane * 4) / bytes;
}

const laneLoads: Readonly<Record<1 | 2 | 4 | 8, LaneLoadOp>> = {
  1: 'v128.load8_lane',
  2: 'v128.load16_lane',
  4: 'v128.load32_lane',
  8: 'v128.load64_lane',
};

const laneStores: Readonly<Record<1 | 2 | 4 | 8, LaneStoreOp>> = {
  1: 'v128.store8_lane',
  2: 'v128.store16_lane',
  4: 'v128.store32_lane',
  8: 'v128.store64_lane',
};

const integerStores: Readonly<Record<1 | 2 | 4 | 8, StoreOp>> = {
  1: 'i32.store8',
  2: 'i32.store16',
  4: 'i32.store',
  8: 'i64.store',
};
