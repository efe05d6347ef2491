// Operators of com.microsoft on weights of few bits or of 8-bit floats, beyond MatMulNBits.

import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { countOf } from '../random.ts';
import { drawFloats, drawIntegers, encodeTensor, type ValueKind } from '../values.ts';
import { drawWindow } from './conv.ts';

const domain = 'com.microsoft';
const kinds: readonly ValueKind[] = ['unit', 'normal', 'small'];
type Generator = (b: CaseBuilder) => void;

function codes(b: CaseBuilder, dims: readonly number[]): string {
  return b.operand(drawIntegers(b.draws, 'uint8', dims, 0, 255), 'initializer');
}

function scales(b: CaseBuilder, dtype: DType, dims: readonly number[]): string {
  return b.operand(drawFloats(b.draws, dtype, dims, 0.01, 0.1), 'initializer');
}

/** Weight [experts, outputs, inputs] of few bits with scales, bias and zero points for a mixture of experts. */
function expertLayer(b: CaseBuilder, bits: number, block: number, [experts, outputs, inputs]: readonly number[]) {
  const fields = 8 / bits;
  const scaleDims = block > 0 ? [experts, outputs, inputs / block] : [experts, outputs];
  const last = scaleDims[scaleDims.length - 1];
  return {
    weight: codes(b, [experts, outputs, inputs / fields]),
    scale: scales(b, 'float32', scaleDims),
    bias: b.draws.maybe(() => b.random('float32', [experts, outputs], ['unit'], 'initializer')),
    zero: b.draws.maybe(() => codes(b, scaleDims.with(-1, Math.ceil(last / fields)))),
  };
}

function quantizedMixture(b: CaseBuilder): void {
  const bits = b.draws.pick([4, 8, 2]);
  const block = b.draws.pick([0, 16, 32]);
  const [tokens, experts] = [b.draws.pick([3, 1, 5]), b.draws.pick([2, 4])];
  const [hidden, inner] = [32, b.draws.pick([32, 64])];
  const activation = b.draws.pick(['relu', 'gelu', 'silu', 'identity', 'swiglu']);
  const isFused = activation === 'swiglu';
  // Peers quantise weights of 4 bits anew, to a format of their own.
  b.allow({ ulps: 64, spread: 2048, absolute: b.isPeer && bits === 4 ? 0.6 : 0 });
  const first = expertLayer(b, bits, block, [experts, isFused ? 2 * inner : inner, hidden]);
  const second = expertLayer(b, bits, block, [experts, hidden, inner]);
  const x = [tokens, hidden];
  const inputs = [
    b.random('float32', b.draws.coin() ? [1, ...x] : x, ['unit']),
    b.random('float32', [tokens, experts], ['normal']),
    first.weight,
    first.scale,
    first.bias,
    second.weight,
    second.scale,
    second.bias,
    undefined,
    undefined,
    undefined,
    first.zero,
    second.zero,
  ];
  const attributes = {
    activation_type: activation,
    swiglu_fusion: isFused ? 1 : undefined,
    swiglu_limit: isFused && b.draws.coin() ? float(2) : undefined,
    activation_alpha: isFused ? float(1.702) : undefined,
    activation_beta: isFused ? float(1) : undefined,
    block_size: block || undefined,
    expert_weight_bits: bits,
    k: b.draws.between(1, 2),
    normalize_routing_weights: b.draws.maybe(() => b.draws.below(2)),
  };
  b.output(b.op('QMoE', inputs, attributes, domain), 'float32');
}

interface Projected {
  readonly dtype: DType;
  readonly bits: number;
  readonly block: number;
  readonly k: number;
  readonly attributes: Readonly<Record<string, number>>;
  /** A, then skip connection and scale of the norm before the products, which may be missing. */
  readonly inputs: readonly (string | undefined)[];
  readonly hasNorm: boolean;
}

function drawProjected(b: CaseBuilder): Projected {
  const dtype = b.dtype('T1');
  const bits = b.draws.pick([4, 8, 2]);
  const block = b.draws.pick([32, 16, 64]);
  const k = b.draws.pick([32, 64, 100]);
  const rows = b.draws.coin() ? [b.draws.between(1, 5)] : [2, b.draws.between(1, 3)];
  const hasNorm = b.draws.coin();
  const hasSkip = hasNorm && b.draws.coin();
  b.allow({ ulps: 64, spread: 64 * Math.sqrt(k) * 2 ** bits });
  const inputs = [
    b.random(dtype, [...rows, k], ['unit']),
    hasSkip ? b.random(dtype, [...rows, k], ['unit']) : undefined,
    hasNorm ? b.random(dtype, [k], ['unit']) : undefined,
  ];
  return { dtype, bits, block, k, attributes: { K: k, bits, block_size: block }, inputs, hasNorm };
}

