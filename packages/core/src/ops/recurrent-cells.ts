// The loops of RNN, GRU and LSTM on the host. A cell turns the products of one step into the next state; `runDirection`
// walks the sequence. Formulas are those of the operators' documentation.

import type { Activation } from './recurrent-activations.ts';

/** Products of row vectors with a weight: out[row, gate] = Σ x[row, k] · weight. */
export interface GateProduct {
  /** Entries of one result row. */
  readonly width: number;
  /** @param x rows of the input, one after another */
  apply(x: Float64Array, rows: number, out: Float64Array): void;
}

/** A weight stored as [width, inner], as ONNX's operators have it. */
export class FloatProduct implements GateProduct {
  readonly width: number;
  readonly #weight: ArrayLike<number>;
  readonly #start: number;
  readonly #inner: number;

  /** @param start where the matrix begins in `weight` */
  constructor(weight: ArrayLike<number>, start: number, width: number, inner: number) {
    this.#weight = weight;
    this.#start = start;
    this.width = width;
    this.#inner = inner;
  }

  apply(x: Float64Array, rows: number, out: Float64Array): void {
    const weight = this.#weight;
    const inner = this.#inner;
    for (let row = 0; row < rows; row++) {
      const from = row * inner;
      for (let gate = 0; gate < this.width; gate++) {
        const at = this.#start + gate * inner;
        let [a, b, c, d] = [0, 0, 0, 0];
        let k = 0;
        for (; k + 3 < inner; k += 4) {
          a += x[from + k] * weight[at + k];
          b += x[from + k + 1] * weight[at + k + 1];
          c += x[from + k + 2] * weight[at + k + 2];
          d += x[from + k + 3] * weight[at + k + 3];
        }
        for (; k < inner; k++) a += x[from + k] * weight[at + k];
        out[row * this.width + gate] = a + b + (c + d);
      }
    }
  }
}

/** One step of a cell, for one batch entry. Arrays hold several entries; `at…` say where this one's part begins. */
export interface Cell {
  readonly gates: number;
  /**
   * @param input X Wᵀ plus the input bias, all gates
   * @param state hidden and cell state; replaced by the next ones
   */
  step(
    input: Float64Array,
    atInput: number,
    recurrent: Float64Array,
    atRecurrent: number,
    state: State,
    at: number,
  ): void;
}

/** Hidden state of all batch entries, and the cell state for LSTM. */
export interface State {
  readonly hidden: Float64Array;
  readonly cell: Float64Array;
}

export interface CellOptions {
  readonly hiddenSize: number;
  readonly activations: readonly Activation[];
  /** Arguments of activations are brought into [−clip, clip]. */
  readonly clip: number;
  /** Recurrent bias, all gates. */
  readonly recurrentBias: ArrayLike<number>;
}

const clipped = (x: number, clip: number): number => Math.max(-clip, Math.min(clip, x));

export function rnnCell({ hiddenSize, activations: [f], clip, recurrentBias }: CellOptions): Cell {
  return {
    gates: 1,
    step(input, atInput, recurrent, atRecurrent, { hidden }, at) {
      for (let j = 0; j < hiddenSize; j++) {
        const sum = input[atInput + j] + recurrent[atRecurrent + j] + recurrentBias[j];
        hidden[at * hiddenSize + j] = f(clipped(sum, clip));
      }
    },
  };
}

export interface LstmOptions extends CellOptions {
  /** Peephole weights for input, output and forget gate; none when absent. */
  readonly peepholes: ArrayLike<number> | undefined;
  /** The forget gate is 1 − the input gate. */
  readonly coupled: boolean;
}

