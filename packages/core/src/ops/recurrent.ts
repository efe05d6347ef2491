// RNN, GRU and LSTM: one product of the whole sequence with the input weights, then a recurrence over its steps.

import {
  add,
  boundedIndex,
  cast,
  constant,
  Dim,
  type DType,
  dimension,
  type Expr,
  elementAt,
  eq,
  lt,
  mul,
  type Source,
  type Stage,
  select,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { computeType } from './compute-type.ts';
import { defineOperator, float, floats, type InferContext, int, type LowerContext, string, strings } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { type ActivationAttributes, readActivations } from './recurrent-activations.ts';
import { type Cell, type CellStep, gruCell, lstmCell, rnnCell, type StateIndex } from './recurrent-cells.ts';

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
export type LowerRecurrent = LowerContext & { readonly attributes: RecurrentAttributes };

const [x, w, r, b, sequenceLengths, initialHidden, initialCell, peepholes] = [0, 1, 2, 3, 4, 5, 6, 7];

function isBatchFirst(attributes: RecurrentAttributes): boolean {
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
  if (ctx.hasInput(sequenceLengths)) {
    expectEqual(ctx, expectRank(ctx, sequenceLengths, 1)[0], batch, 'the entries of sequence_lens and the batch');
  }
  const isBatch = isBatchFirst(attributes);
  const sequence = isBatch ? [batch, steps, directions, hidden] : [steps, directions, batch, hidden];
  const last = isBatch ? [batch, directions, hidden] : [directions, batch, hidden];
  return [sequence, last, last].map((shape) => tensorType(dtype, shape.map(Dim.from)));
}

/** Sizes of a node, and the type in which it computes. */
export interface RecurrentFrame {
  readonly type: DType;
  readonly gates: number;
  readonly directions: number;
  readonly steps: Dim;
  readonly batch: Dim;
  readonly hidden: Dim;
  /** X, as element (step, batch entry, k). */
  readonly x: (step: Expr, entry: Expr, k: Expr) => Expr;
  readonly inputSize: Dim;
}

export interface RecurrentParts {
  readonly gates: number;
  readonly hidden: Dim;
  /** Activations of one direction when the node names none. */
  readonly fallback: readonly string[];
  /** 1: the hidden state; 2: and the cell state. */
  readonly states: 1 | 2;
  readonly cell: Cell;
  /** The recurrent bias of the last gate is the cell's affair. */
  readonly keepsHiddenBias?: boolean;
  /** X Wᵀ for all steps: [step, batch entry, direction · gate · unit]. */
  project(frame: RecurrentFrame): Stage;
  /** See `CellStep.product`. */
  product(frame: RecurrentFrame, step: Pick<CellStep, 'state' | 'builder'>, gate: number, values?: Stage): Stage;
}

/** Y, Y_h, Y_c. */
export function lowerRecurrent(ctx: LowerRecurrent, parts: RecurrentParts): readonly Source[] {
  const { attributes } = ctx;
  const { gates, hidden } = parts;
  const source = ctx.input(x);
  const type = computeType(source.dtype);
  const isBatch = isBatchFirst(attributes);
  const [steps, batch] = isBatch ? [source.shape[1], source.shape[0]] : source.shape;
  const directions = attributes.direction === 'bidirectional' ? 2 : 1;
  const width = hidden.mul(gates);
  const frame: RecurrentFrame = {
    type,
    gates,
    directions,
    steps,
    batch,
    hidden,
    x: (step, entry, k) => cast(type, ctx.at(source, isBatch ? [entry, step, k] : [step, entry, k])),
    inputSize: source.shape[2],
  };
  const projected = withBias(ctx, frame, parts.project(frame), parts.keepsHiddenBias ?? false);
  const activations = readActivations(ctx, attributes, parts.fallback, directions);
  const isBackward = (direction: Expr): Expr =>
    directions === 2 ? eq(direction, 1) : constant('bool', attributes.direction === 'reverse');
  /** Steps of a batch entry: what comes after gives zeros and leaves the state alone. */
  const lengthOf = (entry: Expr): Expr => {
    if (!ctx.hasInput(sequenceLengths)) return dimension(steps);
    return boundedIndex(ctx.at(sequenceLengths, [entry]), steps.add(1), { negative: false });
  };
  const isOver = ctx.hasInput(sequenceLengths)
    ? (step: Expr, entry: Expr): Expr => lt(step, lengthOf(entry))
    : undefined;
  /** Each sequence is reversed within its own length. */
  const placeOf = (step: Expr, direction: Expr, entry: Expr): Expr =>
    select(isBackward(direction), sub(sub(lengthOf(entry), step), 1), step);
  const initial = [initialHidden, initialCell].slice(0, parts.states).map((input) => (index: StateIndex): Expr => {
    if (!ctx.hasInput(input)) return constant(type, 0);
    const [direction, entry, unit] = index;
    return cast(type, ctx.at(input, isBatch ? [entry, direction, unit] : [direction, entry, unit]));
  });
  const sizes = [Dim.constant(directions), batch, hidden];
  const states = ctx.recurrence(type, steps, sizes, initial, (before) => {
    const next = parts.cell({
      ...before,
      input(gate, [direction, entry, unit]) {
        const column = add(mul(direction, dimension(width)), add(dimension(hidden.mul(gate)), unit));
        const when = isOver?.(before.step, entry);
        const at = [placeOf(before.step, direction, entry), entry, column];
        return elementAt(projected, at, when && { when, otherwise: 0 });
      },
      product: (gate, values) => parts.product(frame, before, gate, values),
      map: (name, body) => before.builder.map(type, sizes, body, name),
      activation: (which, value, [direction]) => activations[which](value, isBackward(direction)),
    });
    if (!isOver) return next;
    return next.map(
      (body, part) => (index: readonly Expr[]) =>
        select(isOver(before.step, index[1]), body(index), before.state(part, index)),
    );
  });
  const result = (shape: readonly Dim[], value: (index: readonly Expr[]) => Expr): Stage =>
    ctx.map(source.dtype, shape, (index) => cast(source.dtype, value(index)));
  const sequence = result(ctx.outputShape(0), (index) => {
    const [step, direction, entry] = isBatch ? [index[1], index[2], index[0]] : index;
    const unit = index[3];
    const turn = select(isBackward(direction), sub(lengthOf(entry), step), add(step, 1));
    const when = isOver?.(step, entry);
    return elementAt(states, [turn, 0, direction, entry, unit], when && { when, otherwise: 0 });
  });
  const last = Array.from({ length: parts.states }, (_, part) =>
    result(ctx.outputShape(1 + part), (index) => {
      const [direction, entry, unit] = isBatch ? [index[1], index[0], index[2]] : index;
      return elementAt(states, [steps, part, direction, entry, unit]);
    }),
  );
  return [sequence, ...last];
}

/** The projection with what is added to it whatever the state. */
function withBias(ctx: LowerRecurrent, frame: RecurrentFrame, projected: Stage, keepsHiddenBias: boolean): Stage {
  if (!ctx.hasInput(b)) return projected;
  const { type, gates, hidden, directions, steps, batch } = frame;
  const width = hidden.mul(gates);
  const both = ctx.map(
    type,
    [directions, width],
    ([direction, column]) => {
      const own = cast(type, ctx.at(b, [direction, column]));
      const recurrent = cast(type, ctx.at(b, [direction, add(dimension(width), column)]));
      const sum = add(own, recurrent);
      return keepsHiddenBias ? select(lt(column, dimension(hidden.mul(gates - 1))), sum, own) : sum;
    },
    'bias',
  );
  const bias = ctx.view(both, [width.mul(directions)]);
  return ctx.map(type, [steps, batch, width.mul(directions)], (index) =>
    add(elementAt(projected, index), elementAt(bias, [index[2]])),
  );
}

/** Weights of an input of shape [directions, gates · hidden, inner], as they are. */
function floatParts(ctx: LowerRecurrent): Pick<RecurrentParts, 'project' | 'product'> {
  return {
    project({ type, gates, directions, hidden, steps, batch, inputSize, x: element }) {
      const width = hidden.mul(gates * directions);
      const weight = ctx.view(ctx.input(w), [width, inputSize]);
      return ctx.reduce('sum', type, [steps, batch, width], [inputSize], ([step, entry, column], [k]) =>
        mul(element(step, entry, k), cast(type, elementAt(weight, [column, k]))),
      );
    },
    product({ type, directions, hidden, batch }, { state, builder }, gate, values) {
      return builder.reduce(
        'sum',
        type,
        [directions, batch, hidden],
        [hidden],
        ([direction, entry, unit], [k]) => {
          const factor = values ? elementAt(values, [direction, entry, k]) : state(0, [direction, entry, k]);
          return mul(factor, cast(type, ctx.at(r, [direction, add(dimension(hidden.mul(gate)), unit), k])));
        },
        { name: `gate ${gate}` },
      );
    },
  };
}

const hiddenOf = (ctx: LowerContext): Dim => ctx.shape(r)[2];

export const RNN = defineOperator({
  name: 'RNN',
  since: 1,
  attributes: recurrentAttributes,
  infer(ctx) {
    expectSameType(ctx, x, w, r, b);
    return inferRecurrent(ctx, 1, expectRank(ctx, r, 3)[2]).slice(0, 2);
  },
  lower: (ctx) =>
    lowerRecurrent(ctx, {
      ...floatParts(ctx),
      gates: 1,
      hidden: hiddenOf(ctx),
      fallback: ['Tanh'],
      states: 1,
      cell: rnnCell(ctx.attributes.clip),
    }),
});

export const GRU = defineOperator({
  name: 'GRU',
  since: 1,
  attributes: { ...recurrentAttributes, linear_before_reset: int(0) },
  infer(ctx) {
    expectSameType(ctx, x, w, r, b);
    return inferRecurrent(ctx, 3, expectRank(ctx, r, 3)[2]).slice(0, 2);
  },
  lower(ctx) {
    const hidden = hiddenOf(ctx);
    const type = computeType(ctx.dtype(x));
    const isLinearBeforeReset = ctx.attributes.linear_before_reset !== 0;
    // What the reset gate scales comes with its bias.
    const keepsHiddenBias = isLinearBeforeReset && ctx.hasInput(b);
    const hiddenBias = ([direction, , unit]: StateIndex): Expr =>
      cast(type, ctx.at(b, [direction, add(dimension(hidden.mul(5)), unit)]));
    return lowerRecurrent(ctx, {
      ...floatParts(ctx),
      gates: 3,
      hidden,
      fallback: ['Sigmoid', 'Tanh'],
      states: 1,
      cell: gruCell({
        clip: ctx.attributes.clip,
        isLinearBeforeReset,
        hiddenBias: keepsHiddenBias ? hiddenBias : undefined,
      }),
      keepsHiddenBias,
    });
  },
});

export const lstmAttributes = { ...recurrentAttributes, input_forget: int(0) };

/** What LSTM is made of, its weights aside. */
export function lstmParts(
  ctx: LowerRecurrent & { readonly attributes: { readonly input_forget: number } },
  hidden: Dim,
): Omit<RecurrentParts, 'project' | 'product'> {
  const type = computeType(ctx.dtype(x));
  const peephole = (which: number, [direction, , unit]: StateIndex): Expr =>
    cast(type, ctx.at(peepholes, [direction, add(dimension(hidden.mul(which)), toIndex(unit))]));
  return {
    gates: 4,
    hidden,
    fallback: ['Sigmoid', 'Tanh', 'Tanh'],
    states: 2,
    cell: lstmCell({
      clip: ctx.attributes.clip,
      isCoupled: ctx.attributes.input_forget !== 0,
      peephole: ctx.hasInput(peepholes) ? peephole : undefined,
    }),
  };
}

export const LSTM = defineOperator({
  name: 'LSTM',
  since: 1,
  attributes: lstmAttributes,
  infer(ctx) {
    expectSameType(ctx, x, w, r, b, peepholes);
    return inferRecurrent(ctx, 4, expectRank(ctx, r, 3)[2]);
  },
  lower: (ctx) => lowerRecurrent(ctx, { ...floatParts(ctx), ...lstmParts(ctx, hiddenOf(ctx)) }),
});
