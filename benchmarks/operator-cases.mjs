// Models of one node for `operators.mjs`: what each family of operators is asked to do in real models.

import { float, integers, scalar, variable, weight } from './node-model.mjs';

const microsoft = 'com.microsoft';
const pattern = (modulus) => (at) => (Math.imul(at, 0x9e3779b1) >>> 0) % modulus;
const indices = (shape, modulus) => weight(shape, pattern(modulus), 'int64');
const image = (channels, side) => variable([1, channels, side, side]);
const square3 = { kernel_shape: [3, 3], pads: [1, 1, 1, 1] };
const resize = (mode, transform = 'half_pixel') => ({
  op: 'Resize',
  attributes: { mode, coordinate_transformation_mode: transform },
  inputs: [image(64, 56), undefined, weight([4], (at) => (at < 2 ? 1 : 2))],
});
const einsum = (equation, ...shapes) => ({
  op: 'Einsum',
  attributes: { equation },
  inputs: shapes.map((shape) => variable(shape)),
});
const unary = (op, range = [-3, 3], opset = 22) => ({ op, opset, inputs: [variable([1024, 1024], 'float32', range)] });
const binary = (op, a, b) => ({ op, inputs: [a, b] });
const reduce = (op, axes, shape = [64, 128, 256]) => ({
  op,
  attributes: { keepdims: 0 },
  inputs: [variable(shape), integers(...axes)],
});
const recurrent = (op, gates, attributes = {}) => ({
  op,
  attributes: { hidden_size: 256, ...attributes },
  inputs: [
    variable([64, 1, 256]),
    weight([1, gates * 256, 256], (at) => (pattern(201)(at) - 100) / 1600),
    weight([1, gates * 256, 256], (at) => (pattern(211)(at) - 105) / 1600),
    weight([1, 2 * gates * 256]),
  ],
});
/** Boxes with their corners in order, x and y in [0, 1). */
const boxes = (count) =>
  weight([1, count, 4], (at) => {
    const box = Math.floor(at / 4);
    const [x, y] = [pattern(997)(box) / 1200, pattern(809)(box) / 1000];
    return [y, x, y + 0.1, x + 0.1][at % 4];
  });

