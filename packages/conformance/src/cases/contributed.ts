// Further operators of com.microsoft.

import { Tensor } from '@onnx-ts/core';
import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { countOf, drawBroadcastable, drawShape } from '../random.ts';
import { drawFloats, drawIntegers, encodeTensor, type ValueKind } from '../values.ts';
import { keyMask } from './attention.ts';
import { drawWindow } from './conv.ts';
import { drawAxis, signedAxis } from './movement.ts';

const domain = 'com.microsoft';
const kinds: readonly ValueKind[] = ['unit', 'normal', 'small'];
const bytes: readonly ValueKind[] = ['wide', 'small'];
type Generator = (b: CaseBuilder) => void;

function scale(b: CaseBuilder, dims: readonly number[] = []): string {
  return b.operand(drawFloats(b.draws, 'float32', dims, 0.02, 0.2));
}

function zero(b: CaseBuilder, dtype: DType, dims: readonly number[] = []): string {
  return b.operand(drawIntegers(b.draws, dtype, dims, dtype === 'uint8' ? 0 : -100, dtype === 'uint8' ? 200 : 100));
}

function mulInteger(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [, left, right] = drawBroadcastable(b.draws, 2, { least: 1 });
  const inputs = [
    b.random(dtype, left, bytes),
    b.draws.maybe(() => zero(b, dtype)),
    b.random(dtype, right, bytes),
    b.draws.maybe(() => zero(b, dtype)),
  ];
  b.output(b.op('MulInteger', inputs, {}, domain), 'int32');
}

function matMulInteger16(b: CaseBuilder): void {
  const dtype = b.draws.pick(['int16', 'uint16'] as const);
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8]));
  b.output(
    b.op(
      'MatMulInteger16',
      [b.random(dtype, [m, k], ['small', 'normal']), b.random(dtype, [k, n], ['small', 'normal'])],
      {},
      domain,
    ),
  );
}

function reduceQuantized(op: string): Generator {
  return (b) => {
    const isSum = op === 'ReduceSumInteger';
    const dtype = b.dtype(isSum ? 'T1' : 'T');
    const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, least: 1 });
    const axes = b.draws.some(
      shape.map((_, axis) => axis),
      1,
    );
    b.allow({ integers: isSum ? 0 : 1 });
    const attributes = { axes, keepdims: b.draws.below(2) };
    const x = b.random(dtype, shape, bytes);
    const inputs = isSum ? [x] : [x, scale(b), zero(b, dtype), scale(b), zero(b, dtype)];
    b.output(b.op(op, inputs, attributes, domain));
  };
}

function range(b: CaseBuilder): void {
  const dtype = b.dtype();
  const inputs = [
    b.scalar(dtype, b.draws.between(-5, 9)),
    b.scalar(dtype, b.draws.between(-9, 20)),
    b.draws.maybe(() => b.scalar(dtype, b.draws.pick([1, 2, -1]))),
  ];
  b.output(b.op('Range', inputs, {}, domain), dtype);
}

function channelsLast(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    const window = drawWindow(b, { smallPads: op === 'NhwcMaxPool' });
    const [batch, from, to] = [b.draws.between(1, 2), b.draws.pick([1, 2, 4]), b.draws.pick([1, 3, 8])];
    const x = [batch, ...window.image, from];
    if (op === 'NhwcMaxPool') {
      const attributes = { ...window.attributes, kernel_shape: window.kernel };
      return b.output(b.op(op, [b.random(dtype, x, bytes)], attributes, domain), dtype);
    }
    b.allowSums(from * countOf(window.kernel) + 1, 8);
    const bias = b.draws.maybe(() => b.random(dtype, [to], kinds));
    const activation = op === 'NhwcFusedConv' ? b.draws.pick(['Relu', 'Tanh', 'Sigmoid']) : undefined;
    const image = b.random(dtype, x, kinds);
    const weight = (): string => b.random(dtype, [to, from, ...window.kernel], kinds);
    const inputs = [image, weight(), bias];
    // The rest of the sum comes from another convolution.
    const hasRest = op === 'NhwcFusedConv' && b.draws.oneIn(3);
    if (hasRest) inputs.push(b.op('NhwcConv', [image, weight()], window.attributes, domain));
    b.output(b.op(op, inputs, { ...window.attributes, activation }, domain), dtype);
  };
}

