// The innermost loop of products with weights of 1 to 8 bits: a few rows of A by a group of columns.
//
// A vector of weights holds four bytes of each of four columns. Bytes of A: fields are the 7-bit operand of the byte
// products, so that no sum of two products leaves 16 bits on any machine, and eight of them stay within 16 bits too; lanes
// of the sums are columns. Floats of A: fields become float32 by a table of their upper halves; lanes of the sums are
// elements along K. Fields of 8 bits are converted instead of looked up, and meet floats only.

import { FunctionBuilder, type Local } from '../wasm/function.ts';

/** Columns of a group: two vectors. */
export const groupColumns = 8;

/** Bytes of each column that lie side by side in a group. */
export const columnBytes = 4;

/** Steps of `columnBytes` whose products with bytes can be added up in 16 bits: 4 · 2 · 2 · 15 · 127 < 2¹⁵ for 4 bits. */
const stepsPerSum = 4;

export interface DotKernelOptions {
  readonly rows: number;
  /** Bits of a field: 1, 2 or 4, or 8 with factors of float32. */
  readonly bits: number;
  /** Bytes of a block's fields in one column: a multiple of `columnBytes`. */
  readonly blockBytes: number;
  readonly factors: 'int8' | 'float32';
  /**
   * The zero point of all blocks, an integer that a field can hold; undefined when a table has them, times their scales.
   * Bytes of A leave it to their sums, which have it as a factor.
   */
  readonly zero: number | undefined;
  readonly relaxed: boolean;
}

export const dotKernelParams = {
  a: 'i32',
  aStride: 'i32',
  aScale: 'i32',
  aSum: 'i32',
  tableStride: 'i32',
  weight: 'i32',
  scale: 'i32',
  zeros: 'i32',
  blocks: 'i32',
  out: 'i32',
  outStride: 'i32',
} as const;

/**
 * Function (a, aStride, aScale, aSum, tableStride, weight, scale, zeros, blocks, out, outStride) for the columns c of one
 * group: out[r][c] = Σ over blocks of scale[c] · (aScale[r] · Σ a[r] · fields[c] + aSum[r]), or with `zeros[c]` in place of
 * the second `scale[c]`.
 *
 * - a: row after row, `aStride` bytes apart, [block][field][byte];
 * - aScale (for bytes), aSum: float32 [block], rows `tableStride` bytes apart;
 * - weight: [block][step][column][4 bytes]; scale, zeros: float32 [block][column];
 * - out: float32, rows `outStride` bytes apart.
 */
export function emitDotKernel(options: DotKernelOptions): FunctionBuilder {
  const f = new FunctionBuilder(`dot_${options.factors}_${options.rows}x${groupColumns}`, dotKernelParams);
  if (options.factors === 'int8') emitBytes(f, options);
  else emitFloats(f, options);
  return f;
}

function advance(f: FunctionBuilder, local: Local, count: number): void {
  f.get(local);
  f.i32Const(count);
  f.op('i32.add');
  f.set(local);
}

/** base + n · stride for the first n. */
function strided(f: FunctionBuilder, base: Local, stride: Local, count: number, name: string): Local[] {
  const pointers = f.locals(count, 'i32', name);
  for (const [n, pointer] of pointers.entries()) {
    f.get(n === 0 ? base : pointers[n - 1]);
    if (n > 0) {
      f.get(stride);
      f.op('i32.add');
    }
    f.set(pointer);
  }
  return pointers;
}

/** sum += a · b for two operands on the stack. */
function multiplyAdd(f: FunctionBuilder, sum: Local, relaxed: boolean): void {
  if (relaxed) {
    f.get(sum);
    f.op('f32x4.relaxed_madd');
  } else {
    f.op('f32x4.mul');
    f.get(sum);
    f.op('f32x4.add');
  }
  f.set(sum);
}

function vectorConstant(f: FunctionBuilder, name: string, write: () => void): Local {
  const local = f.local('v128', name);
  write();
  f.set(local);
  return local;
}

