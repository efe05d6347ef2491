// com.microsoft recurrences over packed sequences [tokens, …], each from `cumulative[i]` to `cumulative[i + 1]`: a causal
// convolution and a gated delta rule. Evaluated on the host.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { checkActivation } from '../causal-conv.ts';
import { defineOperator, type EvaluateContext, float, int, string } from '../define.ts';
import { expectEqual, expectRank, expectSameType } from '../expect.ts';
import { numbersOf, tensorOfNumbers } from '../host-elements.ts';
import { Memory } from '../linear-attention.ts';

const domain = 'com.microsoft';

/** First token and number of tokens of each sequence. */
function sequencesOf(ctx: EvaluateContext, input: number, tokens: number): readonly (readonly [number, number])[] {
  const ends = Array.from(numbersOf(ctx.tensor(input)));
  const sequences = ends.slice(1).map((end, at): [number, number] => [ends[at], end - ends[at]]);
  if (ends[0] !== 0 || ends[ends.length - 1] !== tokens || sequences.some(([, length]) => length < 0)) {
    ctx.fail(`[${ends.join(', ')}] does not cut ${tokens} tokens into sequences.`);
  }
  return sequences;
}

/** How many of a sequence's first tokens are to be captured. */
function captured(ctx: EvaluateContext, input: number, sequence: number, most: number): number {
  const wanted = ctx.optionalTensor(input);
  return wanted ? Math.min(Math.max(numbersOf(wanted)[sequence], 0), most) : 0;
}

/**
 * Inputs: tokens [tokens, channels]; weight [channels, 1, taps]; running counts; bias; state [batch, channels, (taps − 1) ·
 * dilation]; counts to capture. Outputs: the result, the new state, captured tokens [batch, capacity, channels].
 */
export const VarlenCausalConvWithState = defineOperator({
  domain,
  name: 'VarlenCausalConvWithState',
  since: 1,
  attributes: { activation: string('none'), dilation: int(1), state_update_capacity: int(0) },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 3, 4);
    checkActivation(ctx, ctx.attributes.activation);
    const [tokens, channels] = expectRank(ctx, 0, 2);
    const [filters, , taps] = expectRank(ctx, 1, 3);
    expectEqual(ctx, channels, filters, 'the channels of input and weight');
    const state = expectRank(ctx, 4, 3);
    expectEqual(
      ctx,
      state[2],
      taps.sub(1).mul(ctx.attributes.dilation),
      'the length of the state and what the weight needs',
    );
    const capacity = Dim.constant(ctx.attributes.state_update_capacity);
    return [
      tensorType(dtype, [tokens, channels]),
      tensorType(dtype, state),
      tensorType(dtype, [state[0], capacity, channels]),
    ];
  },
  evaluate(ctx) {
    const { activation, dilation, state_update_capacity: capacity } = ctx.attributes;
    const [input, weights, state] = [ctx.tensor(0), ctx.tensor(1), ctx.tensor(4)];
    const [x, w, past] = [input, weights, state].map(numbersOf);
    const biasTensor = ctx.optionalTensor(3);
    const bias = biasTensor && numbersOf(biasTensor);
    const [tokens, channels] = input.dims;
    const [batch, , before] = state.dims;
    const taps = weights.dims[2];
    const result = new Float64Array(tokens * channels);
    const present = new Float64Array(batch * channels * before);
    const updates = new Float64Array(batch * capacity * channels);
    for (const [b, [start, length]] of sequencesOf(ctx, 2, tokens).entries()) {
      /** Position −1 is the newest entry of the state. */
      const at = (t: number, c: number): number =>
        t >= 0 ? x[(start + t) * channels + c] : past[(b * channels + c) * before + before + t];
      for (let c = 0; c < channels; c++) {
        for (let t = 0; t < length; t++) {
          let sum = bias ? bias[c] : 0;
          for (let j = 0; j < taps; j++) sum += at(t - (taps - 1 - j) * dilation, c) * w[c * taps + j];
          const isActive = activation === 'silu' || activation === 'swish';
          result[(start + t) * channels + c] = isActive ? sum / (1 + Math.exp(-sum)) : sum;
        }
        for (let s = 0; s < before; s++) present[(b * channels + c) * before + s] = at(length - before + s, c);
        const count = captured(ctx, 5, b, Math.min(capacity, length));
        for (let t = 0; t < count; t++) updates[(b * capacity + t) * channels + c] = at(t, c);
      }
    }
    return [
      tensorOfNumbers(input.type, result, input.dims),
      tensorOfNumbers(input.type, present, state.dims),
      tensorOfNumbers(input.type, updates, [batch, capacity, channels]),
    ];
  },
});

const [query, key, value, cumulative, decayInput, betaInput, initialState, aLog, dtBias] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/**
 * S ← e^g S + k (β (v − e^g Sᵀ k))ᵀ, o = scale · Sᵀ q for every head of the values, which may share those of queries and keys.
 * States are [batch, heads, value size, key size] in float32. Tokens are [tokens, heads, size] or [batch, sequence, heads, size].
 */
