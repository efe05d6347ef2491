// RNN, GRU and LSTM: evaluated on the host, all directions, layouts and options.

import { Dim, type DType } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import type { Tensor } from '../session/tensor.ts';
import {
  defineOperator,
  type EvaluateContext,
  float,
  floats,
  type InferContext,
  int,
  string,
  strings,
} from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { numbersOf, tensorOfNumbers } from './host-elements.ts';
import { type ActivationAttributes, readActivations } from './recurrent-activations.ts';
import {
  type Cell,
  type CellOptions,
  FloatProduct,
  type GateProduct,
  gruCell,
  lstmCell,
  rnnCell,
  runDirection,
  type State,
} from './recurrent-cells.ts';

export const recurrentAttributes = {
  activation_alpha: floats(),
  activation_beta: floats(),
  activations: strings(),
  clip: float(),
  direction: string('forward'),
  hidden_size: int(),
  /** 0: the sequence is the first axis, 1: the batch is. */
  layout: int(0),
};

interface RecurrentAttributes extends ActivationAttributes {
  readonly clip: number | undefined;
  readonly direction: string;
  readonly layout?: number;
}

type Infer = InferContext & { readonly attributes: RecurrentAttributes };
type Evaluate = EvaluateContext & { readonly attributes: RecurrentAttributes };

const [x, w, r, b, sequenceLengths, initialHidden, initialCell, peepholes] = [0, 1, 2, 3, 4, 5, 6, 7];

export function isBatchFirst(attributes: RecurrentAttributes): boolean {
  return attributes.layout === 1;
}

/** Types of Y, Y_h and Y_c, after a check of the shapes that all these operators share. */
export function inferRecurrent(ctx: Infer, gates: number, hidden: Dim) {
  const { attributes } = ctx;
  const dtype = expectSameType(ctx, x, initialHidden, initialCell);
  const input = expectRank(ctx, x, 3);
  const [steps, batch] = isBatchFirst(attributes) ? [input[1], input[0]] : input;
  const directions = attributes.direction === 'bidirectional' ? 2 : 1;
  expectEqual(ctx, expectRank(ctx, w, 3)[0], Dim.constant(directions), 'the directions of W and of the node');
  expectEqual(ctx, expectRank(ctx, r, 3)[0], Dim.constant(directions), 'the directions of R and of the node');
  if (ctx.hasInput(b)) expectEqual(ctx, expectRank(ctx, b, 2)[1], hidden.mul(2 * gates), 'the entries of B');
  const isBatch = isBatchFirst(attributes);
  const sequence = isBatch ? [batch, steps, directions, hidden] : [steps, directions, batch, hidden];
  const last = isBatch ? [batch, directions, hidden] : [directions, batch, hidden];
  return [sequence, last, last].map((shape) => tensorType(dtype, shape.map(Dim.from)));
}

export interface Direction {
  readonly input: GateProduct;
  readonly recurrent: GateProduct;
  readonly cell: Cell;
}

/** Builds the products and the cell of one direction. */
export type MakeDirection = (direction: number, options: CellOptions) => Direction;

export interface RecurrentParts {
  readonly gates: number;
  readonly hiddenSize: number;
  /** Activations of one direction when the node names none. */
  readonly fallback: readonly string[];
  readonly make: MakeDirection;
}