/** Weight, scales and bias of one projection. */
function projection(b: CaseBuilder, { dtype, bits, block, k }: Projected, n: number): (string | undefined)[] {
  const blocks = Math.ceil(k / block);
  return [
    codes(b, [n, blocks, (block * bits) / 8]),
    b.operand(drawFloats(b.draws, dtype, [n, blocks], -0.05, 0.05), 'initializer'),
    b.draws.maybe(() => b.random(dtype, [n], ['unit'])),
  ];
}

function nBitsMlp(b: CaseBuilder): void {
  const projected = drawProjected(b);
  const n = b.draws.pick([8, 3, 17]);
  const inputs = [...projected.inputs, ...projection(b, projected, n), ...projection(b, projected, n)];
  const attributes = { ...projected.attributes, N: n, activation: b.draws.pick(['silu', 'gelu', 'relu']) };
  const outputs = [true, projected.inputs[1] !== undefined];
  const [y, ...sum] = b.ops('MatMulNBitsMlp', inputs, attributes, { domain, outputs });
  b.output(y, projected.dtype);
  b.outputs(sum);
}

function nBitsQkv(b: CaseBuilder): void {
  const projected = drawProjected(b);
  const [nq, nkv] = [b.draws.pick([8, 3, 17]), b.draws.pick([4, 1, 8])];
  const inputs = [...projected.inputs, ...[nq, nkv, nkv].flatMap((n) => projection(b, projected, n))];
  const attributes = { ...projected.attributes, Nq: nq, Nkv: nkv };
  const outputs = [true, true, true, projected.inputs[1] !== undefined];
  b.outputs(b.ops('MatMulNBitsQkv', inputs, attributes, { domain, outputs }));
}

function fp8Weight(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['float64']);
  const block = b.draws.pick([16, 32, 128]);
  const [m, n, k] = [b.draws.pick([3, 1, 5]), b.draws.pick([8, 3, 17]), b.draws.pick([32, 100, 16])];
  b.allow({ ulps: 16, spread: 64 + 8 * Math.sqrt(k) });
  // A scale of A rounds it to 8 bits: the same on both sides, as the division by it is exact.
  const inputs = [
    b.random(dtype, [m, k], ['small']),
    b.random('float8e4m3fn', [n, k], ['small', 'unit'], 'initializer'),
    scales(b, 'float32', [n, Math.ceil(k / block)]),
    b.draws.oneIn(3) ? b.operand(encodeTensor('float32', [1], [0.5])) : undefined,
    b.draws.maybe(() => b.random(dtype, [n], kinds)),
  ];
  b.output(b.op('MatMulBlockQuantizedFp8Weight', inputs, { block_size: block }, domain), dtype);
}

function fp4Weight(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['float64']);
  const [m, n, k] = [b.draws.pick([3, 1, 5]), b.draws.pick([8, 3, 17]), b.draws.pick([32, 48, 16])];
  b.allow({ ulps: 16, spread: 64 + 8 * Math.sqrt(k) });
  const inputs = [
    b.random(dtype, [m, k], ['unit', 'small']),
    codes(b, [n, k / 2]),
    // Bytes of 8-bit floats: from 2⁻⁶ to 30, no NaN.
    b.operand(drawIntegers(b.draws, 'uint8', [n, k / 16], 8, 95), 'initializer'),
    b.scalar('float32', 0.25),
    undefined,
    b.draws.maybe(() => b.random(dtype, [n], kinds)),
  ];
  b.output(b.op('MatMulBlockQuantizedFp4Weight', inputs, {}, domain), dtype);
}

const resultTypes: readonly (readonly [DType, number])[] = [
  ['float32', 1],
  ['float16', 10],
  ['bfloat16', 16],
];

function gemmFloat8(b: CaseBuilder): void {
  const types: readonly DType[] = ['float32', 'float8e4m3fn', 'float16', 'float8e5m2'];
  const [left, right] = [b.draws.pick(types), b.draws.pick(types)];
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8, 17]));
  const [transA, transB] = [b.draws.below(2), b.draws.below(2)];
  const [dtype, code] = b.draws.pick(resultTypes);
  b.allow({ ulps: 8, spread: 16 + 4 * Math.sqrt(k) });
  const factor = (): string | undefined => b.draws.maybe(() => b.operand(encodeTensor('float32', [1], [0.5])));
  const hasC = b.draws.coin();
  const inputs = [
    b.random(left, transA ? [k, m] : [m, k], ['small', 'unit']),
    b.random(right, transB ? [n, k] : [k, n], ['small', 'unit']),
    hasC ? b.random('float32', [m, n], kinds) : undefined,
    factor(),
    factor(),
    factor(),
  ];
  const attributes = {
    activation: b.draws.pick([undefined, 'NONE', 'RELU', 'GELU']),
    alpha: b.draws.maybe(() => float(0.5)),
    beta: hasC ? float(2) : undefined,
    dtype: code,
    transA,
    transB,
  };
  b.output(b.op('GemmFloat8', inputs, attributes, domain), dtype);
}

