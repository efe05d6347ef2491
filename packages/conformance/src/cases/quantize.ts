// Quantisation: linear maps between floats and small integers or floats, for whole tensors, axes and blocks.

import { codeOfDType } from '@onnx-ts/core/internal';
import { bitsOf, type DType, integerRange, isFloat } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { countOf, drawBroadcastable, drawShape } from '../random.ts';
import { drawFloats, drawIntegers, encodeTensor, type ValueKind } from '../values.ts';
import { drawAxis, signedAxis } from './movement.ts';

interface Grain {
  readonly shape: readonly number[];
  readonly scale: readonly number[];
  readonly axis: number | undefined;
  readonly block: number | undefined;
}

/** Whether a tensor has one scale, one for each entry of an axis (since 13), or one for each block of it (since 21). */
function drawGrain(b: CaseBuilder): Grain {
  const style = b.draws.below(b.opset >= 21 ? 4 : b.opset >= 13 ? 3 : 2);
  if (style < 2)
    return {
      shape: drawShape(b.draws, { maxRank: 4 }),
      scale: style === 0 ? [] : b.isPeer ? [] : [1],
      axis: undefined,
      block: undefined,
    };
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, least: 1 });
  const axis = drawAxis(b, shape.length);
  if (style === 2) return { shape, scale: [shape[axis]], axis, block: undefined };
  const block = b.draws.pick([2, 1, 3, 4]);
  const blocks = b.draws.between(1, 4);
  const whole = shape.with(axis, block * blocks);
  return { shape: whole, scale: whole.with(axis, blocks), axis, block };
}

function scaleValues(b: CaseBuilder, dtype: DType, dims: readonly number[]): string {
  if (!b.isPeer && dtype !== 'float8e8m0' && b.draws.oneIn(3)) return b.random(dtype, dims, ['positive']);
  // Powers of two keep quotients exact, so that no tie is decided by a rounding error.
  const generator = b.draws.generator();
  return b.operand(
    encodeTensor(
      dtype,
      dims,
      Array.from({ length: countOf(dims) }, () => 2 ** generator.between(-4, 1)),
    ),
  );
}

function zeroPoint(b: CaseBuilder, dtype: DType, dims: readonly number[]): string {
  if (isFloat(dtype)) return b.operand(encodeTensor(dtype, dims, Array(countOf(dims)).fill(0)));
  const { min, max } = integerRange(dtype);
  const isWide = bitsOf(dtype) > 8;
  return b.operand(
    drawIntegers(
      b.draws,
      dtype,
      dims,
      isWide ? Number(max / -4n > min ? max / -4n : min) : Number(min),
      isWide ? Number(max / 4n) : Number(max),
    ),
  );
}

function quantizeLinear(b: CaseBuilder): void {
  const from = b.dtype('T1');
  const hasOwnScale = b.opset >= 23;
  const scaleType = b.opset < 19 ? 'float32' : hasOwnScale ? from : from;
  const to = b.dtype(b.opset >= 23 ? 'T3' : 'T2');
  const { shape, scale, axis, block } = drawGrain(b);
  if (from === 'int32' && (isFloat(to) || bitsOf(to) < 8))
    return b.output(b.op('Identity', [b.random(from, shape)]), from);
  const kinds: readonly ValueKind[] = b.isPeer
    ? ['small', 'unit', 'normal']
    : ['small', 'unit', 'normal', 'wide', 'special'];
  const byAttribute = b.opset >= 21 && b.draws.oneIn(4) && to !== 'uint8';
  const hasZero = byAttribute ? false : to !== 'uint8' || b.draws.coin();
  const inputs = [
    b.random(from, shape, kinds),
    scaleValues(b, scaleType === 'int32' ? 'float32' : scaleType, scale),
    hasZero ? zeroPoint(b, to, scale) : undefined,
  ];
  const attributes = {
    axis:
      axis === undefined || b.opset < 13
        ? undefined
        : axis === 1 && b.draws.coin()
          ? undefined
          : signedAxis(b, axis, shape.length),
    block_size: block,
    output_dtype: byAttribute ? codeOfDType(to) : undefined,
    saturate: b.opset >= 19 && to.startsWith('float8') ? b.draws.maybe(() => b.draws.below(2)) : undefined,
  };
  // Half of an inexact quotient may fall either way.
  b.allow({
    ulps: from === 'float32' || from === 'float64' ? 0 : 1,
    integers: from === 'float16' || from === 'bfloat16' ? 1 : 0,
  });
  b.output(b.op('QuantizeLinear', inputs, attributes), to);
}