function cropAndResize(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const [n, c, h, w] = [b.draws.between(1, 2), b.draws.between(1, 3), b.draws.between(2, 6), b.draws.between(2, 6)];
  const count = b.draws.between(1, 3);
  b.allow({ ulps: 32, spread: 32 });
  const inputs = [
    b.random(dtype, [n, c, h, w], kinds),
    b.operand(drawFloats(b.draws, dtype, [count, 4], -0.2, 1.2)),
    b.operand(drawIntegers(b.draws, 'int32', [count], 0, n - 1)),
    b.operand(encodeTensor('int32', [2], [b.draws.between(1, 4), b.draws.between(1, 4)])),
  ];
  const attributes = {
    mode: b.draws.pick([undefined, 'bilinear', 'nearest']),
    extrapolation_value: b.draws.maybe(() => float(0.5)),
  };
  b.output(b.op('CropAndResize', inputs, attributes, domain), dtype);
}

function fourier(op: string): Generator {
  return (b) => {
    const dtype = b.dtype('T', ['float16']);
    const n = b.draws.pick([8, 4, 2, 16]);
    const outer = drawShape(b.draws, { minRank: 1, maxRank: 2, budget: 6, least: 1 });
    const shape = op === 'Rfft' ? [...outer, n] : [...outer, n / 2 + 1, 2];
    b.allow({ ulps: 64, spread: 64 });
    b.output(
      b.op(op, [b.random(dtype, shape, ['unit'])], { signal_ndim: 1, normalized: 0, onesided: 1 }, domain),
      dtype,
    );
  };
}

function gemmFastGelu(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8]));
  b.allow({ ulps: 16, spread: 32 });
  const inputs = [
    b.random(dtype, [m, k], ['unit']),
    b.random(dtype, [k, n], ['unit']),
    b.draws.maybe(() => b.random(dtype, [n], ['unit'])),
  ];
  b.output(b.op('GemmFastGelu', inputs, {}, domain), dtype);
}

function fusedActivation(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8]));
  const [transA, transB] = [b.draws.below(2), b.draws.below(2)];
  b.allow({ ulps: 16, spread: 32 });
  const inputs = [
    b.random(dtype, transA ? [k, m] : [m, k], ['unit']),
    b.random(dtype, transB ? [n, k] : [k, n], ['unit']),
  ];
  b.output(
    b.op(
      'FusedMatMulActivation',
      inputs,
      { transA, transB, activation: b.draws.pick(['Relu', 'Tanh', 'Sigmoid']) },
      domain,
    ),
    dtype,
  );
}

function inverse(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['float16']);
  const n = b.draws.pick([2, 1, 3, 4]);
  const outer = drawShape(b.draws, { maxRank: 1, budget: 4, least: 1 });
  // Far from singular: a large diagonal.
  const x = b.values(dtype, [...outer, n, n], ['unit']);
  const data = x.data as Float32Array;
  for (let at = 0; at < data.length; at += n * n) for (let i = 0; i < n; i++) data[at + i * n + i] += 3;
  b.allow({ ulps: 64, spread: 64 });
  b.output(b.op('Inverse', [b.operand(x)], {}, domain), dtype);
}