/** By name; see `nodeModel` for what a case says. `tolerance`: of the largest error, relative to the largest value. */
export const operatorCases = {
  'conv 3x3': { op: 'Conv', attributes: square3, inputs: [image(64, 56), weight([64, 64, 3, 3]), weight([64])] },
  'conv 3x3 stride 2': {
    op: 'Conv',
    attributes: { ...square3, strides: [2, 2] },
    inputs: [image(128, 56), weight([256, 128, 3, 3]), weight([256])],
  },
  'conv 1x1': { op: 'Conv', inputs: [image(256, 28), weight([512, 256, 1, 1]), weight([512])] },
  'conv 7x7 of an image': {
    op: 'Conv',
    attributes: { pads: [3, 3, 3, 3], strides: [2, 2] },
    inputs: [image(3, 224), weight([64, 3, 7, 7])],
  },
  'conv 16x16 patches': {
    op: 'Conv',
    attributes: { strides: [16, 16] },
    inputs: [image(3, 224), weight([384, 3, 16, 16])],
  },
  'conv dilated': {
    op: 'Conv',
    attributes: { pads: [2, 2, 2, 2], dilations: [2, 2] },
    inputs: [image(64, 56), weight([64, 64, 3, 3])],
  },
  'conv grouped': {
    op: 'Conv',
    attributes: { ...square3, group: 32 },
    inputs: [image(128, 56), weight([128, 4, 3, 3])],
  },
  'conv grouped wide': {
    op: 'Conv',
    attributes: { ...square3, group: 8 },
    inputs: [image(256, 28), weight([256, 32, 3, 3])],
  },
  'conv grouped 1x1': { op: 'Conv', attributes: { group: 4 }, inputs: [image(256, 28), weight([256, 64, 1, 1])] },
  'conv depthwise': {
    op: 'Conv',
    attributes: { ...square3, group: 128 },
    inputs: [image(128, 56), weight([128, 1, 3, 3])],
  },
  'conv depthwise 7x7': {
    op: 'Conv',
    attributes: { pads: [3, 3, 3, 3], group: 96 },
    inputs: [image(96, 56), weight([96, 1, 7, 7])],
  },
  'conv 1-D': { op: 'Conv', attributes: { pads: [1, 1] }, inputs: [variable([1, 256, 1500]), weight([256, 256, 3])] },
  'conv 1-D depthwise': {
    op: 'Conv',
    attributes: { pads: [15, 15], group: 256 },
    inputs: [variable([1, 256, 1000]), weight([256, 1, 31])],
  },
  'conv 1-D of a signal': {
    op: 'Conv',
    attributes: { strides: [5] },
    inputs: [variable([1, 1, 16000]), weight([512, 1, 10])],
  },
  'conv 3-D': {
    op: 'Conv',
    attributes: { pads: [1, 1, 1, 1, 1, 1] },
    inputs: [variable([1, 16, 16, 32, 32]), weight([32, 16, 3, 3, 3])],
  },
  'conv computed weights': { op: 'Conv', attributes: square3, inputs: [image(64, 56), variable([64, 64, 3, 3])] },
  'conv transpose 4x4': {
    op: 'ConvTranspose',
    attributes: { strides: [2, 2], pads: [1, 1, 1, 1] },
    inputs: [image(64, 32), weight([64, 32, 4, 4])],
  },
  'conv transpose 2x2': {
    op: 'ConvTranspose',
    attributes: { strides: [2, 2] },
    inputs: [image(128, 28), weight([128, 64, 2, 2])],
  },
  'conv transpose 1-D': {
    op: 'ConvTranspose',
    attributes: { strides: [8], pads: [4, 4] },
    inputs: [variable([1, 128, 200]), weight([128, 64, 16])],
  },
  'conv transpose depthwise': {
    op: 'ConvTranspose',
    attributes: { strides: [2, 2], pads: [1, 1, 1, 1], group: 64 },
    inputs: [image(64, 56), weight([64, 1, 4, 4])],
  },
  'max pool': { op: 'MaxPool', attributes: { ...square3, strides: [2, 2] }, inputs: [image(64, 112)] },
  'max pool stride 1': {
    op: 'MaxPool',
    attributes: { kernel_shape: [5, 5], pads: [2, 2, 2, 2] },
    inputs: [image(128, 28)],
  },
  'max pool indices': {
    op: 'MaxPool',
    attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    inputs: [image(64, 112)],
    outputs: 2,
  },
  'average pool': { op: 'AveragePool', attributes: square3, inputs: [image(128, 56)] },
  'average pool stride 2': {
    op: 'AveragePool',
    attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    inputs: [image(128, 56)],
  },
  'Lp pool': { op: 'LpPool', attributes: { kernel_shape: [3, 3], strides: [2, 2], p: 2 }, inputs: [image(64, 112)] },
  'global average pool': { op: 'GlobalAveragePool', inputs: [image(1024, 28)] },
  'global max pool': { op: 'GlobalMaxPool', inputs: [image(1024, 28)] },
  'local response norm': { op: 'LRN', attributes: { size: 5 }, inputs: [image(64, 56)] },
  'group norm': {
    op: 'GroupNormalization',
    opset: 21,
    attributes: { num_groups: 32 },
    inputs: [image(320, 32), weight([320]), weight([320])],
  },
  'instance norm': { op: 'InstanceNormalization', inputs: [image(64, 112), weight([64]), weight([64])] },
  'batch norm': {
    op: 'BatchNormalization',
    inputs: [image(64, 112), weight([64]), weight([64]), weight([64]), weight([64], (at) => 1 + at / 64)],
  },
  'layer norm': { op: 'LayerNormalization', inputs: [variable([512, 768]), weight([768]), weight([768])] },
  'layer norm channels': {
    op: 'LayerNormalization',
    attributes: { axis: 1 },
    inputs: [variable([8, 96, 28, 28]), weight([96, 28, 28]), weight([96, 28, 28])],
  },
  'RMS norm': { op: 'RMSNormalization', opset: 23, inputs: [variable([512, 2048]), weight([2048])] },
  'Lp norm': { op: 'LpNormalization', attributes: { axis: -1 }, inputs: [variable([1024, 512])] },
  'mean variance norm': { op: 'MeanVarianceNormalization', inputs: [image(64, 112)] },
  'resize nearest': resize('nearest', 'asymmetric'),
  'resize linear': resize('linear'),
  'resize cubic': resize('cubic'),
  'resize linear down': {
    op: 'Resize',
    attributes: { mode: 'linear' },
    inputs: [image(3, 640), undefined, undefined, integers(1, 3, 224, 224)],
  },
  'einsum of heads': einsum('bihd,bjhd->bhij', [1, 197, 12, 64], [1, 197, 12, 64]),
  'einsum of values': einsum('bhij,bjhd->bihd', [1, 12, 197, 197], [1, 197, 12, 64]),
  'einsum relative': einsum('bhwc,hkc->bhwk', [25, 14, 14, 64], [14, 14, 64]),
  'einsum outer': einsum('i,j->ij', [1024], [1024]),
  'einsum three': einsum('bsd,dhe,bte->bhst', [1, 64, 64], [64, 4, 32], [1, 64, 32]),
  matmul: binary('MatMul', variable([256, 768]), weight([768, 768])),
  'matmul computed': binary('MatMul', variable([256, 512]), variable([512, 512])),
  'matmul vector': binary('MatMul', variable([1, 2048]), weight([2048, 2048])),
  'matmul batched': binary('MatMul', variable([12, 197, 64]), variable([12, 64, 197])),
  'matmul broadcast': binary('MatMul', variable([8, 12, 64, 64]), variable([12, 64, 128])),
  'matmul narrow': binary('MatMul', variable([2048, 256]), weight([256, 4])),
  'matmul small batches': binary('MatMul', variable([4096, 8, 8]), variable([4096, 8, 8])),
  'gemm transposed A': {
    op: 'Gemm',
    attributes: { transA: 1 },
    inputs: [variable([512, 256]), variable([512, 512]), weight([512])],
  },
  'gemm transposed B': { op: 'Gemm', attributes: { transB: 1 }, inputs: [variable([256, 512]), variable([512, 512])] },
  'integer matmul': {
    op: 'MatMulInteger',
    inputs: [
      variable([128, 768], 'uint8', [0, 255]),
      weight([768, 768], (at) => pattern(255)(at) - 127, 'int8'),
      scalar(128, 'uint8'),
    ],
  },
  'top 100': { op: 'TopK', inputs: [variable([1, 100000]), integers(100)], outputs: 2 },
  'top 5 of rows': { op: 'TopK', inputs: [variable([256, 1000]), integers(5)], outputs: 2 },
  'top of all': { op: 'TopK', inputs: [variable([16, 4096]), integers(4096)], outputs: 2 },
  'non-max suppression': {
    op: 'NonMaxSuppression',
    inputs: [boxes(2000), variable([1, 20, 2000], 'float32', [0, 1]), integers(100), scalar(0.5), scalar(0.3)].map(
      (input, at) => (at === 2 ? scalar(100, 'int64') : input),
    ),
  },
  'scatter ND': {
    op: 'ScatterND',
    inputs: [variable([4096, 256]), weight([512, 1], (at) => at * 7, 'int64'), variable([512, 256])],
  },
  'scatter ND add': {
    op: 'ScatterND',
    attributes: { reduction: 'add' },
    inputs: [variable([4096, 64]), indices([8192, 1], 4096), variable([8192, 64])],
  },
  'scatter elements': {
    op: 'ScatterElements',
    attributes: { axis: 0 },
    inputs: [
      variable([1024, 256]),
      weight([512, 256], (at) => Math.floor(at / 256) * 2, 'int64'),
      variable([512, 256]),
    ],
  },
  'scatter elements add': {
    op: 'ScatterElements',
    attributes: { axis: 1, reduction: 'add' },
    inputs: [variable([256, 1024]), indices([256, 512], 1024), variable([256, 512])],
  },
  'one hot': {
    op: 'OneHot',
    inputs: [variable([4096], 'int64', [0, 255]), scalar(256, 'int64'), weight([2], (at) => at)],
  },
  'grid sample': { op: 'GridSample', inputs: [image(32, 64), variable([1, 64, 64, 2])] },
  'grid sample nearest': {
    op: 'GridSample',
    attributes: { mode: 'nearest' },
    inputs: [image(32, 64), variable([1, 64, 64, 2])],
  },
  'grid sample cubic': {
    op: 'GridSample',
    attributes: { mode: 'cubic' },
    inputs: [image(32, 64), variable([1, 64, 64, 2])],
  },
  'RoI align': {
    op: 'RoiAlign',
    attributes: { output_height: 7, output_width: 7, sampling_ratio: 2, spatial_scale: float(0.25) },
    inputs: [
      image(64, 56),
      weight([64, 4], (at) => [0, 0, 100, 100][at % 4] + pattern(100)(at)),
      weight([64], () => 0, 'int64'),
    ],
  },
  LSTM: recurrent('LSTM', 4),
  GRU: recurrent('GRU', 3, { linear_before_reset: 1 }),
  RNN: recurrent('RNN', 1),
  DFT: { op: 'DFT', inputs: [variable([64, 512, 1])] },
  'DFT of 400': { op: 'DFT', inputs: [variable([100, 400, 1])] },
  STFT: {
    op: 'STFT',
    inputs: [
      variable([1, 16000, 1]),
      scalar(160, 'int64'),
      weight([400], (at) => Math.sin((Math.PI * at) / 400) ** 2),
      scalar(400, 'int64'),
    ],
  },
  'cumulative sum': { op: 'CumSum', inputs: [variable([1024, 1024]), scalar(1, 'int64')] },
  'cumulative sum of columns': { op: 'CumSum', inputs: [variable([1024, 1024]), scalar(0, 'int64')] },
  softmax: { op: 'Softmax', inputs: [variable([1024, 1000])] },
  'softmax of 64': { op: 'Softmax', inputs: [variable([12, 64, 64])].map(() => variable([192, 64, 64])) },
  'softmax axis 1': { op: 'Softmax', attributes: { axis: 1 }, inputs: [image(81, 100)] },
  'log softmax': { op: 'LogSoftmax', inputs: [variable([1024, 1000])] },
  hardmax: { op: 'Hardmax', inputs: [variable([1024, 1000])] },
  'gather rows': { op: 'Gather', inputs: [weight([30522, 384]), variable([1, 512], 'int64', [0, 30521])] },
  'gather columns': { op: 'Gather', attributes: { axis: 1 }, inputs: [variable([1024, 1024]), indices([256], 1024)] },
  'gather elements': {
    op: 'GatherElements',
    attributes: { axis: 1 },
    inputs: [variable([1024, 1024]), indices([1024, 512], 1024)],
  },
  'gather ND': { op: 'GatherND', inputs: [variable([128, 128, 64]), indices([4096, 2], 128)] },
  transpose: { op: 'Transpose', inputs: [variable([1024, 1024])] },
  'transpose heads': { op: 'Transpose', attributes: { perm: [0, 2, 1, 3] }, inputs: [variable([8, 197, 12, 64])] },
  'transpose to channels last': { op: 'Transpose', attributes: { perm: [0, 2, 3, 1] }, inputs: [image(64, 112)] },
  'transpose to channels first': {
    op: 'Transpose',
    attributes: { perm: [0, 3, 1, 2] },
    inputs: [variable([1, 112, 112, 64])],
  },
  'concat channels': { op: 'Concat', attributes: { axis: 1 }, inputs: [image(64, 56), image(64, 56), image(128, 56)] },
  'concat last': { op: 'Concat', attributes: { axis: -1 }, inputs: [variable([8192, 32]), variable([8192, 32])] },
  split: { op: 'Split', attributes: { axis: 1, num_outputs: 3 }, inputs: [variable([512, 2304])], outputs: 3 },
  slice: { op: 'Slice', inputs: [variable([512, 2048]), integers(512), integers(1536), integers(1)] },
  'slice steps': {
    op: 'Slice',
    inputs: [variable([512, 2048]), integers(0), integers(2048), integers(1), integers(2)],
  },
  pad: { op: 'Pad', inputs: [image(64, 112), integers(0, 0, 1, 1, 0, 0, 1, 1)] },
  'pad reflect': {
    op: 'Pad',
    attributes: { mode: 'reflect' },
    inputs: [image(64, 112), integers(0, 0, 3, 3, 0, 0, 3, 3)],
  },
  tile: { op: 'Tile', inputs: [variable([256, 256]), integers(4, 4)] },
  expand: { op: 'Expand', inputs: [variable([256, 1, 64]), integers(256, 64, 64)] },
  'depth to space': { op: 'DepthToSpace', attributes: { blocksize: 2 }, inputs: [image(256, 56)] },
  'space to depth': { op: 'SpaceToDepth', attributes: { blocksize: 2 }, inputs: [image(64, 112)] },
  where: {
    op: 'Where',
    inputs: [variable([1024, 1024], 'bool', [0, 1]), variable([1024, 1024]), variable([1024, 1024])],
  },
  triangle: { op: 'Trilu', inputs: [variable([16, 256, 256])] },
  compress: {
    op: 'Compress',
    attributes: { axis: 0 },
    inputs: [variable([4096, 256]), variable([4096], 'bool', [0, 1])],
  },
  'non-zero': { op: 'NonZero', inputs: [variable([512, 512], 'int32', [0, 1])] },
  unique: { op: 'Unique', inputs: [variable([100000], 'int64', [0, 1000])] },
  'reverse sequence': {
    op: 'ReverseSequence',
    attributes: { batch_axis: 1, time_axis: 0 },
    inputs: [variable([256, 16, 256]), weight([16], (at) => 64 + at * 12, 'int64')],
  },
  'cast to int64': { op: 'Cast', attributes: { to: 7 }, inputs: [variable([1024, 1024], 'int32')] },
  'cast to float16': { op: 'Cast', attributes: { to: 10 }, inputs: [variable([1024, 1024])] },
  'cast from float16': { op: 'Cast', attributes: { to: 1 }, inputs: [variable([1024, 1024], 'float16', [-1, 1])] },
  'cast to uint8': { op: 'Cast', attributes: { to: 2 }, inputs: [variable([1024, 1024], 'float32', [0, 255])] },
  quantize: { op: 'QuantizeLinear', inputs: [variable([1024, 1024]), scalar(0.01), scalar(128, 'uint8')] },
  dequantize: {
    op: 'DequantizeLinear',
    inputs: [variable([1024, 1024], 'uint8', [0, 255]), scalar(0.01), scalar(128, 'uint8')],
  },
  'dynamic quantize': { op: 'DynamicQuantizeLinear', inputs: [variable([1024, 1024])], outputs: 3 },
  add: binary('Add', variable([1024, 1024]), variable([1024, 1024])),
  'add rows': binary('Add', variable([1024, 1024]), variable([1024, 1])),
  'add channels': binary('Add', image(64, 112), weight([64, 1, 1])),
  'multiply int64': binary('Mul', variable([512, 1024], 'int64'), variable([512, 1024], 'int64')),
  'divide int64': binary('Div', variable([512, 1024], 'int64'), scalar(7, 'int64')),
  'divide int32': binary('Div', variable([512, 1024], 'int32'), variable([512, 1024], 'int32', [1, 9])),
  power: binary('Pow', variable([512, 1024], 'float32', [0.1, 3]), scalar(1.7)),
  'power of two': binary('Pow', variable([1024, 1024]), scalar(2)),
  equal: binary('Equal', variable([1024, 1024], 'int64'), variable([1024, 1024], 'int64')),
  greater: binary('Greater', variable([1024, 1024]), variable([1024, 1024])),
  modulo: binary('Mod', variable([512, 1024], 'int64'), scalar(7, 'int64')),
  relu: unary('Relu'),
  erf: unary('Erf'),
  exp: unary('Exp'),
  log: unary('Log', [0.1, 9]),
  tanh: unary('Tanh'),
  sigmoid: unary('Sigmoid'),
  sine: unary('Sin'),
  arctangent: unary('Atan'),
  gelu: unary('Gelu'),
  mish: unary('Mish'),
  softplus: unary('Softplus'),
  'hard swish': unary('HardSwish'),
  elu: unary('Elu'),
  round: unary('Round'),
  'square root': unary('Sqrt', [0, 9]),
  reciprocal: unary('Reciprocal', [0.1, 9]),
  PRelu: binary('PRelu', image(64, 112), weight([64, 1, 1])),
  'sum of last axis': reduce('ReduceSum', [2]),
  'sum of first axis': reduce('ReduceSum', [0]),
  'sum of middle axis': reduce('ReduceSum', [1]),
  'sum of everything': reduce('ReduceSum', [0, 1, 2]),
  'mean of last axis': reduce('ReduceMean', [2]),
  'max of last axis': reduce('ReduceMax', [2]),
  'max of first axis': reduce('ReduceMax', [0]),
  'L2 of last axis': reduce('ReduceL2', [2]),
  'log-sum-exp': reduce('ReduceLogSumExp', [2]),
  'product of middle axis': reduce('ReduceProd', [1]),
  'sum of short rows': reduce('ReduceSum', [1], [262144, 4]),
  'arg max': { op: 'ArgMax', attributes: { axis: 1 }, inputs: [variable([64, 32000])] },
  'arg max of channels': { op: 'ArgMax', attributes: { axis: 1 }, inputs: [image(21, 224)] },
  'arg max first axis': { op: 'ArgMax', attributes: { axis: 0 }, inputs: [variable([256, 4096])] },
  'fast gelu': { op: 'FastGelu', domain: microsoft, inputs: [variable([512, 3072]), weight([3072])] },
  'skip layer norm': {
    op: 'SkipLayerNormalization',
    domain: microsoft,
    inputs: [variable([1, 512, 768]), variable([1, 512, 768]), weight([768]), weight([768])],
  },
};
