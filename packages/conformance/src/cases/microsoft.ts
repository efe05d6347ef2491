// Operators of com.microsoft: what optimizers fuse, and weights of few bits.

import { type DType, isFloat } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { countOf, drawBroadcastable, drawShape } from '../random.ts';
import { drawFloats, drawIntegers, encodeTensor, type ValueKind } from '../values.ts';
import { drawWindow } from './conv.ts';
import { drawAxis, signedAxis } from './movement.ts';

const domain = 'com.microsoft';
const kinds: readonly ValueKind[] = ['unit', 'normal', 'small'];
type Generator = (b: CaseBuilder) => void;

function skipNorm(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    const shape = [
      ...drawShape(b.draws, { minRank: 1, maxRank: 2, budget: 12, least: 1 }),
      b.draws.pick([8, 1, 3, 16, 33, 64]),
    ];
    const inner = shape.slice(-1);
    const hasBeta = op === 'SkipLayerNormalization';
    b.allow({ ulps: 16, spread: 32 });
    const skip = shape.length === 3 ? b.draws.pick([shape, [1, ...shape.slice(1)], shape.slice(1)]) : shape;
    const inputs = [
      b.random(dtype, shape, ['normal', 'unit']),
      b.random(dtype, skip, ['normal', 'unit']),
      b.random(dtype, inner, kinds),
      ...(hasBeta ? [b.draws.maybe(() => b.random(dtype, inner, kinds))] : []),
      b.draws.maybe(() => b.random(dtype, inner, kinds)),
    ];
    // Statistics of the rows are for training: peers leave them unwritten.
    const wantsOne = (): boolean => !b.isPeer && b.draws.oneIn(4);
    const wanted = [true, hasBeta && wantsOne(), wantsOne(), b.draws.coin()];
    const [y, ...more] = b.ops(op, inputs, { epsilon: b.draws.maybe(() => float(1e-5)) }, { domain, outputs: wanted });
    b.output(y, dtype);
    b.outputs(more);
  };
}

function biasOp(op: string, options: { readonly optional?: boolean } = {}): Generator {
  return (b) => {
    const dtype = b.dtype();
    const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, least: 1 });
    b.allow({ ulps: 16, spread: 4 });
    const bias = options.optional && b.draws.coin() ? undefined : b.random(dtype, shape.slice(-1), kinds);
    b.output(b.op(op, [b.random(dtype, shape, kinds), bias], {}, domain), dtype);
  };
}

function gelu(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    b.allow({ ulps: 16, spread: 2 });
    const attributes = op === 'QuickGelu' ? { alpha: b.draws.maybe(() => float(b.draws.pick([1, 1.702, 0.5]))) } : {};
    b.output(b.op(op, [b.random(dtype, drawShape(b.draws), kinds)], attributes, domain), dtype);
  };
}

function biasSoftmax(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 2, maxRank: 4, least: 1 });
  const axis = b.draws.between(1, shape.length - 1);
  const isInner = b.draws.below(2);
  b.allow({ ulps: 16 });
  // The bias repeats over the leading axes, or (not inner) over those between the batch and the softmax.
  const bias = isInner
    ? [...shape.slice(0, axis).map(() => 1), ...shape.slice(axis)]
    : [shape[0], ...shape.slice(1, axis).map(() => 1), ...shape.slice(axis)];
  const inputs = [b.random(dtype, shape, kinds), b.random(dtype, bias, kinds)];
  b.output(b.op('BiasSoftmax', inputs, { axis, is_inner_broadcast: isInner }, domain), dtype);
}

function fusedMatMul(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8, 17]));
    const [transA, transB] = [b.draws.below(2), b.draws.below(2)];
    const [, outer, other] = drawBroadcastable(b.draws, 2, { maxRank: 2, budget: 6, least: 1 });
    b.allowSums(k, 4);
    const inputs = [
      b.random(dtype, [...outer, ...(transA ? [k, m] : [m, k])], kinds),
      b.random(dtype, [...other, ...(transB ? [n, k] : [k, n])], kinds),
    ];
    const attributes = { transA, transB, alpha: b.draws.maybe(() => float(b.draws.pick([0.5, 2, -1]))) };
    b.output(b.op(op, inputs, attributes, domain), dtype);
  };
}

const activations = ['Relu', 'Tanh', 'Sigmoid', 'LeakyRelu'];

