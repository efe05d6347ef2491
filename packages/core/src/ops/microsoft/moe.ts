// com.microsoft MoE and QMoE: every token goes through the few experts that a router picks for it. Only the rows of these
// experts' weights are read.

import {
  add,
  boundedIndex,
  cast,
  constant,
  type DType,
  div,
  type Expr,
  mod,
  mul,
  type Source,
  type Stage,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { codeOfDType } from '../../onnx/import-tensor.ts';
import { computeType } from '../compute-type.ts';
import {
  defineOperator,
  type ExpandContext,
  float,
  int,
  type LowerContext,
  type NodeContext,
  string,
} from '../define.ts';
import { expectEqual, expectRank } from '../expect.ts';
import { likeInput } from '../pointwise.ts';
import { unpack } from './matmul-nbits.ts';

const domain = 'com.microsoft';
/** Of operators that only expansions write. */
const ownDomain = 'onnx-ts';

const [xInput, weight, chosen, biasInput, scales, zeroPoints] = [0, 1, 2, 3, 4, 5];

type ExpertNode = NodeContext & { readonly attributes: { readonly bits: number; readonly block_size: number } };

/** Sizes of x [tokens, features] or [tokens, picks, features], and of a weight [experts, outputs, features / values in a byte]. */
function expertSizes(ctx: ExpertNode) {
  const { bits } = ctx.attributes;
  if (![0, 2, 4, 8].includes(bits)) ctx.fail(`weights of ${bits} bits are not supported.`, 'Use 2, 4 or 8.');
  const x = expectRank(ctx, xInput, 2, 3);
  const [experts, outputs, stored] = expectRank(ctx, weight, 3);
  const [tokens, picks] = expectRank(ctx, chosen, 2);
  const features = x[x.length - 1];
  const fields = bits === 0 ? 1 : 8 / bits;
  expectEqual(ctx, features, stored.mul(fields), 'the features of the input and of the weights of the experts');
  return { experts, outputs, features, tokens, picks, stored, fields };
}

/** An entry of scales or zero points: [experts, outputs] or [experts, outputs, blocks]. */
function perBlock(ctx: LowerContext & ExpertNode, source: Source, e: Expr, o: Expr, k: Expr): Expr {
  if (source.shape.length === 2) return ctx.at(source, [e, o]);
  return ctx.at(source, [e, o, div(k, ctx.attributes.block_size)]);
}

/** The zero point of a weight: the middle of the range unless given, packed like the weights. */
function zeroPoint(ctx: LowerContext & ExpertNode, wide: DType, e: Expr, o: Expr, k: Expr): Expr {
  const { bits, block_size } = ctx.attributes;
  if (!ctx.hasInput(zeroPoints)) return constant(wide, 1 << (bits - 1));
  const source = ctx.input(zeroPoints);
  const fields = 8 / bits;
  if (source.shape.length === 2) {
    return cast(wide, unpack(ctx.at(source, [e, div(o, fields)]), bits, mod(o, fields)));
  }
  const block = div(k, block_size);
  return cast(wide, unpack(ctx.at(source, [e, o, div(block, fields)]), bits, mod(block, fields)));
}

/** y[t, j, o] = Σ over k of x[t, (j,) k] · weight[chosen[t, j], o, k], plus bias[chosen[t, j], o]. `bits` 0: no integers. */
export const ExpertProduct = defineOperator({
  domain: ownDomain,
  name: 'ExpertProduct',
  since: 1,
  attributes: { bits: int(0), block_size: int(0) },
  infer(ctx) {
    const { tokens, picks, outputs } = expertSizes(ctx);
    return [tensorType(ctx.dtype(xInput), [tokens, picks, outputs])];
  },
  lower(ctx): Stage {
    const { experts, tokens, picks, outputs, stored, fields } = expertSizes(ctx);
    const { bits } = ctx.attributes;
    const [x, w] = [ctx.input(xInput), ctx.input(weight)];
    const { dtype } = x;
    const wide = computeType(dtype);
    const expert = (t: Expr, j: Expr): Expr => boundedIndex(toIndex(ctx.at(chosen, [t, j])), experts);
    const shape = [tokens, picks, outputs];
    const sum = ctx.reduce('sum', wide, shape, [stored, fields], ([t, j, o], [byte, field]) => {
      const e = expert(t, j);
      const k = fields === 1 ? byte : add(mul(byte, fields), field);
      const value = cast(wide, ctx.at(x, x.shape.length === 2 ? [t, k] : [t, j, k]));
      const raw = ctx.at(w, [e, o, byte]);
      if (bits === 0) return mul(value, cast(wide, raw));
      const centred = sub(cast(wide, unpack(raw, bits, field)), zeroPoint(ctx, wide, e, o, k));
      return mul(value, mul(centred, cast(wide, perBlock(ctx, ctx.input(scales), e, o, k))));
    });
    return ctx.map(dtype, shape, ([t, j, o]) => {
      const value = ctx.at(sum, [t, j, o]);
      if (!ctx.hasInput(biasInput)) return cast(dtype, value);
      return cast(dtype, add(value, cast(wide, ctx.at(biasInput, [expert(t, j), o]))));
    });
  },
});

const attributes = {
  activation_alpha: float(1),
  activation_beta: float(0),
  activation_type: string('relu'),
  k: int(1),
  normalize_routing_weights: int(0),
  swiglu_fusion: int(0),
  swiglu_limit: float(),
  use_sparse_mixer: int(0),
};

interface Routing {
  readonly k: number;
  readonly normalize_routing_weights: number;
}

interface Activation {
  readonly activation_alpha: number;
  readonly activation_beta: number;
  readonly activation_type: string;
  readonly swiglu_fusion: number;
  readonly swiglu_limit: number | undefined;
  readonly use_sparse_mixer: number;
}

type MixtureContext = ExpandContext & { readonly attributes: Routing & Activation };

function checkMixture(ctx: NodeContext & { readonly attributes: Routing & Activation }): void {
  const { activation_type: kind, use_sparse_mixer, k } = ctx.attributes;
  const known = ['relu', 'gelu', 'silu', 'swiglu', 'identity'];
  if (!known.includes(kind)) ctx.fail(`activation_type "${kind}" is not one of ${known.join(', ')}.`);
  if (use_sparse_mixer) ctx.fail('use_sparse_mixer is not supported.');
  expectRank(ctx, 0, 2, 3);
  const experts = expectRank(ctx, 1, 2)[1].constant;
  if (k < 1 || (experts !== undefined && k > experts)) ctx.fail(`${k} of ${experts} experts cannot be picked.`);
}

/** The experts of each token [tokens, k] and what each of them counts. */
function route(ctx: MixtureContext, mixing: Value | undefined): { readonly experts: Value; readonly shares: Value } {
  const { k, normalize_routing_weights } = ctx.attributes;
  const to = codeOfDType('float32');
  const probabilities = ctx.op('Softmax', [ctx.op('Cast', [ctx.value(1)], { to })], { axis: 1 });
  const [top, experts] = ctx.ops('TopK', [probabilities, ctx.literal('int64', [k])], 2, { axis: 1 });
  const own = mixing && ctx.op('GatherElements', [ctx.op('Cast', [mixing], { to }), experts], { axis: 1 });
  const shares = own ?? top;
  if (!normalize_routing_weights) return { experts, shares };
  const total = ctx.op('ReduceSum', [shares, ctx.literal('int64', [1])], { keepdims: 1 });
  return { experts, shares: ctx.op('Div', [shares, total]) };
}

/** activation(first), times `linear` when there is one. SwiGLU: G · sigmoid(α G) · (L + β), G and L clamped to the limit. */
function activated(ctx: MixtureContext, first: Value, linear: Value | undefined): Value {
  const { activation_alpha, activation_beta, activation_type, swiglu_fusion, swiglu_limit } = ctx.attributes;
  const { dtype } = ctx.typeOf(first);
  const number = (value: number): Value => ctx.literal(dtype, value);
  if (activation_type !== 'swiglu') {
    const result = simpleActivation(ctx, first, activation_type);
    return linear ? ctx.op('Mul', [result, linear]) : result;
  }
  let [gate, value] = linear ? [first, linear] : splitPair(ctx, first, swiglu_fusion === 1);
  if (swiglu_limit !== undefined && Number.isFinite(swiglu_limit)) {
    gate = ctx.op('Min', [gate, number(swiglu_limit)]);
    value = ctx.op('Clip', [value, number(-swiglu_limit), number(swiglu_limit)]);
  }
  const swish = ctx.op('Mul', [gate, ctx.op('Sigmoid', [ctx.op('Mul', [gate, number(activation_alpha)])])]);
  return ctx.op('Mul', [swish, ctx.op('Add', [value, number(activation_beta)])]);
}

function simpleActivation(ctx: ExpandContext, x: Value, kind: string): Value {
  switch (kind) {
    case 'relu':
      return ctx.op('Relu', [x]);
    case 'gelu':
      return ctx.op('Gelu', [x], { approximate: 'tanh' });
    case 'silu':
      return ctx.op('Mul', [x, ctx.op('Sigmoid', [x])]);
    default:
      return x;
  }
}

/** Two tensors from one: every second feature, or the two halves. */
function splitPair(ctx: ExpandContext, x: Value, isInterleaved: boolean): [Value, Value] {
  const list = (value: number): Value => ctx.literal('int64', [value]);
  if (!isInterleaved) {
    const [a, b] = ctx.ops('Split', [x], 2, { axis: 2, num_outputs: 2 });
    return [a, b];
  }
  const every = (start: number): Value => ctx.op('Slice', [x, list(start), list(2 ** 31), list(2), list(2)]);
  return [every(0), every(1)];
}

/** Products of the layers of all picked experts. */
type Layer = (x: Value, experts: Value) => Value;

/** A layer that no mixture goes without. */
function present(ctx: MixtureContext, layer: Layer | undefined, input: number): Layer {
  return layer ?? ctx.fail(`input ${input}, the weights of a layer, is missing.`);
}

function mixture(
  ctx: MixtureContext,
  mixing: Value | undefined,
  first: Layer,
  second: Layer,
  third: Layer | undefined,
): Value {
  const hidden = ctx.shape(0)[ctx.rank(0) - 1];
  const x = ctx.value(0)!;
  const width =
    hidden.constant === undefined ? ctx.op('Shape', [x], { start: -1 }) : ctx.literal('int64', [hidden.constant]);
  const rows = ctx.op('Concat', [ctx.literal('int64', [-1]), width], { axis: 0 });
  const tokens = ctx.op('Reshape', [x, rows]);
  const { experts, shares } = route(ctx, mixing);
  const inner = activated(ctx, first(tokens, experts), third?.(tokens, experts));
  const results = ctx.op('Cast', [second(inner, experts)], { to: codeOfDType('float32') });
  const weighted = ctx.op('Mul', [results, ctx.op('Unsqueeze', [shares, ctx.literal('int64', [2])])]);
  const sum = ctx.op('ReduceSum', [weighted, ctx.literal('int64', [1])], { keepdims: 0 });
  return ctx.op('Reshape', [ctx.op('Cast', [sum], { to: codeOfDType(ctx.dtype(0)) }), ctx.op('Shape', [x])]);
}

/** Inputs: x, router logits, weights and biases of the layers 1, 2 and, beside the first, 3. */
export const MoE = defineOperator({
  domain,
  name: 'MoE',
  since: 1,
  attributes,
  infer(ctx) {
    checkMixture(ctx);
    return [likeInput(ctx, 0)];
  },
  expand(ctx) {
    const layer = (first: number): Layer | undefined => {
      const [w, bias] = [ctx.value(first), ctx.value(first + 1)];
      if (!w) return undefined;
      return (x, experts) => ctx.op('ExpertProduct', [x, w, experts, bias], {}, { domain: ownDomain });
    };
    return mixture(ctx, undefined, present(ctx, layer(2), 2), present(ctx, layer(4), 4), layer(6));
  },
});

/** MoE with weights of 2, 4 or 8 bits, scaled by rows or by blocks of them. */
export const QMoE = defineOperator({
  domain,
  name: 'QMoE',
  since: 1,
  attributes: {
    ...attributes,
    accuracy_level: int(0),
    block_size: int(0),
    expert_weight_bits: int(4),
    quant_type: string('int'),
    weights_prepacked: int(-1),
  },
  infer(ctx) {
    checkMixture(ctx);
    const { quant_type, weights_prepacked } = ctx.attributes;
    if (quant_type !== 'int')
      ctx.fail(`quant_type "${quant_type}" is not supported.`, 'Use integers of 2, 4 or 8 bits.');
    if (weights_prepacked === 1) ctx.fail('prepacked weights belong to one kernel of onnxruntime.');
    return [likeInput(ctx, 0)];
  },
  expand(ctx) {
    const { expert_weight_bits: bits, block_size } = ctx.attributes;
    const layer = (first: number, zero: number): Layer | undefined => {
      const [w, scale, bias] = [0, 1, 2].map((at) => ctx.value(first + at));
      if (!w) return undefined;
      const rest = [bias, scale, ctx.value(zero)];
      return (x, experts) =>
        ctx.op('ExpertProduct', [x, w, experts, ...rest], { bits, block_size }, { domain: ownDomain });
    };
    const [first, second] = [present(ctx, layer(2, 11), 2), present(ctx, layer(5, 12), 5)];
    return mixture(ctx, ctx.value(14), first, second, layer(8, 13));
  },
});
