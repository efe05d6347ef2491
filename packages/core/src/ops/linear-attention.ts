// LinearAttention: attention whose memory is one matrix per head, updated token by token. Evaluated on the host.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import type { Tensor } from '../session/tensor.ts';
import {
  defineOperator,
  derive,
  type EvaluateContext,
  float,
  int,
  type NodeContext,
  required,
  string,
} from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { numbersOf, tensorOfNumbers } from './host-elements.ts';

const [query, key, value, pastState, decay, beta] = [0, 1, 2, 3, 4, 5];

type LinearNode = NodeContext & {
  readonly attributes: {
    readonly kv_num_heads: number;
    readonly q_num_heads: number;
    readonly state_window: number;
    readonly update_rule: string;
  };
};

/** What a step does before k ⊗ v is added: `decays` scales the memory, `corrects` adds only what it gets wrong of v. */
function readRule(ctx: LinearNode): { readonly decays: boolean; readonly corrects: boolean } {
  const { update_rule: rule } = ctx.attributes;
  if (!['linear', 'gated', 'delta', 'gated_delta'].includes(rule)) {
    ctx.fail(`update_rule "${rule}" is not one of linear, gated, delta, gated_delta.`);
  }
  const [decays, corrects] = [rule.startsWith('gated'), rule.endsWith('delta')];
  if (decays && !ctx.hasInput(decay)) ctx.fail(`update_rule "${rule}" needs the input decay.`);
  if (corrects && !ctx.hasInput(beta)) ctx.fail(`update_rule "${rule}" needs the input beta.`);
  return { decays, corrects };
}

/** Sizes of [batch, time, heads · size] inputs. */
interface Sizes {
  readonly batch: number;
  readonly time: number;
  readonly queryHeads: number;
  readonly keyHeads: number;
  readonly heads: number;
  readonly keySize: number;
  readonly valueSize: number;
}

function sizesOf(ctx: EvaluateContext & LinearNode): Sizes {
  const { q_num_heads: queryHeads, kv_num_heads: heads } = ctx.attributes;
  const [batch, time, hidden] = ctx.tensor(query).dims;
  const keySize = hidden / queryHeads;
  const keyHeads = ctx.tensor(key).dims[2] / keySize;
  if (queryHeads % heads !== 0 && heads % queryHeads !== 0) {
    ctx.fail(`${queryHeads} query heads and ${heads} heads of the memory do not divide.`);
  }
  return { batch, time, queryHeads, keyHeads, heads, keySize, valueSize: ctx.tensor(value).dims[2] / heads };
}

/** The memory of one head, [key size, value size], and the steps it takes. */
export class Memory {
  readonly #cells: Float64Array;
  readonly #keySize: number;
  readonly #valueSize: number;

  constructor(cells: Float64Array, keySize: number, valueSize: number) {
    this.#cells = cells;
    this.#keySize = keySize;
    this.#valueSize = valueSize;
  }

  /** Scales row i by e^decay(i). */
  fade(decayOf: (row: number) => number): void {
    const width = this.#valueSize;
    for (let i = 0; i < this.#keySize; i++) {
      const factor = Math.exp(decayOf(i));
      for (let j = 0; j < width; j++) this.#cells[i * width + j] *= factor;
    }
  }

  /** out[j] = Σ over i of vector[at + i] · memory[i, j]. */
  read(vector: ArrayLike<number>, at: number, out: Float64Array): void {
    const width = this.#valueSize;
    out.fill(0);
    for (let i = 0; i < this.#keySize; i++) {
      const factor = vector[at + i];
      for (let j = 0; j < width; j++) out[j] += factor * this.#cells[i * width + j];
    }
  }

  /** memory[i, j] += keys[at + i] · values[j]. */
  write(keys: ArrayLike<number>, at: number, values: Float64Array): void {
    const width = this.#valueSize;
    for (let i = 0; i < this.#keySize; i++) {
      const factor = keys[at + i];
      for (let j = 0; j < width; j++) this.#cells[i * width + j] += factor * values[j];
    }
  }
}