function mixture(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['float16', 'bfloat16']);
  const [tokens, hidden, inner, experts] = [
    b.draws.pick([3, 1, 5]),
    b.draws.pick([4, 8]),
    b.draws.pick([8, 4]),
    b.draws.pick([2, 4]),
  ];
  const activation = b.draws.pick(['relu', 'gelu', 'silu', 'identity']);
  b.allow({ ulps: 64, spread: 256 });
  const inputs = [
    b.random(dtype, [tokens, hidden], ['unit']),
    b.random(dtype, [tokens, experts], ['normal']),
    b.random(dtype, [experts, inner, hidden], ['unit'], 'initializer'),
    b.draws.maybe(() => b.random(dtype, [experts, inner], ['unit'], 'initializer')),
    b.random(dtype, [experts, hidden, inner], ['unit'], 'initializer'),
    b.draws.maybe(() => b.random(dtype, [experts, hidden], ['unit'], 'initializer')),
  ];
  const attributes = {
    k: b.draws.between(1, 2),
    activation_type: activation,
    normalize_routing_weights: b.draws.maybe(() => b.draws.below(2)),
  };
  b.output(b.op('MoE', inputs, attributes, domain), dtype);
}

function ngramRepeat(b: CaseBuilder): void {
  const [batch, length, vocabulary] = [b.draws.between(1, 3), b.draws.between(2, 8), 5];
  const inputs = [
    b.operand(drawIntegers(b.draws, 'int64', [batch, length], 0, vocabulary - 1)),
    b.random('float32', [batch, vocabulary], kinds),
  ];
  b.output(b.op('NGramRepeatBlock', inputs, { ngram_size: b.draws.between(1, 3) }, domain), 'float32');
}

function unique(b: CaseBuilder): void {
  b.outputs(
    b.ops(
      'Unique',
      [
        b.operand(
          drawIntegers(
            b.draws,
            b.isPeer ? 'float32' : b.dtype('T', ['string', 'bool', 'complex64', 'complex128']),
            [b.draws.between(1, 12)],
            0,
            5,
          ),
        ),
      ],
      {},
      { domain, outputs: 3 },
    ),
  );
}

function distances(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [m, n, k] = [1, 2, 3].map(() => b.draws.pick([3, 1, 2, 8]));
  b.allow({ ulps: 64, spread: 64, absolute: dtype === 'float32' ? 1e-2 : 1e-6 });
  const metric = b.draws.pick(['sqeuclidean', 'euclidean']);
  b.output(
    b.op('CDist', [b.random(dtype, [m, k], ['normal']), b.random(dtype, [n, k], ['unit'])], { metric }, domain),
    dtype,
  );
}

function complexMul(op: string): Generator {
  return (b) => {
    const dtype = b.dtype();
    const [, left, right] = drawBroadcastable(b.draws, 2, { minRank: 1, maxRank: 3, least: 1, budget: 100 });
    b.allow({ ulps: 4, spread: 8 });
    b.output(
      b.op(op, [b.random(dtype, [...left, 2], kinds), b.random(dtype, [...right, 2], kinds)], {}, domain),
      dtype,
    );
  };
}

function gatherND(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['string', 'complex64', 'complex128']);
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 60, least: 1 });
  const length = b.draws.between(1, shape.length);
  const count = b.draws.between(1, 5);
  const generator = b.draws.generator();
  const values = Array.from({ length: count * length }, (_, at) => generator.below(shape[at % length]));
  b.output(
    b.op(
      'GatherND',
      [b.random(dtype, shape), b.operand(encodeTensor(b.dtype('Tind'), [count, length], values))],
      {},
      domain,
    ),
    dtype,
  );
}

function gridSample(b: CaseBuilder): void {
  const n = b.draws.between(1, 2);
  b.allow({ ulps: 32, spread: 64 });
  const inputs = [
    b.random('float32', [n, b.draws.between(1, 2), b.draws.between(2, 5), b.draws.between(2, 5)], ['unit']),
    b.operand(drawFloats(b.draws, 'float32', [n, b.draws.between(1, 4), b.draws.between(1, 4), 2], -1.2, 1.2)),
  ];
  const attributes = {
    mode: b.draws.pick([undefined, 'bilinear', 'nearest', 'bicubic']),
    padding_mode: b.draws.pick([undefined, 'zeros', 'border', 'reflection']),
    align_corners: b.draws.maybe(() => b.draws.below(2)),
  };
  b.output(b.op('GridSample', inputs, attributes, domain), 'float32');
}