/** Gates in the order input, output, forget, cell. */
export function lstmCell(options: LstmOptions): Cell {
  const { hiddenSize, clip, recurrentBias, peepholes, coupled } = options;
  const [f, g, h] = options.activations;
  return {
    gates: 4,
    step(input, atInput, recurrent, atRecurrent, { hidden, cell }, at) {
      for (let j = 0; j < hiddenSize; j++) {
        const sum = (gate: number): number => {
          const k = gate * hiddenSize + j;
          return input[atInput + k] + recurrent[atRecurrent + k] + recurrentBias[k];
        };
        const peep = (part: number, state: number): number =>
          peepholes ? peepholes[part * hiddenSize + j] * state : 0;
        const before = cell[at * hiddenSize + j];
        const i = f(clipped(sum(0) + peep(0, before), clip));
        const forget = coupled ? 1 - i : f(clipped(sum(2) + peep(2, before), clip));
        const now = forget * before + i * g(clipped(sum(3), clip));
        const o = f(clipped(sum(1) + peep(1, now), clip));
        cell[at * hiddenSize + j] = now;
        hidden[at * hiddenSize + j] = o * h(now);
      }
    },
  };
}

export interface GruOptions extends CellOptions {
  /** The reset gate is applied after the product with the recurrent weight rather than to the hidden state. */
  readonly linearBeforeReset: boolean;
  /** Product with the recurrent weight of the hidden gate. */
  readonly hiddenProduct: GateProduct;
}

/** Gates in the order update, reset, hidden. */
export function gruCell(options: GruOptions): Cell {
  const { hiddenSize, clip, recurrentBias, linearBeforeReset, hiddenProduct } = options;
  const [f, g] = options.activations;
  const reset = new Float64Array(hiddenSize);
  const product = new Float64Array(hiddenSize);
  return {
    gates: 3,
    step(input, atInput, recurrent, atRecurrent, { hidden }, at) {
      const gate = (part: number, j: number): number => {
        const k = part * hiddenSize + j;
        return f(clipped(input[atInput + k] + recurrent[atRecurrent + k] + recurrentBias[k], clip));
      };
      const last = 2 * hiddenSize;
      for (let j = 0; j < hiddenSize; j++) {
        const r = gate(1, j);
        if (linearBeforeReset) product[j] = r * (recurrent[atRecurrent + last + j] + recurrentBias[last + j]);
        else reset[j] = r * hidden[at * hiddenSize + j];
      }
      if (!linearBeforeReset) {
        hiddenProduct.apply(reset, 1, product);
        for (let j = 0; j < hiddenSize; j++) product[j] += recurrentBias[last + j];
      }
      for (let j = 0; j < hiddenSize; j++) {
        const z = gate(0, j);
        const proposal = g(clipped(input[atInput + last + j] + product[j], clip));
        hidden[at * hiddenSize + j] = (1 - z) * proposal + z * hidden[at * hiddenSize + j];
      }
    },
  };
}

export interface Walk {
  readonly steps: number;
  readonly batch: number;
  readonly hiddenSize: number;
  /** Steps of each sequence; the ones after it give zeros and leave the state alone. */
  readonly lengths: ArrayLike<number>;
  readonly isReverse: boolean;
  /** X Wᵀ plus the input bias: [step, batch, gates · hidden]. */
  readonly input: Float64Array;
  readonly recurrent: GateProduct;
  readonly cell: Cell;
  readonly state: State;
  /** Called after each step of each sequence. */
  readonly emit: (step: number, batch: number, hidden: Float64Array, from: number) => void;
}

/** Runs one direction over the whole sequence. Each sequence is reversed within its own length. */
export function runDirection(walk: Walk): void {
  const { steps, batch, hiddenSize, lengths, isReverse, input, recurrent, cell, state, emit } = walk;
  const width = cell.gates * hiddenSize;
  const product = new Float64Array(batch * width);
  for (let turn = 0; turn < steps; turn++) {
    recurrent.apply(state.hidden, batch, product);
    for (let b = 0; b < batch; b++) {
      if (turn >= lengths[b]) continue;
      const step = isReverse ? lengths[b] - 1 - turn : turn;
      cell.step(input, (step * batch + b) * width, product, b * width, state, b);
      emit(step, b, state.hidden, b * hiddenSize);
    }
  }
}