/** target = one field of each byte of 16 bytes at weight + offset. */
function loadField(f: FunctionBuilder, weight: Local, offset: number, shift: number, mask: Local, target: Local): void {
  f.get(weight);
  f.load('v128.load', offset, 1);
  if (shift > 0) {
    f.i32Const(shift);
    f.op('i16x8.shr_u');
  }
  f.get(mask);
  f.op('v128.and');
  f.set(target);
}

/** Runs `body` for each block, with `left` blocks to go. */
function forBlocks(f: FunctionBuilder, blocks: Local, body: () => void): void {
  const left = f.local('i32', 'left');
  f.get(blocks);
  f.set(left);
  f.loop((again) => {
    body();
    advance(f, left, -1);
    f.get(left);
    f.brIf(again);
  });
}

function emitBytes(f: FunctionBuilder, o: DotKernelOptions): void {
  const [a, aStride, aScale, aSum, tableStride, weight, scale, zeros, blocks, out, outStride] = f.params;
  const mask = vectorConstant(f, 'mask', () => f.lanesConst('i8x16', (1 << o.bits) - 1));
  const ones = vectorConstant(f, 'ones', () => f.lanesConst('i16x8', 1));
  const rows = {
    a: strided(f, a, aStride, o.rows, 'a'),
    scale: strided(f, aScale, tableStride, o.rows, 'as'),
    sum: strided(f, aSum, tableStride, o.rows, 'az'),
    out: strided(f, out, outStride, o.rows, 'out'),
  };
  // Sums of many rows would take the registers that the products need: they wait in memory.
  const inMemory = o.rows > 2;
  const sums = inMemory ? [] : f.locals(o.rows * 2, 'v128', 'sum');
  const short = f.locals(o.rows * 2, 'v128', 'short');
  const fields = f.locals(2, 'v128', 'field');
  const [word, total] = f.locals(2, 'v128');
  if (inMemory) {
    for (const target of rows.out) {
      for (const vector of [0, 1]) {
        f.get(target);
        f.lanesConst('f32x4', 0);
        f.store('v128.store', vector * 16, 4);
      }
    }
  }
  const fieldCount = 8 / o.bits;
  const steps = o.blockBytes / columnBytes;
  const stepBytes = groupColumns * columnBytes;
  const splat = (pointer: Local): void => {
    f.get(pointer);
    f.load('v128.load32_splat', 0, 4);
  };
  /** sum[r][vector] += table[vector] · total */
  const accumulate = (r: number, vector: number, table: Local): void => {
    f.get(table);
    f.load('v128.load', vector * 16, 4);
    f.get(total);
    if (!inMemory) return multiplyAdd(f, sums[r * 2 + vector], o.relaxed);
    f.get(rows.out[r]);
    f.load('v128.load', vector * 16, 4);
    f.set(word);
    multiplyAdd(f, word, o.relaxed);
    f.get(rows.out[r]);
    f.get(word);
    f.store('v128.store', vector * 16, 4);
  };
  forBlocks(f, blocks, () => {
    for (let step = 0; step < steps; step++) {
      const isFirst = step % stepsPerSum === 0;
      for (let at = 0; at < fieldCount; at++) {
        for (const [vector, field] of fields.entries()) {
          loadField(f, weight, step * stepBytes + vector * 16, at * o.bits, mask, field);
        }
        for (let r = 0; r < o.rows; r++) {
          f.get(rows.a[r]);
          f.load('v128.load32_splat', at * o.blockBytes + step * columnBytes, 4);
          f.set(word);
          for (const [vector, field] of fields.entries()) {
            f.get(word);
            f.get(field);
            f.op('i16x8.relaxed_dot_i8x16_i7x16_s');
            if (!isFirst || at > 0) {
              f.get(short[r * 2 + vector]);
              f.op('i16x8.add');
            }
            f.set(short[r * 2 + vector]);
          }
        }
      }
      if (step % stepsPerSum < stepsPerSum - 1 && step < steps - 1) continue;
      for (let r = 0; r < o.rows; r++) {
        for (const vector of [0, 1]) {
          f.get(short[r * 2 + vector]);
          f.get(ones);
          f.op('i32x4.dot_i16x8_s');
          f.op('f32x4.convert_i32x4_s');
          splat(rows.scale[r]);
          if (step < stepsPerSum && o.zero !== undefined) {
            splat(rows.sum[r]);
            f.set(total);
            multiplyAdd(f, total, o.relaxed);
          } else {
            f.op('f32x4.mul');
            f.set(total);
          }
          accumulate(r, vector, scale);
        }
      }
    }
    if (o.zero === undefined) {
      for (let r = 0; r < o.rows; r++) {
        splat(rows.sum[r]);
        f.set(total);
        for (const vector of [0, 1]) accumulate(r, vector, zeros);
      }
      advance(f, zeros, groupColumns * 4);
    }
    for (const pointer of rows.a) advance(f, pointer, fieldCount * o.blockBytes);
    for (const pointer of [...rows.scale, ...rows.sum]) advance(f, pointer, 4);
    advance(f, weight, steps * stepBytes);
    advance(f, scale, groupColumns * 4);
  });
  if (inMemory) return;
  for (const [r, target] of rows.out.entries()) {
    for (const vector of [0, 1]) {
      f.get(target);
      f.get(sums[r * 2 + vector]);
      f.store('v128.store', vector * 16, 4);
    }
  }
}