/** Y, Y_h, Y_c. */
export function evaluateRecurrent(
  ctx: Evaluate,
  { gates, hiddenSize, fallback, make }: RecurrentParts,
): readonly Tensor[] {
  const { attributes } = ctx;
  const source = ctx.tensor(x);
  const isBatch = isBatchFirst(attributes);
  const [steps, batch] = isBatch ? [source.dims[1], source.dims[0]] : source.dims;
  const size = source.dims[2];
  const directions = attributes.direction === 'bidirectional' ? 2 : 1;
  const activations = readActivations(ctx, attributes, fallback, directions);
  const width = gates * hiddenSize;
  const rows = sequenceFirst(numbersOf(source), steps, batch, size, isBatch);
  const lengths = readLengths(ctx, steps, batch);
  const y = new Float64Array(steps * directions * batch * hiddenSize);
  const finalHidden = new Float64Array(directions * batch * hiddenSize);
  const finalCell = new Float64Array(directions * batch * hiddenSize);
  const bias = ctx.optionalTensor(b);
  const biases = bias ? numbersOf(bias) : new Float64Array(directions * 2 * width);
  /** Where a state of a direction and batch entry lies in Y_h, and where its step lies in Y. */
  const stateAt = (d: number, n: number): number => (isBatch ? n * directions + d : d * batch + n) * hiddenSize;
  const stepAt = (step: number, d: number, n: number): number =>
    (isBatch ? (n * steps + step) * directions + d : (step * directions + d) * batch + n) * hiddenSize;
  for (let d = 0; d < directions; d++) {
    const biasAt = d * 2 * width;
    const recurrentBias = Float64Array.from({ length: width }, (_, k) => biases[biasAt + width + k]);
    const options = { hiddenSize, activations: activations[d], clip: attributes.clip ?? Infinity, recurrentBias };
    const { input, recurrent, cell } = make(d, options);
    const projected = new Float64Array(steps * batch * width);
    input.apply(rows, steps * batch, projected);
    for (let at = 0; at < projected.length; at++) projected[at] += biases[biasAt + (at % width)];
    const state: State = {
      hidden: readState(ctx, initialHidden, batch * hiddenSize, (n) => stateAt(d, n), hiddenSize),
      cell: readState(ctx, initialCell, batch * hiddenSize, (n) => stateAt(d, n), hiddenSize),
    };
    runDirection({
      steps,
      batch,
      hiddenSize,
      lengths,
      isReverse: attributes.direction === 'reverse' || d === 1,
      input: projected,
      recurrent,
      cell,
      state,
      emit: (step, n, hidden, from) => y.set(hidden.subarray(from, from + hiddenSize), stepAt(step, d, n)),
    });
    for (let n = 0; n < batch; n++) {
      const [from, to] = [n * hiddenSize, stateAt(d, n)];
      finalHidden.set(state.hidden.subarray(from, from + hiddenSize), to);
      finalCell.set(state.cell.subarray(from, from + hiddenSize), to);
    }
  }
  const sequence = isBatch ? [batch, steps, directions, hiddenSize] : [steps, directions, batch, hiddenSize];
  const last = isBatch ? [batch, directions, hiddenSize] : [directions, batch, hiddenSize];
  const result = (values: Float64Array, dims: readonly number[]): Tensor =>
    tensorOfNumbers(source.type as DType, values, dims);
  return [result(y, sequence), result(finalHidden, last), result(finalCell, last)];
}

/** Input rows in the order [step, batch]. */
function sequenceFirst(values: ArrayLike<number>, steps: number, batch: number, size: number, isBatch: boolean) {
  if (!isBatch) return Float64Array.from(values);
  const rows = new Float64Array(steps * batch * size);
  for (let n = 0; n < batch; n++) {
    for (let step = 0; step < steps; step++) {
      for (let k = 0; k < size; k++) rows[(step * batch + n) * size + k] = values[(n * steps + step) * size + k];
    }
  }
  return rows;
}

function readLengths(ctx: Evaluate, steps: number, batch: number): ArrayLike<number> {
  const given = ctx.optionalTensor(sequenceLengths);
  if (!given) return new Array<number>(batch).fill(steps);
  const lengths = numbersOf(given);
  if (lengths.length !== batch) ctx.fail(`sequence_lens must have ${batch} entries, not ${lengths.length}.`);
  for (let n = 0; n < batch; n++) {
    if (!(lengths[n] >= 0 && lengths[n] <= steps))
      ctx.fail(`the sequence length ${lengths[n]} is outside [0, ${steps}].`);
  }
  return lengths;
}

