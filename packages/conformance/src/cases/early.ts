// Operator sets 1 to 6, which other runtimes do not run. Each case says the same once more in a later operator set.

import { codeOfDType } from '@onnx-ts/core/internal';
import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { type Attributes, float, type GraphBuilder } from '../graph-builder.ts';
import { drawShape } from '../random.ts';
import { encodeTensor, type ValueKind } from '../values.ts';
import { drawAxis } from './movement.ts';

/** In which everything here still exists, with axes as attributes of reductions. */
const later = 13;

const kinds: readonly ValueKind[] = ['small', 'unit'];

const real: readonly DType[] = ['float32', 'float64'];

function int64s(graph: GraphBuilder, values: readonly number[], dims: readonly number[] = [values.length]): string {
  return graph.initializer(encodeTensor('int64', dims, values));
}

function both(
  b: CaseBuilder,
  op: string,
  inputs: readonly string[],
  attributes: Attributes,
  write: (graph: GraphBuilder) => string,
): void {
  const hint: Attributes = b.since < 6 && consumes.has(op) ? { consumed_inputs: b.draws.maybe(() => [0]) } : {};
  b.output(b.op(op, inputs, { ...attributes, ...hint }));
  b.sameAs(later, write);
}

/** Operators whose first version may be told that it can work in place. */
const consumes: ReadonlySet<string> = new Set(
  'Abs Add Ceil Clip Div Dropout Elu Exp Floor HardSigmoid LeakyRelu Log Max Mean Min Mul Neg PRelu Reciprocal Relu Reshape Selu Sigmoid Sqrt Sub Sum Tanh'.split(
    ' ',
  ),
);

/** The second operand lies along some axes of the first, from `axis` on. */
function broadcasting(op: string, given?: readonly DType[]) {
  return (b: CaseBuilder): void => {
    const dtype = b.dtype(given ?? b.dtypes().filter((type) => real.includes(type) || type === 'int32'));
    const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 200 });
    const style = b.draws.below(4);
    const axis = drawAxis(b, shape.length);
    const length = b.draws.between(1, shape.length - axis);
    const part = shape.slice(axis, axis + length);
    const small = style === 0 ? shape : style === 1 ? shape.slice(axis) : style === 2 ? part : [];
    const isDivisor = op === 'Div' || op === 'Pow';
    const x = b.random(dtype, shape, isDivisor ? ['positive'] : kinds, 'input');
    const y = b.random(dtype, small, isDivisor ? ['positive'] : kinds, 'input');
    const attributes: Attributes =
      style === 0 && b.draws.coin() ? {} : { broadcast: 1, axis: style === 2 ? axis : undefined };
    b.allow({ ulps: op === 'Pow' ? 4 : 0 });
    both(b, op, [x, y], attributes, (graph) => {
      // Without an axis, the last axes are meant.
      const behind = style === 2 ? shape.length - axis - length : 0;
      const target = [...small, ...Array<number>(behind).fill(1)];
      const spread = graph.op('Reshape', [y, int64s(graph, target)], {});
      return graph.op(op, [x, small.length === 0 || small.includes(0) ? y : spread]);
    });
  };
}

function unary(op: string, attributes: (b: CaseBuilder) => Attributes = () => ({})) {
  return (b: CaseBuilder): void => {
    const dtype = b.dtype(real);
    const given = attributes(b);
    const x = b.random(dtype, drawShape(b.draws, { budget: 200 }), ['positive', 'small'], 'input');
    b.allow({ ulps: 4 });
    both(b, op, [x], given, (graph) => graph.op(op, [x], given));
  };
}

/** Operands of one shape, without broadcasting. */
function several(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const shape = drawShape(b.draws, { budget: 200 });
    const inputs = Array.from({ length: b.draws.between(1, 4) }, () => b.random('float32', shape, kinds, 'input'));
    b.allow({ ulps: 4, spread: 4 });
    both(b, op, inputs, {}, (graph) => graph.op(op, inputs));
  };
}

/** Normalised over all axes from `axis` on, as the rows of a matrix. */
function flattened(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 200, least: 1 });
    const axis = b.draws.maybe(() => drawAxis(b, shape.length)) ?? Math.min(1, shape.length - 1);
    const x = b.random('float32', shape, ['small', 'normal'], 'input');
    b.allow({ ulps: 16, spread: 4 });
    const isDefault = axis === 1 && b.draws.coin();
    both(b, op, [x], { axis: isDefault ? undefined : axis }, (graph) => {
      const matrix = graph.op('Flatten', [x], { axis });
      return graph.op('Reshape', [graph.op(op, [matrix], { axis: 1 }), int64s(graph, shape)]);
    });
  };
}

