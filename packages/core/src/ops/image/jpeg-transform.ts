// From coefficients of a JPEG to pixels, with the integer arithmetic that libjpeg uses, so that results agree with it to the
// bit: the "slow" inverse cosine transform, triangle filters for subsampled colours, conversion to RGB.

const fix = (x: number): number => Math.round(x * 8192);
const c0298 = fix(0.298631336);
const c0390 = fix(0.390180644);
const c0541 = fix(0.5411961);
const c0765 = fix(0.765366865);
const c0899 = fix(0.899976223);
const c1175 = fix(1.175875602);
const c1501 = fix(1.50132111);
const c1847 = fix(1.847759065);
const c1961 = fix(1.96157056);
const c2053 = fix(2.053119869);
const c2562 = fix(2.562915447);
const c3072 = fix(3.072711026);

/** One line of eight values, `step` apart: the algorithm of C. Loeffler, A. Ligtenberg and G. Moschytz (1989). */
function transformLine(values: Int32Array, first: number, step: number, shift: number): void {
  const at = (k: number): number => values[first + k * step];
  const half = 1 << (shift - 1);
  const put = (k: number, value: number): void => {
    values[first + k * step] = (value + half) >> shift;
  };
  // Even part.
  const turn = (at(2) + at(6)) * c0541;
  const [even2, even3] = [turn - at(6) * c1847, turn + at(2) * c0765];
  const [even0, even1] = [(at(0) + at(4)) << 13, (at(0) - at(4)) << 13];
  const [t10, t13, t11, t12] = [even0 + even3, even0 - even3, even1 + even2, even1 - even2];
  // Odd part.
  const [a, b, c, d] = [at(7), at(5), at(3), at(1)];
  const sum = (a + c + b + d) * c1175;
  const z1 = -(a + d) * c0899;
  const z2 = -(b + c) * c2562;
  const z3 = sum - (a + c) * c1961;
  const z4 = sum - (b + d) * c0390;
  const o0 = a * c0298 + z1 + z3;
  const o1 = b * c2053 + z2 + z4;
  const o2 = c * c3072 + z2 + z3;
  const o3 = d * c1501 + z1 + z4;
  put(0, t10 + o3);
  put(7, t10 - o3);
  put(1, t11 + o2);
  put(6, t11 - o2);
  put(2, t12 + o1);
  put(5, t12 - o1);
  put(3, t13 + o0);
  put(4, t13 - o0);
}

const clampByte = (x: number): number => (x < 0 ? 0 : Math.min(x, 255));

/** Writes the 8 × 8 samples of a block of coefficients (already multiplied by the quantisation table; overwritten). */
export function inverseTransform(block: Int32Array, output: Uint8Array, at: number, stride: number): void {
  for (let column = 0; column < 8; column++) transformLine(block, column, 8, 11);
  for (let row = 0; row < 8; row++) transformLine(block, row * 8, 1, 18);
  for (let row = 0; row < 8; row++) {
    for (let column = 0; column < 8; column++)
      output[at + row * stride + column] = clampByte(block[row * 8 + column] + 128);
  }
}

/** Samples of one component; `stride` is the width of its whole blocks. */
export interface Plane {
  readonly data: Uint8Array;
  readonly stride: number;
  readonly width: number;
  readonly height: number;
}

/** A line twice as wide, each sample ¾ of the nearer and ¼ of the farther one. `scale` 4 lines hold sums of two rows. */
function doubledLine(line: ArrayLike<number>, width: number, output: Uint8Array, at: number, scale: 1 | 4): void {
  const [shift, lower, upper] = scale === 1 ? [2, 1, 2] : [4, 8, 7];
  for (let x = 0; x < width; x++) {
    const value = 3 * line[x];
    const left = x > 0 ? value + line[x - 1] + lower : 4 * line[x] + (scale === 1 ? 0 : 8);
    const right = x < width - 1 ? value + line[x + 1] + upper : 4 * line[x] + (scale === 1 ? 0 : 7);
    output[at + 2 * x] = left >> shift;
    output[at + 2 * x + 1] = right >> shift;
  }
}

/** The plane in the size of the image; `factors` tell how many pixels a sample covers. */
export function upsample(plane: Plane, factors: readonly [number, number], width: number, height: number): Plane {
  const [fx, fy] = factors;
  if (fx === 1 && fy === 1) return plane;
  const stride = Math.max(width, plane.width * fx);
  const data = new Uint8Array(stride * Math.max(height, plane.height * fy));
  const rowAt = (y: number): Uint8Array => {
    const row = Math.min(Math.max(y, 0), plane.height - 1);
    return plane.data.subarray(row * plane.stride, row * plane.stride + plane.width);
  };
  const isSmooth = fx <= 2 && fy <= 2 && (fx === 1 || plane.width > 2);
  for (let y = 0; y < plane.height * fy; y++) {
    const near = rowAt(Math.floor(y / fy));
    const to = y * stride;
    if (!isSmooth) {
      for (let x = 0; x < plane.width * fx; x++) data[to + x] = near[Math.floor(x / fx)];
      continue;
    }
    if (fy === 1) {
      doubledLine(near, plane.width, data, to, 1);
      continue;
    }
    const far = rowAt((y >> 1) + (y & 1 ? 1 : -1));
    if (fx === 1) {
      for (let x = 0; x < plane.width; x++) data[to + x] = (3 * near[x] + far[x] + (y & 1 ? 2 : 1)) >> 2;
      continue;
    }
    const sums = Int32Array.from(near, (value, x) => 3 * value + far[x]);
    doubledLine(sums, plane.width, data, to, 4);
  }
  return { data, stride, width, height };
}

const fixed = (x: number): number => Math.round(x * 65536);

/** Luma and two chroma planes of equal size as red, green, blue. */
export function toRgb([luma, blue, red]: readonly Plane[], width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const value = luma.data[y * luma.stride + x];
      const b = blue.data[y * blue.stride + x] - 128;
      const r = red.data[y * red.stride + x] - 128;
      data[to] = clampByte(value + ((fixed(1.402) * r + 32768) >> 16));
      data[to + 1] = clampByte(value + ((-fixed(0.34414) * b + 32768 - fixed(0.71414) * r) >> 16));
      data[to + 2] = clampByte(value + ((fixed(1.772) * b + 32768) >> 16));
    }
  }
  return data;
}