function evaluateLinear(ctx: EvaluateContext & LinearNode, scale: number): readonly Tensor[] {
  const rule = readRule(ctx);
  const sizes = sizesOf(ctx);
  const { batch, time, queryHeads, keyHeads, heads, keySize, valueSize } = sizes;
  const [q, k, v] = [query, key, value].map((input) => numbersOf(ctx.tensor(input)));
  const past = ctx.optionalTensor(pastState);
  const { state_window: window } = ctx.attributes;
  const size = batch * heads * keySize * valueSize;
  const states = new Float64Array(size);
  // Of a window of states, the last one is that after the last token.
  if (past) states.set(Array.from(numbersOf(past)).slice(-size));
  const slots = new Float64Array(window * size);
  const decays = rule.decays ? numbersOf(ctx.tensor(decay)) : [];
  const betas = rule.corrects ? numbersOf(ctx.tensor(beta)) : [];
  const [decayWidth, betaWidth] = [decays.length / (batch * time), betas.length / (batch * time)];
  const resultHeads = Math.max(queryHeads, heads);
  const result = new Float64Array(batch * time * resultHeads * valueSize);
  const [update, answer] = [new Float64Array(valueSize), new Float64Array(valueSize)];
  const factor = scale || 1 / Math.sqrt(keySize);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      const from = (b * heads + head) * keySize * valueSize;
      const memory = new Memory(states.subarray(from, from + keySize * valueSize), keySize, valueSize);
      for (let t = 0; t < time; t++) {
        const token = b * time + t;
        const keyAt = (token * keyHeads + Math.floor((head * keyHeads) / heads)) * keySize;
        const valueAt = (token * heads + head) * valueSize;
        if (rule.decays) {
          const isPerHead = decayWidth === heads;
          memory.fade((row) => decays[token * decayWidth + (isPerHead ? head : head * keySize + row)]);
        }
        if (rule.corrects) memory.read(k, keyAt, update);
        const rate = rule.corrects ? betas[token * betaWidth + (betaWidth === 1 ? 0 : head)] : 1;
        for (let j = 0; j < valueSize; j++) {
          update[j] = rule.corrects ? rate * (v[valueAt + j] - update[j]) : v[valueAt + j];
        }
        memory.write(k, keyAt, update);
        const slot = window - time + t;
        if (slot >= 0) slots.set(states.subarray(from, from + keySize * valueSize), slot * size + from);
        // Several query heads may read one memory, or several memories answer one query head.
        const readers = Math.max(1, queryHeads / heads);
        for (let reader = 0; reader < readers; reader++) {
          const resultHead = head * readers + reader;
          const queryHead = queryHeads >= heads ? resultHead : Math.floor((head * queryHeads) / heads);
          memory.read(q, (token * queryHeads + queryHead) * keySize, answer);
          const to = (token * resultHeads + resultHead) * valueSize;
          for (let j = 0; j < valueSize; j++) result[to + j] = answer[j] * factor;
        }
      }
    }
  }
  const { type } = ctx.tensor(query);
  return [
    tensorOfNumbers(type, result, [batch, time, resultHeads * valueSize]),
    window > 0
      ? tensorOfNumbers(past?.type ?? type, slots, [window, batch, heads, keySize, valueSize])
      : tensorOfNumbers(past?.type ?? type, states, [batch, heads, keySize, valueSize]),
  ];
}

export const LinearAttention = defineOperator({
  name: 'LinearAttention',
  since: 27,
  attributes: {
    chunk_size: int(64),
    kv_num_heads: required(int()),
    q_num_heads: required(int()),
    scale: float(0),
    state_window: int(0),
    update_rule: string('gated_delta'),
  },
  infer(ctx) {
    const dtype = expectSameType(ctx, query, key, value, decay, beta);
    readRule(ctx);
    const { q_num_heads: queryHeads, kv_num_heads: heads, state_window: window } = ctx.attributes;
    if (window < 0 || window > 8) ctx.fail(`state_window must be within [0, 8], not ${window}.`);
    const [batch, time, hidden] = expectRank(ctx, query, 3);
    const [keyBatch, keyTime] = expectRank(ctx, key, 3);
    expectEqual(ctx, batch, keyBatch, 'the batch sizes of query and key');
    expectEqual(ctx, time, keyTime, 'the lengths of query and key');
    const valueSize = expectRank(ctx, value, 3)[2].floorDiv(heads);
    const slot = [batch, Dim.constant(heads), hidden.floorDiv(queryHeads), valueSize];
    const state = window > 0 ? [Dim.constant(window), ...slot] : slot;
    const stateType = ctx.hasInput(pastState) ? ctx.dtype(pastState) : dtype;
    return [tensorType(dtype, [batch, time, valueSize.mul(Math.max(queryHeads, heads))]), tensorType(stateType, state)];
  },
  evaluate: (ctx) => evaluateLinear(ctx, ctx.attributes.scale),
});

export const MicrosoftLinearAttention = derive(LinearAttention, { domain: 'com.microsoft', since: 1 });
