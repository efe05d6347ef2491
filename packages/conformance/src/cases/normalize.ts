// Normalisation, softmax, losses, dropout.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { drawShape, drawStretchable } from '../random.ts';
import { drawFloats, drawIntegers, type ValueKind } from '../values.ts';
import { drawAxis, signedAxis } from './movement.ts';

const kinds: readonly ValueKind[] = ['unit', 'normal', 'small'];

function epsilon(b: CaseBuilder, name = 'epsilon'): Record<string, ReturnType<typeof float> | undefined> {
  return { [name]: b.draws.maybe(() => float(b.draws.pick([1e-5, 1e-3, 0.1]))) };
}

function softmax(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype();
    const shape = drawShape(b.draws, { minRank: 1, budget: 3000 });
    const valueKinds = b.isPeer ? kinds : ([...kinds, 'special', 'spiked'] as const);
    const axis = b.draws.maybe(() => drawAxis(b, shape.length));
    // Exponentials next to the least normal number may be 0.
    b.allow({ ulps: 16, spread: op === 'LogSoftmax' ? 4 : 0, absolute: 2 ** -125 });
    const signed = axis === undefined || b.opset < 11 ? axis : signedAxis(b, axis, shape.length);
    b.output(b.op(op, [b.random(dtype, shape, valueKinds)], { axis: signed }), dtype);
  };
}

function layerNorm(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 3000, least: 1 });
  const axis = b.draws.maybe(() => drawAxis(b, shape.length));
  const inner = shape.slice(axis ?? shape.length - 1);
  b.allow({ ulps: 16, spread: 32 });
  const inputs = [
    b.random(dtype, shape, ['normal', 'unit']),
    b.random(dtype, b.draws.oneIn(4) ? drawStretchable(b.draws, inner) : inner, kinds),
    b.draws.maybe(() => b.random(dtype, b.draws.oneIn(4) ? drawStretchable(b.draws, inner) : inner, kinds)),
  ];
  const attributes = { ...epsilon(b), axis: axis === undefined ? undefined : signedAxis(b, axis, shape.length) };
  const wantsStatistics = b.draws.oneIn(3);
  const results = b.ops('LayerNormalization', inputs, attributes, {
    outputs: [true, wantsStatistics, wantsStatistics],
  });
  b.output(results[0], dtype);
  if (wantsStatistics) b.outputs(results.slice(1));
}

function rmsNorm(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 3000, least: 1 });
  const axis = b.draws.maybe(() => drawAxis(b, shape.length));
  const inner = shape.slice(axis ?? shape.length - 1);
  b.allow({ ulps: 16, spread: 16 });
  const scaleType = b.dtypes('V').includes(dtype) ? dtype : b.dtype('V');
  const inputs = [b.random(dtype, shape, kinds), b.random(scaleType, inner, kinds)];
  b.output(
    b.op('RMSNormalization', inputs, {
      ...epsilon(b),
      axis: axis === undefined ? undefined : signedAxis(b, axis, shape.length),
    }),
  );
}

function batchNorm(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const shape = drawShape(b.draws, { minRank: 2, least: 1 });
  const channels = shape[1];
  const [first, second] =
    b.opset >= 15 ? [b.dtype('T1'), b.dtype('T2')] : b.opset >= 14 ? [dtype, b.dtype('U')] : [dtype, dtype];
  b.allow({ ulps: 16, spread: 16 });
  const inputs = [
    b.random(dtype, shape, kinds),
    b.random(first, [channels], kinds),
    b.random(first, [channels], kinds),
    b.random(second, [channels], kinds),
    b.operand(drawFloats(b.draws, second, [channels], 0.25, 2)),
  ];
  const attributes = { ...epsilon(b), momentum: b.draws.maybe(() => float(0.9)) };
  if (b.opset >= 14 && !b.isPeer && b.draws.oneIn(4)) {
    b.allow({ absolute: 1e-5 });
    return b.outputs(b.ops('BatchNormalization', inputs, { ...attributes, training_mode: 1 }, { outputs: 3 }));
  }
  b.output(b.op('BatchNormalization', inputs, attributes), dtype);
}

function instanceNorm(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 3, least: 1, budget: 3000 });
  b.allow({ ulps: 16, spread: b.isPeer ? 500 : 32 });
  const inputs = [
    b.random(dtype, shape, ['normal']),
    b.random(dtype, [shape[1]], kinds),
    b.random(dtype, [shape[1]], kinds),
  ];
  b.output(b.op('InstanceNormalization', inputs, epsilon(b)), dtype);
}

function groupNorm(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [groups, each] = [b.draws.between(1, 4), b.draws.between(1, 4)];
  const shape = [
    b.draws.between(1, 3),
    groups * each,
    ...drawShape(b.draws, { minRank: 1, maxRank: 3, least: 1, budget: 200 }),
  ];
  b.allow({ ulps: 16, spread: b.isPeer ? 500 : 32 });
  const size = b.opset >= 21 ? groups * each : groups;
  const inputs = [b.random(dtype, shape, ['normal']), b.random(dtype, [size], kinds), b.random(dtype, [size], kinds)];
  b.output(b.op('GroupNormalization', inputs, { ...epsilon(b), num_groups: groups }), dtype);
}