function reduction(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const shape = drawShape(b.draws, { maxRank: 4, budget: 200, least: 1 });
    const axes = b.draws.some(shape.map((_, axis) => axis));
    const keepdims = b.draws.maybe(() => b.draws.below(2));
    const x = b.random('float32', shape, ['positive', 'unit'], 'input');
    b.allow({ ulps: 16, spread: 16 });
    both(b, op, [x], { axes: axes.length > 0 ? axes : undefined, keepdims }, (graph) => {
      const list = op === 'ReduceSum' && axes.length > 0 ? int64s(graph, axes) : undefined;
      return graph.op(op, [x, list], { keepdims, axes: !list && axes.length > 0 ? axes : undefined });
    });
  };
}

function argReduction(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 200, least: 1 });
    const attributes = { axis: drawAxis(b, shape.length), keepdims: b.draws.maybe(() => b.draws.below(2)) };
    const x = b.random('float32', shape, kinds, 'input');
    both(b, op, [x], attributes, (graph) => graph.op(op, [x], attributes));
  };
}

function reshape(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 2, maxRank: 4, budget: 200, least: 1 });
  const target = [b.draws.coin() ? 0 : shape[0], ...(b.draws.coin() ? [-1] : [shape.slice(1).reduce((p, n) => p * n)])];
  const x = b.random('float32', shape, kinds, 'input');
  if (b.since >= 5)
    return both(b, 'Reshape', [x, b.int64s(target, 'input')], {}, (graph) =>
      graph.op('Reshape', [x, int64s(graph, target)]),
    );
  both(b, 'Reshape', [x], { shape: target }, (graph) => graph.op('Reshape', [x, int64s(graph, target)]));
}

function concat(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 2, maxRank: 4, budget: 200 });
  const isDefault = b.since < 4 && b.draws.coin();
  const axis = isDefault ? 1 : drawAxis(b, shape.length);
  const parts = Array.from({ length: b.draws.between(1, 3) }, () =>
    b.random('float32', shape.with(axis, b.draws.between(0, 3)), kinds, 'input'),
  );
  both(b, 'Concat', parts, { axis: isDefault ? undefined : axis }, (graph) => graph.op('Concat', parts, { axis }));
}

/** The second part of two; sizes are an attribute, an input, or equal. */
function split(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 100 });
  const axis = drawAxis(b, shape.length);
  const style = b.draws.below(b.since < 2 ? 3 : 2);
  const sizes = style === 0 ? [2, 2] : [b.draws.between(0, 3), b.draws.between(1, 3)];
  const x = b.random('float32', shape.with(axis, sizes[0] + sizes[1]), kinds, 'input');
  const list = style === 2 ? b.operand(encodeTensor('float32', [2], sizes), 'input') : undefined;
  const attributes = { axis: axis === 0 && b.draws.coin() ? undefined : axis, split: style === 1 ? sizes : undefined };
  const [, second] = b.ops('Split', [x, list], attributes, { outputs: 2 });
  b.output(second);
  b.sameAs(later, (graph) => graph.ops('Split', [x, int64s(graph, sizes)], { axis }, { outputs: 2 })[1]);
}

function pad(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 100, least: 2 });
  const mode = b.draws.pick([undefined, 'constant', 'reflect', 'edge']);
  const pads = [...shape, ...shape].map(() => b.draws.below(2));
  const value = b.draws.pick([0, 1.5]);
  const x = b.random('float32', shape, kinds, 'input');
  const name = b.since < 2 ? 'paddings' : 'pads';
  const attributes = { mode, [name]: pads, value: value === 0 ? undefined : float(value) };
  both(b, 'Pad', [x], attributes, (graph) => {
    return graph.op('Pad', [x, int64s(graph, pads), graph.initializer(encodeTensor('float32', [], [value]))], { mode });
  });
}

function slice(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 200 });
  const axes = b.draws.some(
    shape.map((_, axis) => axis),
    1,
  );
  const bound = (axis: number): number => b.draws.between(-shape[axis] - 2, shape[axis] + 2);
  const [starts, ends] = [axes.map(bound), axes.map((axis) => b.draws.pick([bound(axis), 2 ** 31 - 1, 2 ** 62]))];
  const x = b.random('float32', shape, kinds, 'input');
  const isDefault = axes.every((axis, at) => axis === at) && b.draws.coin();
  both(b, 'Slice', [x], { starts, ends, axes: isDefault ? undefined : axes }, (graph) =>
    graph.op('Slice', [x, int64s(graph, starts), int64s(graph, ends), int64s(graph, axes)]),
  );
}