const interleaveLow8 = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
const interleaveHigh8 = interleaveLow8.map((lane) => lane + 8);
const interleaveLow16 = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23];
const interleaveHigh16 = interleaveLow16.map((lane) => lane + 8);
const halves = [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7];
const pairs = [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11];

/** Upper halves of −zero, 1 − zero, … 15 − zero as float32; the lower ones are 0. */
function upperHalves(zero: number): number[] {
  return Array.from({ length: 16 }, (_, value) => new Uint32Array(new Float32Array([value - zero]).buffer)[0] >>> 16);
}

/**
 * Reads one field of each of the 16 bytes at weight + offset; the result puts those of a column, less the zero point, on the
 * stack as float32.
 */
type NumberReader = (weight: Local, offset: number, at: number) => (column: number) => void;

function lookedUpFields(f: FunctionBuilder, o: DotKernelOptions, mask: Local, nothing: Local): NumberReader {
  const table = upperHalves(o.zero ?? 0);
  const lowBytes = vectorConstant(f, 'low', () => f.v128Const(table.map((half) => half & 255)));
  const highBytes = vectorConstant(f, 'high', () => f.v128Const(table.map((half) => half >>> 8)));
  const swizzle = o.relaxed ? 'i8x16.relaxed_swizzle' : 'i8x16.swizzle';
  const [field, low, high] = f.locals(3, 'v128');
  return (weight, offset, at) => {
    loadField(f, weight, offset, at * o.bits, mask, field);
    for (const [bytes, target] of [
      [lowBytes, low],
      [highBytes, high],
    ]) {
      f.get(bytes);
      f.get(field);
      f.op(swizzle);
      f.set(target);
    }
    f.get(low);
    f.get(high);
    f.shuffle(interleaveHigh8);
    f.get(low);
    f.get(high);
    f.shuffle(interleaveLow8);
    f.set(low);
    f.set(high);
    return (column) => {
      f.get(nothing);
      f.get(column < 2 ? low : high);
      f.shuffle(column % 2 === 0 ? interleaveLow16 : interleaveHigh16);
    };
  };
}

function convertedBytes(f: FunctionBuilder, { zero = 0 }: DotKernelOptions): NumberReader {
  const zeros = vectorConstant(f, 'zeros', () => f.lanesConst('i16x8', zero));
  const words = f.locals(2, 'v128', 'word');
  return (weight, offset) => {
    for (const [half, word] of words.entries()) {
      f.get(weight);
      f.load('v128.load8x8_u', offset + half * 8, 1);
      if (zero !== 0) {
        f.get(zeros);
        f.op('i16x8.sub');
      }
      f.set(word);
    }
    return (column) => {
      f.get(words[column >> 1]);
      f.op(column % 2 === 0 ? 'i32x4.extend_low_i16x8_s' : 'i32x4.extend_high_i16x8_s');
      f.op('f32x4.convert_i32x4_s');
    };
  };
}