function dequantizeLinear(b: CaseBuilder): void {
  const from = b.dtype(b.opset >= 19 ? 'T1' : 'T');
  const to = b.opset >= 23 ? b.dtype('T3') : b.opset >= 19 ? b.dtype('T2') : 'float32';
  const { shape, scale, axis, block } = drawGrain(b);
  const scaleType = b.opset >= 23 ? b.dtype('T2', ['float8e8m0']) : to;
  b.allow({ ulps: 2, spread: 0 });
  const inputs = [
    b.random(from, shape, ['small', 'wide']),
    scaleValues(b, scaleType, scale),
    from === 'int32' || b.draws.coin() ? undefined : zeroPoint(b, from, scale),
  ];
  const attributes = {
    axis:
      axis === undefined || b.opset < 13
        ? undefined
        : axis === 1 && b.draws.coin()
          ? undefined
          : signedAxis(b, axis, shape.length),
    block_size: block,
    output_dtype: b.opset >= 23 && to !== scaleType ? codeOfDType(to) : undefined,
  };
  b.output(b.op('DequantizeLinear', inputs, attributes), to);
}

function dynamicQuantize(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { least: 1 });
  b.allow({ ulps: 4, integers: 1 });
  b.outputs(
    b.ops(
      'DynamicQuantizeLinear',
      [b.random('float32', shape, ['unit', 'normal', 'small', 'positive'])],
      {},
      { outputs: 3 },
    ),
  );
}

function qlinearMatMul(b: CaseBuilder): void {
  const [left, right, result] = [b.dtype('T1'), b.dtype('T2'), b.dtype('T3')].map((dtype) =>
    isFloat(dtype) ? 'uint8' : dtype,
  );
  const scaleType = b.opset >= 21 ? b.dtype('TS') : 'float32';
  const [m, n, k] = [b.draws.between(1, 17), b.draws.between(1, 17), b.draws.between(1, 40)];
  const [, outer, other] = drawBroadcastable(b.draws, 2, { maxRank: 2, budget: 6, least: 1 });
  const isVector = !b.isPeer && b.draws.oneIn(8);
  const isColumn = isVector && b.draws.coin();
  const scale = (dims: readonly number[]): string => b.operand(drawFloats(b.draws, scaleType, dims, 0.01, 0.1));
  // One scale for each row of A, or each column of B.
  const isPlain = outer.length === 0 && other.length === 0 && !isVector;
  const perColumn = isPlain && b.draws.oneIn(3);
  const perRow = isPlain && !b.isPeer && b.draws.oneIn(4);
  b.allow({ integers: 1 });
  const inputs = [
    b.random(left, isVector ? [k] : [...outer, m, k], ['wide', 'small']),
    scale(perRow ? [m] : b.draws.coin() || b.isPeer ? [] : [1]),
    zeroPoint(b, left, perRow ? [m] : []),
    b.random(right, isColumn ? [k] : [...other, k, n], ['wide', 'small']),
    scale(perColumn ? [n] : []),
    zeroPoint(b, right, perColumn ? [n] : []),
    scale([]),
    zeroPoint(b, result, []),
  ];
  b.output(b.op('QLinearMatMul', inputs), result);
}

export const quantization: Family = {
  name: 'quantize',
  cases: {
    QuantizeLinear: quantizeLinear,
    DequantizeLinear: dequantizeLinear,
    DynamicQuantizeLinear: dynamicQuantize,
    QLinearMatMul: qlinearMatMul,
  },
};