function fusedGemm(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['uint32', 'uint64', 'int32', 'int64']);
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8, 17]));
  const [transA, transB] = [b.draws.below(2), b.draws.below(2)];
  const activation = b.draws.pick(activations);
  b.allow({ ulps: 16, spread: 4 + 4 * Math.sqrt(k) });
  const inputs = [
    b.random(dtype, transA ? [k, m] : [m, k], kinds),
    b.random(dtype, transB ? [n, k] : [k, n], kinds),
    b.draws.maybe(() => b.random(dtype, b.draws.pick([[n], [m, n], [1, n], [m, 1], []]), kinds)),
  ];
  const attributes = {
    transA,
    transB,
    activation,
    activation_alpha: activation === 'LeakyRelu' ? float(0.1) : undefined,
  };
  b.output(b.op('FusedGemm', inputs, attributes, domain), dtype);
}

function fusedConv(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [batch, from, to] = [b.draws.between(1, 2), b.draws.pick([1, 2, 4]), b.draws.pick([1, 3, 8])];
  const window = drawWindow(b);
  const activation = b.draws.pick(['Relu', 'Tanh', 'Sigmoid', 'LeakyRelu', 'Clip', undefined]);
  const parameters = activation === 'LeakyRelu' ? [0.1] : activation === 'Clip' ? [-1, 2] : undefined;
  b.allow({ ulps: 16, spread: 4 + 4 * Math.sqrt(from * countOf(window.kernel)) });
  const x = b.random(dtype, [batch, from, ...window.image], kinds);
  const weight = (): string => b.random(dtype, [to, from, ...window.kernel], kinds);
  const inputs = [
    x,
    weight(),
    b.draws.maybe(() => b.random(dtype, [to], kinds)),
    b.draws.oneIn(3) ? b.op('Conv', [x, weight()], window.attributes) : undefined,
  ];
  const attributes = { ...window.attributes, activation, activation_params: parameters && { floats: parameters } };
  b.output(b.op('FusedConv', inputs, attributes, domain), dtype);
}

function groupNorm(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    const [groups, each] = [b.draws.pick([2, 1, 4]), b.draws.pick([8, 1, 4])];
    const [batch, height, width] = [b.draws.between(1, 2), b.draws.between(1, 5), b.draws.between(1, 5)];
    const isFirst = !b.isPeer && b.draws.oneIn(3);
    const shape = isFirst ? [batch, groups * each, height, width] : [batch, height, width, groups * each];
    b.allow({ ulps: 16, spread: 32 });
    const inner = [groups * each];
    const gammaType = b.dtype('M');
    const inputs = [
      b.random(dtype, shape, ['normal']),
      b.random(gammaType, inner, kinds),
      b.random(gammaType, inner, kinds),
    ];
    const isSkip = op === 'SkipGroupNorm';
    if (isSkip) inputs.push(b.random(dtype, shape, kinds));
    const attributes = {
      groups,
      activation: b.draws.below(2),
      channels_last: isFirst ? 0 : undefined,
      epsilon: b.draws.maybe(() => float(1e-3)),
    };
    b.output(b.op(op, inputs, attributes, domain), dtype);
  };
}