function lpNorm(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, least: 1 });
  b.allow({ ulps: 16, spread: 4 });
  const axis = b.draws.maybe(() => signedAxis(b, drawAxis(b, shape.length), shape.length));
  b.output(
    b.op('LpNormalization', [b.random(dtype, shape, b.isPeer ? ['normal', 'unit'] : ['normal', 'unit', 'small'])], {
      axis,
      p: b.draws.maybe(() => b.draws.between(1, 2)),
    }),
    dtype,
  );
}

function lrn(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: b.isPeer ? 4 : 3, maxRank: b.isPeer ? 4 : 5, least: 1 });
  b.allow({ ulps: 16, spread: 4 });
  const attributes = {
    size: b.draws.pick(b.isPeer ? [1, 3, 5] : [1, 3, 5, 2, 4, 9]),
    alpha: b.draws.maybe(() => float(b.draws.pick([1e-4, 0.1, 1]))),
    beta: b.draws.maybe(() => float(b.draws.pick([0.75, 0.5, 1]))),
    bias: b.draws.maybe(() => float(b.draws.pick([1, 2]))),
  };
  b.output(b.op('LRN', [b.random(dtype, shape, kinds)], attributes), dtype);
}

function meanVariance(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: b.isPeer ? 4 : 1, maxRank: b.isPeer ? 4 : 5, least: 1 });
  b.allow({ ulps: 32, spread: 64 });
  // Without axes they are 0, 2 and 3.
  const some = (): number[] =>
    b.draws.some(
      shape.map((_, axis) => axis),
      1,
    );
  const axes = shape.length < 4 ? some() : b.draws.maybe(some);
  b.output(b.op('MeanVarianceNormalization', [b.random(dtype, shape, ['normal'])], { axes }), dtype);
}

function dropout(b: CaseBuilder): void {
  const dtype = b.dtype('T');
  const x = b.random(dtype, drawShape(b.draws), kinds);
  const wantsMask = b.draws.coin();
  const options = { outputs: [true, wantsMask] };
  const ratio = b.draws.pick([0.5, 0, 0.9]);
  const results =
    b.opset < 12
      ? b.ops('Dropout', [x], { ratio: b.draws.maybe(() => float(ratio)) }, options)
      : b.ops(
          'Dropout',
          [
            x,
            b.draws.maybe(() => b.scalar('float32', ratio)),
            b.draws.maybe(() => b.random('bool', [], ['small'])),
          ].map((name, at) => (at === 2 && name ? b.scalar('bool', 0) : name)),
          {},
          options,
        );
  b.output(results[0], dtype);
  if (wantsMask) b.output(results[1]);
}

function loss(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype('T');
    const classes = b.draws.between(1, 7);
    const [n, ...rest] = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 40, least: 1 });
    const labelType = b.dtype(op === 'NegativeLogLikelihoodLoss' ? 'Tind' : 'Tind');
    const ignored = b.draws.maybe(() => b.draws.pick([-1, 0, classes - 1, -100]));
    const low = ignored === -1 ? -1 : 0;
    const weights = b.draws.maybe(() => b.operand(drawFloats(b.draws, dtype, [classes], 0.5, 1.5)));
    const inputs = [
      b.random(dtype, [n, classes, ...rest], ['normal', 'unit']),
      b.operand(drawIntegers(b.draws, labelType, [n, ...rest], low, classes - 1)),
      weights,
    ];
    b.allow({ ulps: 32, spread: 16 });
    const reduction = b.draws.pick(['mean', undefined, 'none', 'sum']);
    const attributes = { reduction, ignore_index: ignored };
    if (op === 'SoftmaxCrossEntropyLoss' && b.draws.coin())
      return b.outputs(b.ops(op, inputs, attributes, { outputs: 2 }));
    b.output(b.op(op, inputs, attributes), dtype);
  };
}

export const normalizations: Family = {
  name: 'normalize',
  cases: {
    Softmax: softmax('Softmax'),
    LogSoftmax: softmax('LogSoftmax'),
    LayerNormalization: layerNorm,
    RMSNormalization: rmsNorm,
    BatchNormalization: batchNorm,
    InstanceNormalization: instanceNorm,
    GroupNormalization: groupNorm,
    LpNormalization: lpNorm,
    LRN: lrn,
    MeanVarianceNormalization: meanVariance,
    Dropout: dropout,
    NegativeLogLikelihoodLoss: loss('NegativeLogLikelihoodLoss'),
    SoftmaxCrossEntropyLoss: loss('SoftmaxCrossEntropyLoss'),
  },
};
