// Random numbers. A node with a seed gives the same numbers in every run; others take their seed from the session.

import { Dim, type DType, isFloat } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { codeOfDType, dtypeOfCode } from '../onnx/import-tensor.ts';
import { elementCount, type Tensor } from '../session/tensor.ts';
import { defineOperator, type EvaluateContext, float, int, ints, type NodeContext, required } from './define.ts';
import { expectFloat, expectRank } from './expect.ts';
import { numbersOf, tensorOfNumbers } from './host-elements.ts';

const seedAttributes = { seed: float(), dtype: int() };

/** Element type by attribute; absent means that of input 0, or float32 without inputs. */
function drawnType(context: NodeContext, code: number | undefined): DType {
  if (code !== undefined) return dtypeOfCode(code, 'the attribute "dtype"');
  return context.hasInput(0) ? context.dtype(0) : 'float32';
}

/** Standard normal numbers, by the polar form of Box and Muller's method (Marsaglia and Bray 1964). */
function normalFrom(uniform: () => number): () => number {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    let [x, y, square] = [0, 0, 0];
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const scale = Math.sqrt((-2 * Math.log(square)) / square);
    spare = y * scale;
    return x * scale;
  };
}

/** A tensor of drawn numbers; `draw` is called once for each element, in order. */
function drawTensor(dtype: DType, dims: readonly number[], draw: (at: number) => number): Tensor {
  return tensorOfNumbers(
    dtype,
    Float64Array.from({ length: elementCount(dims) }, (_, at) => draw(at)),
    dims,
  );
}

const uniformAttributes = { low: float(0), high: float(1), ...seedAttributes };
const normalAttributes = { mean: float(0), scale: float(1), ...seedAttributes };
const shapeAttribute = { shape: required(ints()) };

function uniform(context: EvaluateContext<typeof uniformAttributes>): () => number {
  const { low, high, seed } = context.attributes;
  const next = context.random(seed);
  return () => low + (high - low) * next();
}

function normal(context: EvaluateContext<typeof normalAttributes>): () => number {
  const { mean, scale, seed } = context.attributes;
  const next = normalFrom(context.random(seed));
  return () => mean + scale * next();
}

function inferDrawn(context: NodeContext, code: number | undefined, shape: readonly Dim[]) {
  const dtype = drawnType(context, code);
  if (!isFloat(dtype)) context.fail(`the numbers must be of a floating-point type, not ${dtype}.`);
  return [tensorType(dtype, shape)];
}

function sizesOf(context: NodeContext<typeof shapeAttribute>): readonly Dim[] {
  const { shape } = context.attributes;
  if (shape.some((size) => size < 0)) context.fail(`the shape [${shape.join(', ')}] has a negative size.`);
  return shape.map(Dim.constant);
}

export const RandomUniform = defineOperator({
  name: 'RandomUniform',
  since: 1,
  nondeterministic: true,
  attributes: { ...uniformAttributes, ...shapeAttribute },
  infer: (context) => inferDrawn(context, context.attributes.dtype, sizesOf(context)),
  evaluate: (context) =>
    drawTensor(drawnType(context, context.attributes.dtype), context.attributes.shape, uniform(context)),
});

export const RandomUniformLike = defineOperator({
  name: 'RandomUniformLike',
  since: 1,
  nondeterministic: true,
  attributes: uniformAttributes,
  infer: (context) => inferDrawn(context, context.attributes.dtype, context.shape(0)),
  evaluate: (context) =>
    drawTensor(drawnType(context, context.attributes.dtype), context.tensor(0).dims, uniform(context)),
});

export const RandomNormal = defineOperator({
  name: 'RandomNormal',
  since: 1,
  nondeterministic: true,
  attributes: { ...normalAttributes, ...shapeAttribute },
  infer: (context) => inferDrawn(context, context.attributes.dtype, sizesOf(context)),
  evaluate: (context) =>
    drawTensor(drawnType(context, context.attributes.dtype), context.attributes.shape, normal(context)),
});

export const RandomNormalLike = defineOperator({
  name: 'RandomNormalLike',
  since: 1,
  nondeterministic: true,
  attributes: normalAttributes,
  infer: (context) => inferDrawn(context, context.attributes.dtype, context.shape(0)),
  evaluate: (context) =>
    drawTensor(drawnType(context, context.attributes.dtype), context.tensor(0).dims, normal(context)),
});

/** 1 with the probability that the input says, else 0. */
export const Bernoulli = defineOperator({
  name: 'Bernoulli',
  since: 15,
  nondeterministic: true,
  attributes: seedAttributes,
  infer(context) {
    expectFloat(context, 0);
    return [tensorType(drawnType(context, context.attributes.dtype), context.shape(0))];
  },
  evaluate(context) {
    const { dtype, seed } = context.attributes;
    const input = context.tensor(0);
    const probabilities = numbersOf(input);
    const next = context.random(seed);
    return drawTensor(drawnType(context, dtype), input.dims, (at) => (next() < probabilities[at] ? 1 : 0));
  },
});

/** Class numbers drawn for each row by its log probabilities, which need not be normalised. */
export const Multinomial = defineOperator({
  name: 'Multinomial',
  since: 7,
  nondeterministic: true,
  attributes: { seed: float(), dtype: int(codeOfDType('int32')), sample_size: int(1) },
  infer(context) {
    expectFloat(context, 0);
    const [batch] = expectRank(context, 0, 2);
    const { dtype, sample_size } = context.attributes;
    if (sample_size < 1) context.fail(`sample_size must be at least 1, not ${sample_size}.`);
    return [tensorType(drawnType(context, dtype), [batch, Dim.constant(sample_size)])];
  },
  evaluate(context) {
    const { dtype, sample_size: samples, seed } = context.attributes;
    const input = context.tensor(0);
    const [batch, classes] = input.dims;
    if (classes === 0) context.fail('there are no classes to draw from.');
    const logits = numbersOf(input);
    const next = context.random(seed);
    const drawRow = (row: number): (() => number) => {
      const values = Array.from({ length: classes }, (_, at) => logits[row * classes + at]);
      const peak = values.reduce((most, value) => Math.max(most, value), -Infinity);
      let total = 0;
      const cumulative = values.map((value) => {
        total += Math.exp(value - peak);
        return total;
      });
      return () => {
        const mark = next() * total;
        const found = cumulative.findIndex((upTo) => mark < upTo);
        return found < 0 ? classes - 1 : found;
      };
    };
    const rows = Array.from({ length: batch }, (_, row) => drawRow(row));
    return drawTensor(drawnType(context, dtype), [batch, samples], (at) => rows[Math.floor(at / samples)]());
  },
});