function matMulNBits(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const bits = b.draws.pick([4, 8, 2]);
  const block = b.draws.pickEarly([32, 16, 64, 128, 256]);
  const [n, k] = [b.draws.pick([3, 1, 8, 16, 17, 40]), b.draws.pick([32, 16, 64, 20, 96, 100, 256, 7])];
  const blocks = Math.ceil(k / block);
  const rows = drawShape(b.draws, { minRank: b.isPeer ? 1 : 0, maxRank: 3, budget: 40, least: b.isPeer ? 1 : 0 });
  // Zero points are packed as the weights are, or of the type of the scales.
  const style = b.draws.pick(['middle', 'packed', 'floats'] as const);
  const packed = Math.ceil((blocks * bits) / 8);
  // Peers leave out those of inputs when they round A to int8.
  const zeroPlace = b.isPeer ? 'initializer' : 'any';
  const zeros =
    style === 'packed'
      ? b.operand(drawIntegers(b.draws, 'uint8', b.draws.coin() ? [n * packed] : [n, packed], 0, 255), zeroPlace)
      : style === 'floats'
        ? b.operand(drawFloats(b.draws, dtype, b.draws.coin() ? [n * blocks] : [n, blocks], 0, 2 ** bits), zeroPlace)
        : undefined;
  // Which block of scales each feature of A belongs to.
  const isReordered = !b.isPeer && b.draws.oneIn(5);
  // At level 4, A may be rounded to int8.
  const level = b.draws.pick([undefined, undefined, 0, 1, 2, 3, 4]);
  b.allow({ ulps: 8, spread: (4 + 4 * Math.sqrt(k)) * 2 ** bits });
  if (level === 4) b.allow({ absolute: 0.002 * Math.sqrt(k) * 2 ** bits });
  const inputs = [
    b.random(dtype, [...rows, k], ['unit', 'small']),
    b.operand(
      drawIntegers(b.draws, 'uint8', [n, blocks, (block * bits) / 8], 0, 255),
      b.draws.oneIn(5) ? 'input' : 'initializer',
    ),
    b.operand(drawFloats(b.draws, dtype, b.draws.coin() ? [n * blocks] : [n, blocks], -0.1, 0.1), 'initializer'),
    zeros,
    isReordered ? b.operand(drawIntegers(b.draws, 'int32', [k], 0, blocks - 1), 'initializer') : undefined,
    b.draws.oneIn(3) ? b.random(dtype, [n], kinds) : undefined,
  ];
  const attributes = { K: k, N: n, bits, block_size: block, accuracy_level: level };
  b.output(b.op('MatMulNBits', inputs, attributes, domain), dtype);
}

function matMulBnb4(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const block = b.draws.pick([16, 32, 64]);
  const [n, k] = [b.draws.pick([4, 8, 16, 3]), b.draws.pick([16, 32, 64])];
  const count = n * k;
  b.allow({ ulps: 8, spread: 4 + 4 * Math.sqrt(k) });
  const inputs = [
    b.random(dtype, [b.draws.between(1, 5), k], ['unit', 'small']),
    b.operand(drawIntegers(b.draws, 'uint8', [Math.ceil(count / 2)], 0, 255), 'initializer'),
    b.operand(drawFloats(b.draws, dtype, [Math.ceil(count / block)], 0.1, 1), 'initializer'),
  ];
  b.output(b.op('MatMulBnb4', inputs, { K: k, N: n, block_size: block, quant_type: b.draws.below(2) }, domain), dtype);
}

function scale(b: CaseBuilder, dims: readonly number[] = []): string {
  return b.operand(drawFloats(b.draws, 'float32', dims, 0.02, 0.2));
}

function zero(b: CaseBuilder, dtype: DType, dims: readonly number[] = []): string {
  return b.operand(drawIntegers(b.draws, dtype, dims, dtype === 'uint8' ? 0 : -100, dtype === 'uint8' ? 200 : 100));
}

/** A zero point that may be left out; some peers end their process then. */
function maybeZero(b: CaseBuilder, dtype: DType): string | undefined {
  return b.isPeer || b.draws.coin() ? zero(b, dtype) : undefined;
}

const bytes: readonly ValueKind[] = ['wide', 'small'];

function qlinearPair(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    const [, left, right] = drawBroadcastable(b.draws, 2, { least: 1 });
    b.allow({ integers: 1 });
    const optional = (): string | undefined => maybeZero(b, dtype);
    const inputs = [
      b.random(dtype, left, bytes),
      scale(b),
      optional(),
      b.random(dtype, right, bytes),
      scale(b),
      optional(),
      scale(b),
      optional(),
    ];
    b.output(b.op(op, inputs, {}, domain), dtype);
  };
}

function qlinearUnary(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    b.allow({ integers: 1 });
    const inputs = [
      b.random(dtype, drawShape(b.draws, { least: 1 }), bytes),
      scale(b),
      maybeZero(b, dtype),
      scale(b),
      maybeZero(b, dtype),
    ];
    b.output(b.op(op, inputs, {}, domain), dtype);
  };
}

function qlinearSoftmax(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, least: 1 });
  b.allow({ integers: 1 });
  const axis = drawAxis(b, shape.length);
  const inputs = [
    b.random(dtype, shape, bytes),
    scale(b),
    maybeZero(b, dtype),
    b.scalar('float32', 1 / 256),
    b.scalar(dtype, dtype === 'uint8' ? 0 : -128),
  ];
  b.output(
    b.op('QLinearSoftmax', inputs, { axis: signedAxis(b, axis, shape.length), opset: b.draws.pick([13, 12]) }, domain),
    dtype,
  );
}