function readState(ctx: Evaluate, input: number, length: number, at: (batch: number) => number, size: number) {
  const state = new Float64Array(length);
  const given = ctx.optionalTensor(input);
  if (!given) return state;
  const values = numbersOf(given);
  for (let k = 0; k < length; k++) state[k] = values[at(Math.floor(k / size)) + (k % size)];
  return state;
}

/** Products with the weights W [directions, gates · hidden, input] and R [directions, gates · hidden, hidden]. */
function floatProducts(ctx: EvaluateContext, direction: number) {
  const [weight, recurrence] = [ctx.tensor(w), ctx.tensor(r)];
  const product = ({ dims: [, width, inner] }: Tensor, values: ArrayLike<number>): GateProduct =>
    new FloatProduct(values, direction * width * inner, width, inner);
  return { input: product(weight, numbersOf(weight)), recurrent: product(recurrence, numbersOf(recurrence)) };
}

const hiddenOf = (ctx: EvaluateContext): number => ctx.tensor(r).dims[2];

export const RNN = defineOperator({
  name: 'RNN',
  since: 1,
  attributes: recurrentAttributes,
  infer(ctx) {
    expectSameType(ctx, x, w, r, b);
    return inferRecurrent(ctx, 1, expectRank(ctx, r, 3)[2]).slice(0, 2);
  },
  evaluate: (ctx) =>
    evaluateRecurrent(ctx, {
      gates: 1,
      hiddenSize: hiddenOf(ctx),
      fallback: ['Tanh'],
      make: (direction, options) => ({ ...floatProducts(ctx, direction), cell: rnnCell(options) }),
    }).slice(0, 2),
});

export const GRU = defineOperator({
  name: 'GRU',
  since: 1,
  attributes: { ...recurrentAttributes, linear_before_reset: int(0) },
  infer(ctx) {
    expectSameType(ctx, x, w, r, b);
    return inferRecurrent(ctx, 3, expectRank(ctx, r, 3)[2]).slice(0, 2);
  },
  evaluate(ctx) {
    const hiddenSize = hiddenOf(ctx);
    const recurrence = numbersOf(ctx.tensor(r));
    const linearBeforeReset = ctx.attributes.linear_before_reset !== 0;
    return evaluateRecurrent(ctx, {
      gates: 3,
      hiddenSize,
      fallback: ['Sigmoid', 'Tanh'],
      make(direction, options) {
        const start = (direction * 3 + 2) * hiddenSize * hiddenSize;
        const hiddenProduct = new FloatProduct(recurrence, start, hiddenSize, hiddenSize);
        return { ...floatProducts(ctx, direction), cell: gruCell({ ...options, linearBeforeReset, hiddenProduct }) };
      },
    }).slice(0, 2);
  },
});

export const lstmAttributes = { ...recurrentAttributes, input_forget: int(0) };

/** Peephole weights of one direction: input 7, [directions, 3 · hidden]. */
export function peepholesOf(
  ctx: EvaluateContext,
  direction: number,
  hiddenSize: number,
): ArrayLike<number> | undefined {
  const given = ctx.optionalTensor(peepholes);
  if (!given) return undefined;
  const values = numbersOf(given);
  return Float64Array.from({ length: 3 * hiddenSize }, (_, k) => values[direction * 3 * hiddenSize + k]);
}

export const LSTM = defineOperator({
  name: 'LSTM',
  since: 1,
  attributes: lstmAttributes,
  infer(ctx) {
    expectSameType(ctx, x, w, r, b, peepholes);
    return inferRecurrent(ctx, 4, expectRank(ctx, r, 3)[2]);
  },
  evaluate(ctx) {
    const hiddenSize = hiddenOf(ctx);
    const coupled = ctx.attributes.input_forget !== 0;
    return evaluateRecurrent(ctx, {
      gates: 4,
      hiddenSize,
      fallback: ['Sigmoid', 'Tanh', 'Tanh'],
      make(direction, options) {
        const cell = lstmCell({ ...options, coupled, peepholes: peepholesOf(ctx, direction, hiddenSize) });
        return { ...floatProducts(ctx, direction), cell };
      },
    });
  },
});