function tile(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 60 });
  const x = b.random('float32', shape, kinds, 'input');
  if (b.since >= 6) {
    const repeats = shape.map(() => b.draws.between(0, 3));
    return both(b, 'Tile', [x, b.int64s(repeats, 'input')], {}, (graph) =>
      graph.op('Tile', [x, int64s(graph, repeats)]),
    );
  }
  const [tiles, axis] = [b.draws.between(1, 3), drawAxis(b, shape.length)];
  both(b, 'Tile', [x, b.scalar('float32', tiles, 'input'), b.scalar('float32', axis, 'input')], {}, (graph) =>
    graph.op('Tile', [
      x,
      int64s(
        graph,
        shape.map((_, at) => (at === axis ? tiles : 1)),
      ),
    ]),
  );
}

function squeeze(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { maxRank: 3, budget: 60 });
  const axis = b.draws.between(0, shape.length);
  const x = b.random('float32', shape.toSpliced(axis, 0, 1), kinds, 'input');
  both(b, 'Squeeze', [x], { axes: [axis] }, (graph) => graph.op('Squeeze', [x, int64s(graph, [axis])]));
}

function unsqueeze(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { maxRank: 3, budget: 60 });
  const axes = b.draws.some(
    [0, 1, shape.length + 1].filter((axis, at, all) => all.indexOf(axis) === at),
    1,
  );
  const fitting = axes.filter((axis) => axis < shape.length + axes.length);
  const x = b.random('float32', shape, kinds, 'input');
  both(b, 'Unsqueeze', [x], { axes: fitting }, (graph) => graph.op('Unsqueeze', [x, int64s(graph, fitting)]));
}

const typeNames: readonly (readonly [DType, string])[] = [
  ['float32', 'FLOAT'],
  ['float64', 'DOUBLE'],
  ['int32', 'INT32'],
  ['int64', 'INT64'],
  ['bool', 'BOOL'],
  ['float16', 'FLOAT16'],
  ['uint8', 'UINT8'],
];

/** The type was once a text. */
function cast(b: CaseBuilder): void {
  const from = b.draws.pick(['float32', 'int64', 'bool'] as const);
  const [to, name] = b.draws.pick(typeNames);
  const x = b.random(from, drawShape(b.draws, { budget: 60 }), to === 'uint8' ? ['positive'] : ['small'], 'input');
  both(b, 'Cast', [x], { to: b.since < 6 ? name : codeOfDType(to) }, (graph) =>
    graph.op('Cast', [x], { to: codeOfDType(to) }),
  );
}

function clip(b: CaseBuilder): void {
  const [low, high] = [b.draws.maybe(() => -1.5), b.draws.maybe(() => 0.75)];
  const x = b.random('float32', drawShape(b.draws, { budget: 60 }), kinds, 'input');
  both(b, 'Clip', [x], { min: low && float(low), max: high && float(high) }, (graph) => {
    const bound = (value: number | undefined): string | undefined =>
      value === undefined ? undefined : graph.initializer(encodeTensor('float32', [], [value]));
    return graph.op('Clip', [x, bound(low), bound(high)]);
  });
}

function gemm(b: CaseBuilder): void {
  const [m, k, n] = [b.draws.between(1, 4), b.draws.between(1, 4), b.draws.between(1, 4)];
  const [transA, transB] = [b.draws.below(2), b.draws.below(2)];
  const bias = b.draws.pick([[m, n], [n], [1], [m, 1], [1, n]]);
  const inputs = [transA ? [k, m] : [m, k], transB ? [n, k] : [k, n], bias].map((dims) =>
    b.random('float32', dims, kinds, 'input'),
  );
  const attributes = { transA, transB, alpha: b.draws.maybe(() => float(0.5)), beta: b.draws.maybe(() => float(2)) };
  b.allowSums(k);
  both(b, 'Gemm', inputs, { ...attributes, broadcast: 1 }, (graph) => graph.op('Gemm', inputs, attributes));
}

function topK(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 100, least: 1 });
  const axis = drawAxis(b, shape.length);
  const k = b.draws.between(1, shape[axis]);
  const x = b.random('float32', shape, kinds, 'input');
  const isDefault = axis === shape.length - 1 && b.draws.coin();
  both(b, 'TopK', [x], { axis: isDefault ? undefined : axis, k }, (graph) =>
    graph.op('TopK', [x, int64s(graph, [k])], { axis }),
  );
}