function qlinearConcat(b: CaseBuilder): void {
  const dtype = b.dtype('T8');
  const shape = drawShape(b.draws, { minRank: 1, budget: 300, least: 1 });
  const axis = drawAxis(b, shape.length);
  b.allow({ integers: 1 });
  const parts = Array.from({ length: b.draws.between(1, 3) }, () => [
    b.random(dtype, shape.with(axis, b.draws.between(1, 4)), bytes),
    scale(b),
    zero(b, dtype),
  ]).flat();
  b.output(b.op('QLinearConcat', [scale(b), zero(b, dtype), ...parts], { axis }, domain), dtype);
}

function qlinearPool(b: CaseBuilder): void {
  const dtype = b.dtype();
  const window = drawWindow(b, { smallPads: true, dilates: false });
  b.allow({ integers: 1 });
  const x = b.random(dtype, [b.draws.between(1, 2), b.draws.between(1, 3), ...window.image], bytes);
  const attributes = {
    ...window.attributes,
    kernel_shape: window.kernel,
    count_include_pad: b.draws.maybe(() => b.draws.below(2)),
  };
  b.output(
    b.op('QLinearAveragePool', [x, scale(b), zero(b, dtype), scale(b), zero(b, dtype)], attributes, domain),
    dtype,
  );
}

function qlinearGlobalPool(b: CaseBuilder): void {
  const dtype = b.dtype();
  const isLast = b.draws.below(2);
  const shape = drawShape(b.draws, { minRank: 4, maxRank: 4, budget: 600, least: 1 });
  b.allow({ integers: 1 });
  b.output(
    b.op(
      'QLinearGlobalAveragePool',
      [b.random(dtype, shape, bytes), scale(b), zero(b, dtype), scale(b), zero(b, dtype)],
      { channels_last: isLast },
      domain,
    ),
    dtype,
  );
}

function qlinearWhere(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [, condition, left, right] = drawBroadcastable(b.draws, 3, { least: 1 });
  b.allow({ integers: 1 });
  const inputs = [
    b.random('bool', condition),
    b.random(dtype, left, bytes),
    scale(b),
    zero(b, dtype),
    b.random(dtype, right, bytes),
    scale(b),
    zero(b, dtype),
    scale(b),
    zero(b, dtype),
  ];
  b.output(b.op('QLinearWhere', inputs, {}, domain), dtype);
}

function dynamicQuantizeMatMul(b: CaseBuilder): void {
  const right = b.dtype('T2');
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8, 17]));
  const perColumn = b.draws.coin();
  b.allow({ ulps: 16, spread: 8 + 4 * Math.sqrt(k) });
  const inputs = [
    b.random('float32', [m, k], ['unit', 'normal']),
    b.random(right, [k, n], bytes),
    scale(b, perColumn ? [n] : []),
    b.draws.maybe(() => zero(b, right, perColumn ? [n] : [])),
    b.draws.maybe(() => b.random('float32', [n], kinds)),
  ];
  b.output(b.op('DynamicQuantizeMatMul', inputs, {}, domain), 'float32');
}

function matMulIntegerToFloat(b: CaseBuilder): void {
  const [left, right, dtype] = [b.dtype('T1'), b.dtype('T2'), b.dtype('T3')];
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8, 17]));
  const perColumn = b.draws.coin();
  const factor = (dims: readonly number[] = []): string => b.operand(drawFloats(b.draws, dtype, dims, 0.02, 0.2));
  b.allow({ ulps: 16, spread: 16 });
  const inputs = [
    b.random(left, [m, k], bytes),
    b.random(right, [k, n], bytes),
    factor(),
    factor(perColumn ? [n] : []),
    b.draws.maybe(() => zero(b, left)),
    b.draws.maybe(() => zero(b, right, perColumn ? [n] : [])),
    b.draws.maybe(() => b.random(dtype, [n], kinds)),
  ];
  b.output(b.op('MatMulIntegerToFloat', inputs, {}, domain), dtype);
}