function allFinite(b: CaseBuilder): void {
  const dtype = b.dtype('V');
  const inputs = Array.from({ length: b.draws.between(1, 3) }, () =>
    b.random(dtype, drawShape(b.draws, { budget: 20 }), ['normal', 'special']),
  );
  const style = b.draws.below(3);
  b.output(
    b.op(
      'IsAllFinite',
      inputs,
      { isinf_only: style === 1 ? 1 : undefined, isnan_only: style === 2 ? 1 : undefined },
      domain,
    ),
    'bool',
  );
}

function pad(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 60, least: 2 });
  const mode = b.draws.pick(['constant', 'reflect', 'edge']);
  const pads = [...shape, ...shape].map(() => b.draws.below(2));
  const value = mode === 'constant' ? b.draws.maybe(() => b.operand(encodeTensor(dtype, [1], [2]))) : undefined;
  b.output(b.op('Pad', [b.random(dtype, shape, kinds), b.int64s(pads), value], { mode }, domain), dtype);
}

function trilu(b: CaseBuilder): void {
  const dtype = b.dtype();
  const k = b.draws.maybe(() => b.scalar('int64', b.draws.between(-3, 3)));
  b.output(
    b.op(
      'Trilu',
      [b.random(dtype, drawShape(b.draws, { minRank: 2, maxRank: 3, budget: 100 })), k],
      { upper: b.draws.maybe(() => b.draws.below(2)) },
      domain,
    ),
    dtype,
  );
}

function unfold(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['string', 'complex64', 'complex128']);
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 100, least: 1 });
  const axis = drawAxis(b, shape.length);
  b.output(
    b.op(
      'UnfoldTensor',
      [b.random(dtype, shape)],
      { dim: signedAxis(b, axis, shape.length), size: b.draws.between(1, shape[axis]), step: b.draws.between(1, 3) },
      domain,
    ),
    dtype,
  );
}

function tokenizer(b: CaseBuilder): void {
  const words = ['ab cd', 'abc', 'a,b c', '', 'x  y', 'hello world'];
  const generator = b.draws.generator();
  const shape = b.draws.coin() ? [b.draws.between(1, 4)] : [1, b.draws.between(1, 4)];
  const x = new Tensor(
    'string',
    Array.from({ length: countOf(shape) }, () => generator.pick(words)),
    shape,
  );
  const byExpression = b.draws.oneIn(3);
  const attributes = {
    mark: b.draws.below(2),
    mincharnum: b.draws.between(1, 2),
    pad_value: '#',
    separators: byExpression ? undefined : b.draws.pick([[' '], [',', ' '], ['']]),
    tokenexp: byExpression ? '[a-z]+' : undefined,
  };
  b.output(b.op('Tokenizer', [b.operand(x)], attributes, domain));
}

function murmur(b: CaseBuilder): void {
  const dtype = b.draws.pick(['int32', 'uint32', 'int64', 'uint64', 'float32', 'float64', 'string'] as const);
  const attributes = {
    seed: b.draws.maybe(() => b.draws.between(0, 9)),
    positive: b.draws.maybe(() => b.draws.below(2)),
  };
  b.output(
    b.op('MurmurHash3', [b.random(dtype, drawShape(b.draws, { budget: 20 }), ['small', 'wide'])], attributes, domain),
  );
}

function relativeBias(b: CaseBuilder): void {
  const [buckets, heads, distance] = [b.draws.pick([8, 16]), b.draws.between(1, 3), b.draws.pick([16, 32])];
  const length = b.draws.between(1, 20);
  const inputs = [b.random('float32', [buckets, heads], kinds), b.int64s([length]), b.int64s([length])];
  b.output(
    b.op(
      'RelativePositionBias',
      inputs,
      { max_distance: distance, is_bidirectional: b.draws.maybe(() => b.draws.below(2)) },
      domain,
    ),
  );
}

