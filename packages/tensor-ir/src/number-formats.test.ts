import { describe, expect, it } from 'vitest';
import {
  clearPadding,
  decodeFloat,
  decodeTable,
  encodeFloat,
  getPacked,
  isPacked,
  isSmallFloat,
  packedBits,
  roundToFormat,
  type SmallFloatType,
  setPacked,
} from './number-formats.ts';

const formats: readonly SmallFloatType[] = [
  'float16',
  'bfloat16',
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
  'float8e8m0',
  'float6e2m3',
  'float6e3m2',
  'float4e2m1',
];

const patternCount = (type: SmallFloatType): number => decodeTable(type).length;

describe.each(formats)('%s', (type) => {
  it('gives every pattern back', () => {
    for (let pattern = 0; pattern < patternCount(type); pattern++) {
      const value = decodeFloat(type, pattern);
      const back = encodeFloat(type, value, { saturate: false });
      if (Number.isNaN(value)) expect(decodeFloat(type, back)).toBeNaN();
      else expect(back, `pattern ${pattern} = ${value}`).toBe(pattern);
    }
  });

  it('rounds everything between two neighbours to the nearer, ties to the even pattern', () => {
    const values = [...new Set(decodeTable(type))].filter(Number.isFinite).sort((a, b) => a - b);
    for (let i = 1; i < values.length; i++) {
      const [low, high] = [values[i - 1], values[i]];
      const middle = (low + high) / 2;
      const quarter = (high - low) / 4;
      const mode = { roundMode: 'nearest' } as const;
      expect(roundToFormat(type, middle - quarter, mode) + 0).toBe(low + 0);
      expect(roundToFormat(type, middle + quarter, mode) + 0).toBe(high + 0);
      const tie = roundToFormat(type, middle, mode);
      if (type === 'float8e8m0') expect(tie).toBe(high);
      else if (middle !== 0) expect(encodeFloat(type, tie) % 2, `between ${low} and ${high}`).toBe(0);
    }
  });
});

describe('float16', () => {
  it('agrees with DataView where the engine has it', () => {
    const view = new DataView(new ArrayBuffer(2)) as DataView & { getFloat16?(at: number): number };
    if (!view.getFloat16) return;
    for (let pattern = 0; pattern < 65536; pattern++) {
      view.setUint16(0, pattern);
      expect(Object.is(decodeFloat('float16', pattern), view.getFloat16(0))).toBe(true);
    }
  });

  it('rounds once, from the double', () => {
    // Above the midpoint of 1 and 1 + 2^-10 by less than float32 can tell.
    expect(encodeFloat('float16', 1 + 2 ** -11 + 2 ** -40)).toBe(0x3c01);
    expect(encodeFloat('float16', 1 + 2 ** -11)).toBe(0x3c00);
    expect(encodeFloat('float16', 65519.99)).toBe(0x7bff);
    expect(encodeFloat('float16', 65520)).toBe(0x7c00);
    expect(encodeFloat('float16', 2 ** -25)).toBe(0);
    expect(encodeFloat('float16', 2 ** -25 * 1.0001)).toBe(1);
    expect(encodeFloat('float16', -0)).toBe(0x8000);
  });
});

// The tables of the ONNX Cast operator, with what its conformance data say about infinities.
describe('out of range', () => {
  const max = { float8e4m3fn: 448, float8e4m3fnuz: 240, float8e5m2: 57344, float8e5m2fnuz: 57344 } as const;

  it.each(Object.entries(max) as [SmallFloatType, number][])('%s saturates to %d', (type, greatest) => {
    for (const huge of [Infinity, 1e6, 1e300]) {
      expect(roundToFormat(type, huge)).toBe(greatest);
      expect(roundToFormat(type, -huge)).toBe(-greatest);
    }
    expect(roundToFormat(type, NaN)).toBeNaN();
    expect(roundToFormat(type, greatest * 1.01)).toBe(greatest);
  });

  it('without saturation gives infinity where there is one, otherwise NaN', () => {
    const plain = { saturate: false };
    expect(roundToFormat('float8e5m2', 1e6, plain)).toBe(Infinity);
    expect(roundToFormat('float8e5m2', -Infinity, plain)).toBe(-Infinity);
    for (const type of ['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2fnuz'] as const) {
      expect(roundToFormat(type, 1e6, plain)).toBeNaN();
      expect(roundToFormat(type, -Infinity, plain)).toBeNaN();
    }
    expect(roundToFormat('float8e4m3fn', 464, plain)).toBe(448);
    expect(roundToFormat('float8e4m3fn', 464.1, plain)).toBeNaN();
  });

  it('has no negative zero in the uz kinds', () => {
    expect(encodeFloat('float8e4m3fnuz', -0)).toBe(0);
    expect(encodeFloat('float8e5m2fnuz', -1e-30)).toBe(0);
    expect(encodeFloat('float8e4m3fn', -0)).toBe(0x80);
  });

  it('clamps float4e2m1', () => {
    expect([-100, -5, -0.2, 0.25, 0.75, 2.5, 5, Infinity, NaN].map((x) => roundToFormat('float4e2m1', x))).toEqual([
      -6, -4, -0, 0, 1, 2, 4, 6, 6,
    ]);
  });
});