function qgemm(b: CaseBuilder): void {
  const [left, right] = [b.dtype('TA'), b.dtype('TB')];
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8, 17]));
  const [transA, transB] = [b.draws.below(2), b.draws.below(2)];
  const perColumn = b.draws.oneIn(3);
  b.allow({ ulps: 16, spread: 16, integers: 1 });
  const isQuantized = b.draws.coin();
  const result = b.dtype('TYZ');
  const inputs = [
    b.random(left, transA ? [k, m] : [m, k], bytes),
    scale(b),
    zero(b, left),
    b.random(right, transB ? [n, k] : [k, n], bytes),
    scale(b, perColumn ? [n] : []),
    zero(b, right, perColumn ? [n] : []),
    b.draws.maybe(() => b.operand(drawIntegers(b.draws, 'int32', b.draws.pick([[n], [m, n], [1, n]]), -500, 500))),
    isQuantized ? scale(b) : undefined,
    isQuantized ? zero(b, result) : undefined,
  ];
  b.output(b.op('QGemm', inputs, { transA, transB, alpha: b.draws.maybe(() => float(0.5)) }, domain));
}

function embedLayerNorm(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [batch, length, hidden] = [b.draws.between(1, 3), b.draws.between(1, 5), b.draws.pick([8, 4, 16])];
  const hasSegments = b.draws.coin();
  const ids = (most: number): string => b.operand(drawIntegers(b.draws, 'int32', [batch, length], 0, most - 1));
  b.allow({ ulps: 16, spread: 32 });
  const hasMask = b.draws.coin();
  const inputs = [
    ids(7),
    hasSegments ? ids(2) : undefined,
    b.random(dtype, [7, hidden], kinds),
    b.random(dtype, [9, hidden], kinds),
    hasSegments ? b.random(dtype, [2, hidden], kinds) : undefined,
    b.random(dtype, [hidden], kinds),
    b.random(dtype, [hidden], kinds),
    hasMask ? b.operand(drawIntegers(b.draws, 'int32', [batch, length], 0, 1)) : undefined,
    b.draws.oneIn(3) ? ids(9) : undefined,
  ];
  const wantsSum = b.draws.oneIn(3);
  const [y, mask, sum] = b.ops(
    'EmbedLayerNormalization',
    inputs,
    { epsilon: b.draws.maybe(() => float(1e-5)) },
    { domain, outputs: [true, true, wantsSum] },
  );
  b.output(y, dtype);
  if (hasMask && !hasSegments) b.output(mask);
  if (wantsSum) b.output(sum);
}

function gatherBlockQuantized(b: CaseBuilder): void {
  const [from, to, indexType] = [b.dtype('T1'), b.dtype('T2'), b.dtype('Tind')];
  const block = b.draws.pick([16, 32, 64]);
  const isByte = from === 'uint8';
  const bits = isByte ? b.draws.pick(b.isPeer ? [4, 8] : [4, 8, 2]) : 4;
  const perByte = isByte ? 8 / bits : 1;
  // Peers gather rows only, and blocks are of columns; bytes are packed along the last axis for all.
  const [gatherAxis, quantizeAxis] = b.isPeer ? [0, 1] : [b.draws.pick([0, 1]), isByte ? 1 : b.draws.pick([1, 0])];
  const [blocks, others] = [b.draws.between(1, 3), b.draws.between(1, 5) * perByte];
  const shape = quantizeAxis === 1 ? [others, block * blocks] : [block * blocks, others];
  const scaleShape = shape.with(quantizeAxis, blocks);
  const picked = drawShape(b.draws, { maxRank: 2, budget: 8, least: 1 });
  b.allow({ ulps: 2 });
  const stored = (dims: readonly number[]): string => {
    const packed = dims.with(-1, Math.ceil(dims[dims.length - 1] / perByte));
    const [low, high] = isByte ? [0, 255] : from === 'int4' ? [-8, 7] : [0, 15];
    return b.operand(drawIntegers(b.draws, from, packed, low, high), 'initializer');
  };
  const inputs = [
    stored(shape),
    b.operand(drawIntegers(b.draws, indexType, picked, 0, shape[gatherAxis] - 1)),
    b.operand(drawFloats(b.draws, to, scaleShape, 0.1, 1), 'initializer'),
    b.draws.maybe(() => stored(scaleShape)),
  ];
  const attributes = {
    bits: isByte ? bits : undefined,
    block_size: block,
    gather_axis: gatherAxis || undefined,
    quantize_axis: quantizeAxis,
  };
  b.output(b.op('GatherBlockQuantized', inputs, attributes, domain), to);
}

function biasDropout(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, least: 1 });
  b.allow({ ulps: 2, spread: 2 });
  const inputs = [
    b.random(dtype, shape, kinds),
    b.random(dtype, shape.slice(-1), kinds),
    b.draws.maybe(() => b.random(dtype, shape, kinds)),
  ];
  b.output(b.op('BiasDropout', inputs, {}, domain), dtype);
}