/** One vector of columns at a time, so that the sums of its columns and rows stay in registers. */
function emitFloats(f: FunctionBuilder, o: DotKernelOptions): void {
  const [a, aStride, , aSum, tableStride, weight, scale, zeros, blocks, out, outStride] = f.params;
  const mask = vectorConstant(f, 'mask', () => f.lanesConst('i8x16', (1 << o.bits) - 1));
  const nothing = vectorConstant(f, 'zero', () => f.lanesConst('i32x4', 0));
  const numberOf = o.bits === 8 ? convertedBytes(f, o) : lookedUpFields(f, o, mask, nothing);
  const fieldCount = 8 / o.bits;
  const steps = o.blockBytes / columnBytes;
  const stepBytes = groupColumns * columnBytes;
  for (const vector of [0, 1]) {
    f.scope(() => {
      const sums = f.locals(o.rows * 4, 'v128', 'sum');
      const rows = { a: strided(f, a, aStride, o.rows, 'a'), sum: strided(f, aSum, tableStride, o.rows, 'az') };
      const [weightAt, scaleAt, zerosAt] = f.locals(3, 'i32');
      for (const [pointer, from] of [
        [weightAt, weight],
        [scaleAt, scale],
        [zerosAt, zeros],
      ]) {
        f.get(from);
        f.set(pointer);
      }
      for (const sum of sums) {
        f.get(nothing);
        f.set(sum);
      }
      forBlocks(f, blocks, () => {
        const parts = f.locals(o.rows * 4, 'v128', 'part');
        const number = f.local('v128');
        for (let step = 0; step < steps; step++) {
          for (let at = 0; at < fieldCount; at++) {
            const writeNumber = numberOf(weightAt, step * stepBytes + vector * 16, at);
            for (let c = 0; c < 4; c++) {
              writeNumber(c);
              f.set(number);
              for (let r = 0; r < o.rows; r++) {
                f.get(number);
                f.get(rows.a[r]);
                f.load('v128.load', (at * o.blockBytes + step * columnBytes) * 4, 4);
                if (step === 0 && at === 0) {
                  f.op('f32x4.mul');
                  f.set(parts[r * 4 + c]);
                } else multiplyAdd(f, parts[r * 4 + c], o.relaxed);
              }
            }
          }
        }
        for (let c = 0; c < 4; c++) {
          f.get(scaleAt);
          f.load('v128.load32_splat', vector * 16 + c * 4, 4);
          f.set(number);
          for (let r = 0; r < o.rows; r++) {
            f.get(parts[r * 4 + c]);
            f.get(number);
            multiplyAdd(f, sums[r * 4 + c], o.relaxed);
            if (o.zero !== undefined) continue;
            // One lane has the whole correction.
            f.get(zerosAt);
            f.load('v128.load32_zero', vector * 16 + c * 4, 4);
            f.get(rows.sum[r]);
            f.load('v128.load32_zero', 0, 4);
            multiplyAdd(f, sums[r * 4 + c], o.relaxed);
          }
        }
        for (const pointer of rows.a) advance(f, pointer, 4 * fieldCount * o.blockBytes);
        for (const pointer of rows.sum) advance(f, pointer, 4);
        advance(f, weightAt, steps * stepBytes);
        for (const pointer of [scaleAt, zerosAt]) advance(f, pointer, groupColumns * 4);
      });
      const target = f.local('i32');
      f.get(out);
      f.set(target);
      for (let r = 0; r < o.rows; r++) {
        for (let c = 0; c < 4; c++) {
          const sum = sums[r * 4 + c];
          for (const pattern of [halves, pairs]) {
            f.get(sum);
            f.get(sum);
            f.get(sum);
            f.shuffle(pattern);
            f.op('f32x4.add');
            f.set(sum);
          }
          f.get(target);
          f.get(sum);
          f.storeLane('v128.store32_lane', 0, vector * 16 + c * 4, 4);
        }
        f.get(target);
        f.get(outStride);
        f.op('i32.add');
        f.set(target);
      }
    });
  }
}