describe('float8e8m0', () => {
  it.each([
    ['up', [2 ** -127, 2 ** -127, 1, 2, 2, 4, 4]],
    ['down', [2 ** -127, 2 ** -127, 1, 1, 1, 2, 2]],
    ['nearest', [2 ** -127, 2 ** -127, 1, 1, 2, 2, 4]],
  ] as const)('rounds %s', (roundMode, expected) => {
    expect([0, 1e-40, 1, 1.25, 1.5, -2.5, 3].map((x) => roundToFormat('float8e8m0', x, { roundMode }))).toEqual(
      expected,
    );
  });

  it('ends at 2^127', () => {
    expect(encodeFloat('float8e8m0', 2 ** 127 * 1.5)).toBe(254);
    expect(encodeFloat('float8e8m0', 2 ** 127 * 1.5, { saturate: false })).toBe(255);
    expect(encodeFloat('float8e8m0', Infinity)).toBe(255);
    expect(encodeFloat('float8e8m0', NaN)).toBe(255);
  });
});

describe('packed elements', () => {
  it('puts the first element into the low bits', () => {
    const bytes = new Uint8Array(2);
    [1, -2, 7].forEach((value, at) => {
      setPacked('int4', bytes, at, value);
    });
    expect([...bytes]).toEqual([0xe1, 0x07]);
    expect([0, 1, 2, 3].map((at) => getPacked('int4', bytes, at))).toEqual([1, -2, 7, 0]);
    expect([0, 1, 2, 3].map((at) => getPacked('uint4', bytes, at))).toEqual([1, 14, 7, 0]);
    expect([0, 1, 2, 3, 4].map((at) => packedBits(bytes, at, 2))).toEqual([1, 0, 2, 3, 3]);
    expect([0, 1, 2, 3, 4].map((at) => getPacked('int2', bytes, at))).toEqual([1, 0, -2, -1, -1]);
  });

  it('changes one element only, and wraps', () => {
    const bytes = Uint8Array.of(0xff, 0xff);
    setPacked('uint2', bytes, 5, 4);
    expect([...bytes]).toEqual([0xff, 0xf3]);
    setPacked('float4e2m1', bytes, 0, -3);
    expect(getPacked('float4e2m1', bytes, 0)).toBe(-3);
    expect(getPacked('float4e2m1', bytes, 1)).toBe(-6);
  });

  it('clears what lies behind the last one', () => {
    const bytes = Uint8Array.of(0xff, 0xff);
    clearPadding('int4', bytes, 4);
    expect([...bytes]).toEqual([0xff, 0xff]);
    clearPadding('int4', bytes, 3);
    expect([...bytes]).toEqual([0xff, 0x0f]);
    clearPadding('uint2', bytes, 5);
    expect([...bytes]).toEqual([0xff, 0x03]);
    clearPadding('int4', new Uint8Array(0), 0);
  });

  it('lets elements of 6 bits lie in two bytes', () => {
    const bytes = new Uint8Array(4);
    const values = [7.5, -0.125, 1, -3.5, 0.25];
    for (const [at, value] of values.entries()) setPacked('float6e2m3', bytes, at, value);
    expect([...bytes]).toEqual([0x5f, 0x88, 0xd8, 0x02]);
    expect(values.map((_, at) => getPacked('float6e2m3', bytes, at))).toEqual(values);
    setPacked('float6e2m3', bytes, 1, 100);
    expect([0, 1, 2].map((at) => getPacked('float6e2m3', bytes, at))).toEqual([7.5, 7.5, 1]);
    expect([25, 26.5, -1000, 0.05, NaN].map((x) => roundToFormat('float6e3m2', x))).toEqual([24, 28, -28, 0.0625, 28]);
  });

  it('knows its types', () => {
    expect(isPacked('int4')).toBe(true);
    expect(isPacked('string')).toBe(false);
    expect(isPacked('int8')).toBe(false);
    expect(isSmallFloat('float32')).toBe(false);
    expect(isSmallFloat('bfloat16')).toBe(true);
  });
});