function warping(b: CaseBuilder): void {
  b.output(
    b.op(
      'DynamicTimeWarping',
      [b.random('float32', [b.draws.between(1, 8), b.draws.between(1, 8)], ['normal'])],
      {},
      domain,
    ),
  );
}

function biasSplitGelu(b: CaseBuilder): void {
  const dtype = b.dtype();
  const width = b.draws.pick([4, 8, 2]);
  b.allow({ ulps: 32, spread: 16 });
  b.output(
    b.op(
      'BiasSplitGelu',
      [
        b.random(dtype, [b.draws.between(1, 2), b.draws.between(1, 3), 2 * width], kinds),
        b.random(dtype, [2 * width], kinds),
      ],
      {},
      domain,
    ),
    dtype,
  );
}

function biasAdd(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = [b.draws.between(1, 2), b.draws.between(1, 4), b.draws.pick([8, 3])];
  b.allow({ ulps: 2, spread: 2 });
  b.output(
    b.op(
      'BiasAdd',
      [b.random(dtype, shape, kinds), b.random(dtype, shape.slice(-1), kinds), b.random(dtype, shape, kinds)],
      {},
      domain,
    ),
    dtype,
  );
}

function quantizedAttention(b: CaseBuilder): void {
  const [left, right] = [b.dtype('T1'), b.dtype('T2')];
  const [batch, length, heads, size, inner] = [
    b.draws.between(1, 2),
    b.draws.between(1, 5),
    b.draws.pick([1, 2]),
    b.draws.pick([4, 8]),
    b.draws.pick([8, 5]),
  ];
  const hidden = heads * size;
  b.allow({ ulps: 64, spread: 256 });
  const past = b.draws.oneIn(3) ? b.draws.between(1, 3) : 0;
  const perColumn = b.draws.coin();
  const inputs = [
    b.random(left, [batch, length, inner], bytes),
    b.random(right, [inner, 3 * hidden], bytes, 'initializer'),
    b.random('float32', [3 * hidden], ['unit'], 'initializer'),
    b.operand(encodeTensor('float32', [], [0.01])),
    b.operand(drawFloats(b.draws, 'float32', perColumn ? [3 * hidden] : [], 0.005, 0.02), 'initializer'),
    b.draws.oneIn(3) ? b.operand(keyMask(b, batch, past + length)) : undefined,
    zero(b, left),
    b.operand(drawIntegers(b.draws, right, [], right === 'uint8' ? 0 : -10, 10), 'initializer'),
    past > 0 ? b.random('float32', [2, batch, heads, past, size], ['unit']) : undefined,
  ];
  const [y, present] = b.ops(
    'QAttention',
    inputs,
    { num_heads: heads, unidirectional: b.draws.oneIn(3) ? 1 : undefined },
    { domain, outputs: [true, past > 0] },
  );
  b.output(y, 'float32');
  if (past > 0) b.output(present);
}