/** A scale and a zero point. */
function quantization(b: CaseBuilder, dtype: DType, dims: readonly number[] = []): [string, string] {
  const [low, high] = dtype === 'uint8' ? [0, 200] : [-100, 100];
  return [
    b.operand(drawFloats(b.draws, 'float32', dims, 0.02, 0.2), 'initializer'),
    b.operand(drawIntegers(b.draws, dtype, dims, low, high), 'initializer'),
  ];
}

function quantizedConv(b: CaseBuilder): void {
  const [left, right, result] = [b.dtype('T1'), b.dtype('T2'), b.dtype('T3')];
  const window = drawWindow(b);
  const [batch, from, to] = [b.draws.between(1, 2), b.draws.pick([1, 2, 4]), b.draws.pick([1, 3, 8])];
  const isLast = b.draws.below(2);
  const perChannel = b.draws.coin();
  b.allow({ integers: 1 });
  const x = isLast ? [batch, ...window.image, from] : [batch, from, ...window.image];
  // The zero point of each filter is the same, and 0 for peers where scales differ.
  const dims = perChannel ? [to] : [];
  const weightZero = encodeTensor(right, dims, Array<number>(countOf(dims)).fill(perChannel ? 0 : 3));
  const inputs = [
    b.random(left, x, ['wide', 'small']),
    ...quantization(b, left),
    b.random(right, [to, from, ...window.kernel], ['wide', 'small'], 'initializer'),
    quantization(b, right, dims)[0],
    b.operand(weightZero, 'initializer'),
    ...quantization(b, result),
    b.draws.maybe(() => b.operand(drawIntegers(b.draws, 'int32', [to], -500, 500), 'initializer')),
  ];
  b.output(b.op('QLinearConv', inputs, { ...window.attributes, channels_last: isLast }, domain), result);
}

function quantizedEmbedding(b: CaseBuilder): void {
  const dtype = b.dtype('T2');
  const [batch, length, hidden] = [b.draws.between(1, 3), b.draws.between(1, 5), b.draws.pick([8, 4, 16])];
  const hasSegments = b.draws.coin();
  const hasMask = b.draws.coin();
  const ids = (most: number): string => b.operand(drawIntegers(b.draws, 'int32', [batch, length], 0, most - 1));
  const table = (rows: number): string => b.random(dtype, [rows, hidden], ['normal'], 'initializer');
  const row = (): string => b.random(dtype, [hidden], ['normal'], 'initializer');
  b.allow({ ulps: 64, spread: 64 });
  const parameters = Array.from({ length: 5 }, (_, at) =>
    at === 2 && !hasSegments ? [undefined, undefined] : quantization(b, dtype),
  );
  const inputs = [
    ids(7),
    hasSegments ? ids(2) : undefined,
    table(7),
    table(9),
    hasSegments ? table(2) : undefined,
    row(),
    row(),
    hasMask ? b.operand(drawIntegers(b.draws, 'int32', [batch, length], 0, 1)) : undefined,
    ...parameters.map(([scale]) => scale),
    ...parameters.map(([, zero]) => zero),
  ];
  const [y, mask] = b.ops('QEmbedLayerNormalization', inputs, { epsilon: float(1e-5) }, { domain, outputs: 2 });
  b.output(y, 'float32');
  if (hasMask && !b.isPeer) b.output(mask);
}

export const lowBits: Family = {
  name: 'low-bits',
  cases: Object.fromEntries(
    Object.entries({
      QMoE: quantizedMixture,
      MatMulNBitsMlp: nBitsMlp,
      MatMulNBitsQkv: nBitsQkv,
      MatMulBlockQuantizedFp8Weight: fp8Weight,
      MatMulBlockQuantizedFp4Weight: fp4Weight,
      GemmFloat8: gemmFloat8,
      QLinearConv: quantizedConv,
      QEmbedLayerNormalization: quantizedEmbedding,
    } satisfies Record<string, Generator>).map(([name, generator]) => [`${domain}:${name}`, generator]),
  ),
};
