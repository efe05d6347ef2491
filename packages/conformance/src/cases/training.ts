// Steps of optimisers (ai.onnx.preview.training) and derivatives of small graphs.

import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { type Attributes, float } from '../graph-builder.ts';
import { drawShape } from '../random.ts';
import { encodeTensor } from '../values.ts';

const domain = 'ai.onnx.preview.training';

const floats: readonly DType[] = ['float32', 'float64'];

/** X, then gradients, then accumulators, for one tensor or several of different shapes. */
function optimizer(op: string, accumulators: number, attributes: (b: CaseBuilder) => Attributes) {
  return (b: CaseBuilder): void => {
    const rate = b.operand(encodeTensor(b.dtype(floats), [], [b.draws.pick([0.5, 0.1, 0, 1])]));
    const step = b.scalar('int64', b.draws.pick([0, 1, 2, 1000]));
    const tensors = Array.from({ length: b.draws.between(1, 3) }, () => ({
      dtype: b.dtype(floats),
      shape: drawShape(b.draws, { maxRank: 4, budget: 60 }),
    }));
    const group = (isPositive: boolean): string[] =>
      tensors.map(({ dtype, shape }) => b.random(dtype, shape, isPositive ? ['positive'] : ['unit', 'small']));
    // Sums of squares are never negative; the first accumulator of Adam and Momentum is a mean of gradients.
    const states = Array.from({ length: accumulators }, (_, at) =>
      group(op === 'Adagrad' || (op === 'Adam' && at === 1)),
    );
    const inputs = [rate, step, ...group(false), ...group(false), ...states.flat()];
    b.allow({ ulps: 64, spread: 16 });
    b.outputs(b.ops(op, inputs, attributes(b), { domain, outputs: tensors.length * (1 + accumulators) }));
  };
}

/** y = mean of a product of functions of x and w, and its derivatives. */
function gradient(b: CaseBuilder): void {
  if (b.opset < 13) return b.output(b.op('Neg', [b.random('float32', [2])]));
  const [rows, inner, columns] = [b.draws.between(1, 4), b.draws.between(1, 5), b.draws.between(1, 4)];
  const dtype = b.dtype(floats);
  const x = b.input(b.values(dtype, [rows, inner], ['unit']));
  const w = b.input(b.values(dtype, [inner, columns], ['unit']));
  const functions = ['Tanh', 'Sigmoid', 'Exp', 'Relu', 'Neg', 'Abs', 'Softplus'];
  const inside = b.op(b.draws.pick(functions), [x]);
  const product = b.op('MatMul', [inside, b.op(b.draws.pick(functions), [w])]);
  const other = b.draws.coin() ? b.op(b.draws.pick(['Mul', 'Add', 'Sub']), [product, product]) : product;
  const y = b.op('ReduceSum', [b.op(b.draws.pick(functions), [other])], { keepdims: b.draws.below(2) });
  const wanted = b.draws.some([x, w], 1);
  // What is held fast comes from outside, too.
  const fixed = [x, w].filter((name) => !wanted.includes(name));
  const attributes: Attributes = { xs: wanted, y, zs: fixed.length > 0 ? fixed : undefined };
  b.allow({ ulps: 512, spread: 256 });
  b.outputs(b.ops('Gradient', [...wanted, ...fixed], attributes, { domain, outputs: wanted.length }));
}

const decay = (b: CaseBuilder): Attributes => ({
  epsilon: b.draws.maybe(() => float(b.draws.pick([1e-3, 0.5]))),
  norm_coefficient: b.draws.maybe(() => float(0.25)),
});

export const training: Family = {
  name: 'training',
  cases: {
    [`${domain}:Adagrad`]: optimizer('Adagrad', 1, (b) => ({
      ...decay(b),
      decay_factor: b.draws.maybe(() => float(0.1)),
    })),
    [`${domain}:Adam`]: optimizer('Adam', 2, (b) => ({
      ...decay(b),
      alpha: b.draws.maybe(() => float(0.5)),
      beta: b.draws.maybe(() => float(0.75)),
      norm_coefficient_post: b.draws.maybe(() => float(0.125)),
    })),
    [`${domain}:Momentum`]: optimizer('Momentum', 1, (b) => ({
      alpha: float(b.draws.pick([0.9, 0])),
      beta: float(b.draws.pick([0.5, 1])),
      mode: b.draws.pick(['standard', 'nesterov']),
      norm_coefficient: float(b.draws.pick([0, 0.25])),
    })),
    [`${domain}:Gradient`]: gradient,
  },
};
