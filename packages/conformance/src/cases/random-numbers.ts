// Random generators: shapes and element types here; distributions in tests beside the operators of core.

import { codeOfDType } from '@onnx-ts/core/internal';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { type Attributes, float } from '../graph-builder.ts';
import { drawShape } from '../random.ts';
import { drawFloats } from '../values.ts';

/** Bounds or moments. A seed makes all runs alike. */
function spread(b: CaseBuilder, op: string): Attributes {
  const names = op.startsWith('RandomUniform') ? ['low', 'high'] : ['mean', 'scale'];
  return {
    seed: float(b.draws.between(0, 9)),
    [names[0]]: b.draws.maybe(() => float(b.draws.pick([-2, 0.5, 10]))),
    [names[1]]: b.draws.maybe(() => float(b.draws.pick([20, 11]))),
  };
}

function drawn(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.draws.maybe(() => b.dtype());
    const shape = drawShape(b.draws, { minRank: b.isPeer ? 1 : 0, budget: 200 });
    const name = b.op(op, [], { ...spread(b, op), shape, dtype: dtype && codeOfDType(dtype) });
    finish(b, name);
  };
}

function drawnLike(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const source = b.dtype('T1');
    const isReal = b.dtypes('T2').includes(source);
    const dtype = isReal && b.draws.coin() ? undefined : b.dtype('T2');
    const x = b.random(source, drawShape(b.draws, { budget: 200 }));
    finish(b, b.op(op, [x], { ...spread(b, op), dtype: dtype && codeOfDType(dtype) }));
  };
}

/** A peer draws other numbers: only shape and type can be compared. */
function finish(b: CaseBuilder, name: string): void {
  b.output(b.isPeer ? b.op('Shape', [name]) : name);
}

function bernoulli(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const to = b.draws.maybe(() => b.dtype('T2'));
  const shape = drawShape(b.draws, { budget: 200 });
  const x = b.operand(drawFloats(b.draws, dtype, shape, 0, 1));
  finish(b, b.op('Bernoulli', [x], { seed: float(3), dtype: to && codeOfDType(to) }));
}

function multinomial(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const to = b.draws.maybe(() => b.dtype('T2'));
  const shape = [b.draws.between(1, 4), b.draws.between(1, 9)];
  const attributes = {
    seed: float(5),
    dtype: to && codeOfDType(to),
    sample_size: b.draws.maybe(() => b.draws.between(1, 6)),
  };
  finish(b, b.op('Multinomial', [b.random(dtype, shape, ['unit', 'small'])], attributes));
}

export const randomNumbers: Family = {
  name: 'random',
  cases: {
    RandomNormal: drawn('RandomNormal'),
    RandomNormalLike: drawnLike('RandomNormalLike'),
    RandomUniform: drawn('RandomUniform'),
    RandomUniformLike: drawnLike('RandomUniformLike'),
    Bernoulli: bernoulli,
    Multinomial: multinomial,
  },
};