export const GatedDeltaNet = defineOperator({
  domain,
  name: 'GatedDeltaNet',
  since: 1,
  attributes: {
    beta_activation: string('none'),
    chunk_size: int(64),
    gate_activation: string('none'),
    qk_l2_norm: int(0),
    scale: float(0),
    state_update_capacity: int(0),
    update_rule: string('gated_delta'),
  },
  infer(ctx) {
    const { update_rule: rule, state_update_capacity, gate_activation, beta_activation } = ctx.attributes;
    if (!['linear', 'gated', 'delta', 'gated_delta'].includes(rule)) {
      ctx.fail(`update_rule "${rule}" is not one of linear, gated, delta, gated_delta.`);
    }
    if (gate_activation !== 'none' && gate_activation !== 'qwen')
      ctx.fail(`gate_activation "${gate_activation}" is not known.`);
    if (beta_activation !== 'none' && beta_activation !== 'sigmoid')
      ctx.fail(`beta_activation "${beta_activation}" is not known.`);
    if (state_update_capacity)
      ctx.fail('state_update_capacity is not supported.', 'Keep the states of all steps instead.');
    if (!ctx.hasInput(cumulative) && !ctx.hasInput(initialState)) ctx.fail('it needs cu_seqlens or initial_state.');
    const dtype = expectSameType(ctx, query, key, value);
    const q = expectRank(ctx, query, 3, 4);
    const v = expectRank(ctx, value, q.length);
    const batch = ctx.hasInput(initialState) ? expectRank(ctx, initialState, 4)[0] : ctx.shape(cumulative)[0].sub(1);
    const state = [batch, v[v.length - 2], v[v.length - 1], q[q.length - 1]];
    return [tensorType(dtype, v), tensorType('float32', state)];
  },
  evaluate(ctx) {
    const { update_rule: rule, scale, qk_l2_norm, gate_activation, beta_activation } = ctx.attributes;
    const [decays, corrects] = [rule.startsWith('gated'), rule.endsWith('delta')];
    const [keySize, valueSize] = [ctx.tensor(query), ctx.tensor(value)].map(({ dims }) => dims[dims.length - 1]);
    const [keyHeads, heads] = [ctx.tensor(query), ctx.tensor(value)].map(({ dims }) => dims[dims.length - 2]);
    const tokens = ctx.tensor(value).size / (heads * valueSize);
    const numbers = (input: number): Float64Array | undefined => {
      const tensor = ctx.optionalTensor(input);
      return tensor && Float64Array.from(numbersOf(tensor));
    };
    const [q, k, v] = [query, key, value].map((input) => numbers(input)!);
    if (qk_l2_norm) for (const list of [q, k]) normalise(list, keySize);
    const [decay, beta, past, logA, bias] = [decayInput, betaInput, initialState, aLog, dtBias].map(numbers);
    if ((decays && !decay) || (corrects && !beta)) ctx.fail(`update_rule "${rule}" needs the inputs decay and beta.`);
    const batch = ctx.hasInput(cumulative) ? ctx.tensor(cumulative).size - 1 : ctx.tensor(initialState).dims[0];
    const sequences = ctx.hasInput(cumulative)
      ? sequencesOf(ctx, cumulative, tokens)
      : Array.from({ length: batch }, (_, b) => [(b * tokens) / batch, tokens / batch] as const);
    const factor = scale || 1 / Math.sqrt(keySize);
    const isPerKey = decay !== undefined && decay.length === tokens * heads * keySize;
    const result = new Float64Array(tokens * heads * valueSize);
    const states = new Float64Array(batch * heads * valueSize * keySize);
    const [update, answer] = [new Float64Array(valueSize), new Float64Array(valueSize)];
    for (const [b, [start, length]] of sequences.entries()) {
      for (let head = 0; head < heads; head++) {
        const at = (b * heads + head) * valueSize * keySize;
        const cells = transposed(past ?? new Float64Array(states.length), at, valueSize, keySize);
        const memory = new Memory(cells, keySize, valueSize);
        for (let token = start; token < start + length; token++) {
          const gate = (row: number): number => {
            const raw = decay![isPerKey ? (token * heads + head) * keySize + row : token * heads + head];
            if (gate_activation === 'none') return raw;
            return -Math.exp(logA?.[head] ?? 0) * softplus(raw + (bias?.[head] ?? 0));
          };
          if (decays) memory.fade(gate);
          const shared = (token * keyHeads + Math.floor((head * keyHeads) / heads)) * keySize;
          const rawRate = corrects ? beta![token * heads + head] : 1;
          const rate = corrects && beta_activation === 'sigmoid' ? 1 / (1 + Math.exp(-rawRate)) : rawRate;
          if (corrects) memory.read(k, shared, update);
          const own = (token * heads + head) * valueSize;
          for (let j = 0; j < valueSize; j++) update[j] = corrects ? rate * (v[own + j] - update[j]) : v[own + j];
          memory.write(k, shared, update);
          memory.read(q, shared, answer);
          for (let j = 0; j < valueSize; j++) result[own + j] = answer[j] * factor;
        }
        states.set(transposed(cells, 0, keySize, valueSize), at);
      }
    }
    const { type, dims } = ctx.tensor(value);
    return [
      tensorOfNumbers(type, result, dims),
      tensorOfNumbers('float32', states, [batch, heads, valueSize, keySize]),
    ];
  },
});

/** Divides every vector of `size` numbers by its length. */
function normalise(values: Float64Array, size: number): void {
  for (let first = 0; first < values.length; first += size) {
    const vector = values.subarray(first, first + size);
    const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0) + 1e-6);
    vector.forEach((x, at) => {
      vector[at] = x / length;
    });
  }
}

/** The matrix [rows, columns] at a position, as [columns, rows]. */
function transposed(values: ArrayLike<number>, at: number, rows: number, columns: number): Float64Array {
  const result = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[at + row * columns + column];
  }
  return result;
}