function dynamicLstm(b: CaseBuilder): void {
  const dtype = b.dtype('T2');
  const [steps, batch, inputs, hidden] = [
    b.draws.pick([2, 1, 4]),
    b.draws.pick([1, 2]),
    b.draws.pick([3, 8]),
    b.draws.pick([4, 2]),
  ];
  const direction = b.draws.pick([undefined, 'forward', 'reverse', 'bidirectional']);
  const directions = direction === 'bidirectional' ? 2 : 1;
  const perColumn = b.draws.coin();
  b.allow({ ulps: 256, spread: 0, absolute: 2e-3 });
  const parameters = (dims: readonly number[]) => [
    b.operand(drawFloats(b.draws, 'float32', dims, 0.002, 0.01), 'initializer'),
    b.operand(
      encodeTensor(dtype, dims, Array(countOf(dims)).fill(dtype === 'uint8' && !perColumn ? 128 : 0)),
      'initializer',
    ),
  ];
  const dims = perColumn ? [directions, 4 * hidden] : [directions];
  const [wScale, wZero] = parameters(dims);
  const [rScale, rZero] = parameters(dims);
  const operands = [
    b.random('float32', [steps, batch, inputs], ['unit']),
    b.random(dtype, [directions, inputs, 4 * hidden], bytes, 'initializer'),
    b.random(dtype, [directions, hidden, 4 * hidden], bytes, 'initializer'),
    b.draws.maybe(() => b.random('float32', [directions, 8 * hidden], ['unit'])),
    undefined,
    b.draws.maybe(() => b.random('float32', [directions, batch, hidden], ['unit'])),
    b.draws.maybe(() => b.random('float32', [directions, batch, hidden], ['unit'])),
    b.draws.oneIn(3) ? b.random('float32', [directions, 3 * hidden], ['unit']) : undefined,
    wScale,
    wZero,
    rScale,
    rZero,
  ];
  b.outputs(b.ops('DynamicQuantizeLSTM', operands, { hidden_size: hidden, direction }, { domain, outputs: 3 }));
}

function wordEmbedding(b: CaseBuilder): void {
  const [window, size, alphabet, vector] = [b.draws.between(1, 3), b.draws.pick([4, 1, 3]), 9, b.draws.pick([5, 1, 8])];
  const [words, characters] = [b.draws.pick([3, 1, 6]), window + b.draws.below(5)];
  // What a word without characters gives is left open by peers: its first one is there.
  const codes = Array.from({ length: words * characters }, (_, at) =>
    at % characters === 0 && b.isPeer ? 1 + b.draws.below(alphabet - 1) : b.draws.below(alphabet),
  );
  b.allowSums(window * size);
  const inputs = [
    b.operand(encodeTensor('int32', [words, characters], codes)),
    b.random('float32', [vector, 1, window, size], kinds),
    b.random('float32', [vector], kinds),
    b.random('float32', [alphabet, size], kinds),
  ];
  const attributes = b.draws.coin()
    ? {}
    : { embedding_size: vector, conv_window_size: window, char_embedding_size: size };
  b.output(b.op('WordConvEmbedding', inputs, attributes, domain), 'float32');
}

export const contributed: Family = {
  name: 'contributed',
  cases: Object.fromEntries(
    Object.entries({
      MulInteger: mulInteger,
      MatMulInteger16: matMulInteger16,
      ReduceSumInteger: reduceQuantized('ReduceSumInteger'),
      QLinearReduceMean: reduceQuantized('QLinearReduceMean'),
      Range: range,
      NhwcConv: channelsLast('NhwcConv'),
      NhwcFusedConv: channelsLast('NhwcFusedConv'),
      NhwcMaxPool: channelsLast('NhwcMaxPool'),
      CropAndResize: cropAndResize,
      Rfft: fourier('Rfft'),
      Irfft: fourier('Irfft'),
      GemmFastGelu: gemmFastGelu,
      FusedMatMulActivation: fusedActivation,
      Inverse: inverse,
      MoE: mixture,
      NGramRepeatBlock: ngramRepeat,
      Unique: unique,
      CDist: distances,
      ComplexMul: complexMul('ComplexMul'),
      ComplexMulConj: complexMul('ComplexMulConj'),
      GatherND: gatherND,
      GridSample: gridSample,
      IsAllFinite: allFinite,
      Pad: pad,
      Trilu: trilu,
      UnfoldTensor: unfold,
      Tokenizer: tokenizer,
      MurmurHash3: murmur,
      RelativePositionBias: relativeBias,
      DynamicTimeWarping: warping,
      BiasSplitGelu: biasSplitGelu,
      BiasAdd: biasAdd,
      QAttention: quantizedAttention,
      DynamicQuantizeLSTM: dynamicLstm,
      WordConvEmbedding: wordEmbedding,
    } satisfies Record<string, Generator>).map(([name, generator]) => [`${domain}:${name}`, generator]),
  ),
};