function expandDims(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['string', 'complex64', 'complex128']);
  const shape = drawShape(b.draws, { maxRank: 3 });
  const axis = signedAxis(b, drawAxis(b, shape.length + 1), shape.length + 1);
  b.output(
    b.op('ExpandDims', [b.random(dtype, shape), b.operand(encodeTensor('int32', [], [axis]))], {}, domain),
    dtype,
  );
}

function microsoftQuantize(op: string): Generator {
  return (b) => {
    const [first, second] = [b.dtype('T1'), b.dtype('T2')];
    const [real, whole] = isFloat(first) ? [first, second] : [second, first];
    const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, least: 1 });
    const axis = b.draws.maybe(() => drawAxis(b, shape.length));
    const dims = axis === undefined ? [] : [shape[axis]];
    const factor = b.operand(
      encodeTensor(
        real,
        dims,
        Array.from({ length: countOf(dims) }, () => 2 ** -b.draws.between(0, 3)),
      ),
    );
    const origin = b.operand(drawIntegers(b.draws, whole, dims, whole.startsWith('u') ? 0 : -7, 7));
    b.allow({ ulps: 2, integers: real === 'float16' ? 1 : 0 });
    const x = op === 'QuantizeLinear' ? b.random(real, shape, ['normal', 'small']) : b.random(whole, shape, bytes);
    b.output(b.op(op, [x, factor, whole === 'int32' ? undefined : origin], { axis }, domain));
  };
}

function simplifiedNorm(b: CaseBuilder): void {
  const dtype = b.draws.pick(['float32', 'float16'] as const);
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, least: 1 });
  b.allow({ ulps: 16, spread: 16 });
  const inputs = [b.random(dtype, shape, ['normal', 'unit']), b.random(dtype, shape.slice(-1), kinds)];
  b.output(b.op('SimplifiedLayerNormalization', inputs, { axis: -1, epsilon: float(1e-5) }), dtype);
}

const named = (cases: Readonly<Record<string, Generator>>): Record<string, Generator> => {
  return Object.fromEntries(Object.entries(cases).map(([name, generator]) => [`${domain}:${name}`, generator]));
};

export const microsoft: Family = {
  name: 'microsoft',
  cases: {
    ...named({
      SkipLayerNormalization: skipNorm('SkipLayerNormalization'),
      SkipSimplifiedLayerNormalization: skipNorm('SkipSimplifiedLayerNormalization'),
      BiasGelu: biasOp('BiasGelu'),
      FastGelu: biasOp('FastGelu', { optional: true }),
      Gelu: gelu('Gelu'),
      QuickGelu: gelu('QuickGelu'),
      BiasSoftmax: biasSoftmax,
      BiasDropout: biasDropout,
      FusedMatMul: fusedMatMul('FusedMatMul'),
      TransposeMatMul: fusedMatMul('TransposeMatMul'),
      FusedGemm: fusedGemm,
      FusedConv: fusedConv,
      GroupNorm: groupNorm('GroupNorm'),
      SkipGroupNorm: groupNorm('SkipGroupNorm'),
      MatMulNBits: matMulNBits,
      MatMulBnb4: matMulBnb4,
      QLinearAdd: qlinearPair('QLinearAdd'),
      QLinearMul: qlinearPair('QLinearMul'),
      QLinearSigmoid: qlinearUnary('QLinearSigmoid'),
      QLinearLeakyRelu: qlinearUnary('QLinearLeakyRelu'),
      QLinearSoftmax: qlinearSoftmax,
      QLinearConcat: qlinearConcat,
      QLinearAveragePool: qlinearPool,
      QLinearGlobalAveragePool: qlinearGlobalPool,
      QLinearWhere: qlinearWhere,
      DynamicQuantizeMatMul: dynamicQuantizeMatMul,
      MatMulIntegerToFloat: matMulIntegerToFloat,
      QGemm: qgemm,
      EmbedLayerNormalization: embedLayerNorm,
      GatherBlockQuantized: gatherBlockQuantized,
      ExpandDims: expandDims,
      QuantizeLinear: microsoftQuantize('QuantizeLinear'),
      DequantizeLinear: microsoftQuantize('DequantizeLinear'),
    }),
    SimplifiedLayerNormalization: simplifiedNorm,
  },
};
