// Cells of RNN, GRU and LSTM: from a state to the next one. Formulas are those of the operators' documentation.

import { add, type Expr, elementAt, mul, type RecurrenceStep, type Stage } from '@onnx-ts/tensor-ir';
import { clipped, complement } from './recurrent-activations.ts';

/** Position of an element of a state: direction, batch entry, unit. */
export type StateIndex = readonly Expr[];

/** One step of a recurrence, as the cells see it. */
export interface CellStep extends RecurrenceStep {
  /** X Wᵀ plus the biases, as far as nothing but them is added to it. */
  input(gate: number, index: StateIndex): Expr;
  /** Σ over the hidden units of values and the recurrent weights of a gate; values are the hidden state when absent. */
  product(gate: number, values?: Stage): Stage;
  /** A map over the elements of a state. */
  map(name: string, body: (index: StateIndex) => Expr): Stage;
  activation(which: number, x: Expr, index: StateIndex): Expr;
}

/** The next state, part by part; the hidden state is the first. */
export type NextState = readonly ((index: StateIndex) => Expr)[];

export type Cell = (step: CellStep) => NextState;

export function rnnCell(clip: number | undefined): Cell {
  return (step) => {
    const product = step.product(0);
    return [(index) => step.activation(0, clipped(add(step.input(0, index), elementAt(product, index)), clip), index)];
  };
}

export interface LstmOptions {
  readonly clip: number | undefined;
  /** Weights that carry the cell state to the input (0), output (1) and forget gate (2); none when absent. */
  readonly peephole: ((which: number, index: StateIndex) => Expr) | undefined;
  /** The forget gate is 1 − the input gate. */
  readonly isCoupled: boolean;
}

/** Gates in the order input, output, forget, cell. */
export function lstmCell({ clip, peephole, isCoupled }: LstmOptions): Cell {
  return (step) => {
    const [input, output, cell] = [step.product(0), step.product(1), step.product(3)];
    const forget = isCoupled ? undefined : step.product(2);
    /** @param peeped the cell state that a gate sees, with the number of its weight */
    const gate = (which: number, product: Stage, index: StateIndex, peeped?: readonly [number, Expr]): Expr => {
      let sum = add(step.input(which, index), elementAt(product, index));
      if (peephole && peeped) sum = add(sum, mul(peephole(peeped[0], index), peeped[1]));
      return clipped(sum, clip);
    };
    const i = step.map('input gate', (index) =>
      step.activation(0, gate(0, input, index, [0, step.state(1, index)]), index),
    );
    const f =
      forget &&
      step.map('forget gate', (index) => step.activation(0, gate(2, forget, index, [2, step.state(1, index)]), index));
    const proposal = step.map('proposal', (index) => step.activation(1, gate(3, cell, index), index));
    const now = step.map('cell', (index) => {
      const kept = f ? elementAt(f, index) : complement(elementAt(i, index));
      return add(mul(kept, step.state(1, index)), mul(elementAt(i, index), elementAt(proposal, index)));
    });
    const o = step.map('output gate', (index) =>
      step.activation(0, gate(1, output, index, [1, elementAt(now, index)]), index),
    );
    return [
      (index) => mul(elementAt(o, index), step.activation(2, elementAt(now, index), index)),
      (index) => elementAt(now, index),
    ];
  };
}

export interface GruOptions {
  readonly clip: number | undefined;
  /** The reset gate is applied after the product with the recurrent weight rather than to the hidden state. */
  readonly isLinearBeforeReset: boolean;
  /** Recurrent bias of the hidden gate, when it is not a part of the input. */
  readonly hiddenBias: ((index: StateIndex) => Expr) | undefined;
}

/** Gates in the order update, reset, hidden. */
export function gruCell({ clip, isLinearBeforeReset, hiddenBias }: GruOptions): Cell {
  return (step) => {
    const gate = (name: string, which: number, product: Stage): Stage =>
      step.map(name, (index) =>
        step.activation(0, clipped(add(step.input(which, index), elementAt(product, index)), clip), index),
      );
    const update = gate('update gate', 0, step.product(0));
    const reset = gate('reset gate', 1, step.product(1));
    let hidden: (index: StateIndex) => Expr;
    if (isLinearBeforeReset) {
      const product = step.product(2);
      hidden = (index) => {
        const sum = elementAt(product, index);
        return mul(elementAt(reset, index), hiddenBias ? add(sum, hiddenBias(index)) : sum);
      };
    } else {
      const kept = step.map('reset', (index) => mul(elementAt(reset, index), step.state(0, index)));
      const product = step.product(2, kept);
      hidden = (index) => elementAt(product, index);
    }
    const proposal = step.map('proposal', (index) =>
      step.activation(1, clipped(add(step.input(2, index), hidden(index)), clip), index),
    );
    return [
      (index) => {
        const z = elementAt(update, index);
        return add(mul(complement(z), elementAt(proposal, index)), mul(z, step.state(0, index)));
      },
    ];
  };
}