function dropout(b: CaseBuilder): void {
  const x = b.random('float32', drawShape(b.draws, { budget: 60 }), kinds, 'input');
  both(b, 'Dropout', [x], { is_test: 1, ratio: b.draws.maybe(() => float(0.25)) }, (graph) =>
    graph.op('Identity', [x]),
  );
}

function batchNormalization(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 2, maxRank: 4, budget: 200, least: 1 });
  const inputs = [shape, ...Array<number[]>(4).fill([shape[1]])].map((dims) =>
    b.random('float32', dims, ['positive'], 'input'),
  );
  const attributes: Attributes = { is_test: 1, epsilon: b.draws.maybe(() => float(0.5)) };
  b.allow({ ulps: 32, spread: 8 });
  const hint: Attributes = b.since < 6 ? { consumed_inputs: [0, 0, 0, 1, 1] } : {};
  both(b, 'BatchNormalization', inputs, { ...attributes, ...hint }, (graph) =>
    graph.op('BatchNormalization', inputs, { epsilon: attributes.epsilon }),
  );
}

function upsample(b: CaseBuilder): void {
  const [n, c, h, w] = [1, b.draws.between(1, 2), b.draws.between(1, 4), b.draws.between(1, 4)];
  const [tall, wide] = [b.draws.pick([2, 1, 3]), b.draws.pick([2, 1, 3])];
  const x = b.random('float32', [n, c, h, w], kinds, 'input');
  const attributes = {
    height_scale: float(tall),
    width_scale: float(wide),
    mode: b.draws.pick([undefined, 'nearest']),
  };
  both(b, 'Upsample', [x], attributes, (graph) => {
    const scales = graph.initializer(encodeTensor('float32', [4], [1, 1, tall, wide]));
    const rounding = { mode: 'nearest', nearest_mode: 'floor', coordinate_transformation_mode: 'asymmetric' };
    return graph.op('Resize', [x, undefined, scales], rounding);
  });
}

const bools: readonly DType[] = ['bool'];

export const early: Family = {
  name: 'early',
  opsets: [1, 6],
  cases: {
    ...Object.fromEntries(['Add', 'Sub', 'Mul', 'Div'].map((op) => [op, broadcasting(op)])),
    ...Object.fromEntries(['Greater', 'Less', 'Pow'].map((op) => [op, broadcasting(op, real)])),
    ...Object.fromEntries(['And', 'Or', 'Xor'].map((op) => [op, broadcasting(op, bools)])),
    Equal: broadcasting('Equal', ['int32', 'int64', 'bool']),
    ...Object.fromEntries(['Max', 'Min', 'Sum', 'Mean'].map((op) => [op, several(op)])),
    ...Object.fromEntries(['Softmax', 'LogSoftmax', 'Hardmax'].map((op) => [op, flattened(op)])),
    ...Object.fromEntries(
      ['Sum', 'Mean', 'Max', 'Min', 'Prod', 'L1', 'L2', 'SumSquare', 'LogSum', 'LogSumExp'].map((name) => [
        `Reduce${name}`,
        reduction(`Reduce${name}`),
      ]),
    ),
    ArgMax: argReduction('ArgMax'),
    ArgMin: argReduction('ArgMin'),
    ...Object.fromEntries(
      ['Abs', 'Ceil', 'Exp', 'Floor', 'Log', 'Neg', 'Reciprocal', 'Relu', 'Sigmoid', 'Sqrt', 'Tanh'].map((op) => [
        op,
        unary(op),
      ]),
    ),
    Elu: unary('Elu', (b) => ({ alpha: b.draws.maybe(() => float(0.5)) })),
    LeakyRelu: unary('LeakyRelu', (b) => ({ alpha: b.draws.maybe(() => float(0.5)) })),
    HardSigmoid: unary('HardSigmoid', (b) => ({
      alpha: b.draws.maybe(() => float(0.5)),
      beta: b.draws.maybe(() => float(0.25)),
    })),
    Selu: unary('Selu', (b) => ({
      alpha: b.since < 6 ? float(1.5) : b.draws.maybe(() => float(1.5)),
      gamma: b.since < 6 ? float(1.25) : undefined,
    })),
    Reshape: reshape,
    Concat: concat,
    Split: split,
    Pad: pad,
    Slice: slice,
    Tile: tile,
    Squeeze: squeeze,
    Unsqueeze: unsqueeze,
    Cast: cast,
    Clip: clip,
    Gemm: gemm,
    TopK: topK,
    Dropout: dropout,
    BatchNormalization: batchNormalization,
    Upsample: upsample,
  },
};
