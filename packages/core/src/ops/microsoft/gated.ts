// com.microsoft operators that scale a tensor by a gate computed beside it, made of ONNX's own: parts of recurrent language
// models. Steps that decide a gate are computed in float32.

import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { codeOfDType } from '../../onnx/import-tensor.ts';
import { defineOperator, type ExpandContext, float, int, required } from '../define.ts';
import { expectEqual, expectFloat, expectRank, expectSameType } from '../expect.ts';
import { likeInput } from '../pointwise.ts';

const domain = 'com.microsoft';

const inFloat32 = (ctx: ExpandContext, x: Value): Value => ctx.op('Cast', [x], { to: codeOfDType('float32') });
const inTypeOf = (ctx: ExpandContext, x: Value, input: number): Value =>
  ctx.op('Cast', [x], { to: codeOfDType(ctx.dtype(input)) });

/** X + Y · gate, the gate one number for each row. */
export const GatedAdd = defineOperator({
  domain,
  name: 'GatedAdd',
  since: 1,
  infer(ctx) {
    expectSameType(ctx, 0, 1, 2);
    return [likeInput(ctx, 0)];
  },
  expand: (ctx) => ctx.op('Add', [ctx.value(0), ctx.op('Mul', [ctx.value(1), ctx.value(2)])]),
});

/** X / √(mean X² + ε) · scale · gate · sigmoid(gate), the mean over as many elements as `scale` has. */
export const GatedRMSNorm = defineOperator({
  domain,
  name: 'GatedRMSNorm',
  since: 1,
  attributes: { epsilon: float(1e-5) },
  infer(ctx) {
    expectSameType(ctx, 0, 1, 2);
    expectRank(ctx, 1, 1);
    return [likeInput(ctx, 0, expectFloat(ctx, 0))];
  },
  expand(ctx) {
    const [x, gate] = [inFloat32(ctx, ctx.value(0)!), inFloat32(ctx, ctx.value(2)!)];
    const scale = inFloat32(ctx, ctx.value(1)!);
    const groups = ctx.op('Concat', [ctx.literal('int64', [-1]), ctx.op('Shape', [scale])], { axis: 0 });
    const epsilon = { float: ctx.attributes.epsilon };
    const normal = ctx.op('RMSNormalization', [ctx.op('Reshape', [x, groups]), scale], { axis: -1, epsilon });
    const swish = ctx.op('Mul', [gate, ctx.op('Sigmoid', [gate])]);
    const result = ctx.op('Mul', [ctx.op('Reshape', [normal, ctx.op('Shape', [x])]), swish]);
    return inTypeOf(ctx, result, 0);
  },
});

/** decay_scale · softplus(a + dt_bias), and sigmoid(b): what a gated delta rule takes. */
export const LinearAttentionGate = defineOperator({
  domain,
  name: 'LinearAttentionGate',
  since: 1,
  infer(ctx) {
    expectSameType(ctx, 0, 3);
    if (ctx.hasOutput(1) && !ctx.hasInput(3)) ctx.fail('the output beta needs the input b.');
    return [likeInput(ctx, 0), ctx.hasInput(3) ? likeInput(ctx, 3) : undefined];
  },
  expand(ctx) {
    const sum = ctx.op('Add', [inFloat32(ctx, ctx.value(0)!), ctx.value(1)]);
    const decay = ctx.op('Mul', [ctx.op('Softplus', [sum]), ctx.value(2)]);
    const b = ctx.value(3);
    const beta = b && ctx.hasOutput(1) ? inTypeOf(ctx, ctx.op('Sigmoid', [inFloat32(ctx, b)]), 0) : undefined;
    return [inTypeOf(ctx, decay, 0), beta];
  },
});

/**
 * gate · value with gate = sigmoid(sign(d) √max(|d|, 10⁻⁶)) and d = Σ RMSNorm(key) RMSNorm(query) / √hidden; key and query
 * are [batch, sequence, connections, hidden], the value [batch, sequence, hidden] is shared by all connections.
 */
export const EngramGate = defineOperator({
  domain,
  name: 'EngramGate',
  since: 1,
  attributes: { epsilon: float(1e-5) },
  infer(ctx) {
    expectSameType(ctx, 0, 1, 2, 3, 4, 5);
    const [key, query] = [expectRank(ctx, 0, 4), expectRank(ctx, 1, 4)];
    key.forEach((size, axis) => {
      expectEqual(ctx, size, query[axis], `axis ${axis} of key and query`);
    });
    expectRank(ctx, 2, 3);
    if (ctx.hasOutput(1) && !ctx.hasInput(5)) ctx.fail('the output gated_value_normed needs conv_norm_scale.');
    return [likeInput(ctx, 0), ctx.hasInput(5) ? likeInput(ctx, 0) : undefined];
  },
  expand(ctx) {
    const wide = (input: number): Value => inFloat32(ctx, ctx.value(input)!);
    const last = ctx.literal('int64', [-1]);
    const number = (value: number): Value => ctx.literal('float32', value);
    const normal = (x: Value, scale: Value): Value => {
      const squares = ctx.op('ReduceMean', [ctx.op('Mul', [x, x]), last], { keepdims: 1 });
      const length = ctx.op('Sqrt', [ctx.op('Add', [squares, number(ctx.attributes.epsilon)])]);
      return ctx.op('Mul', [ctx.op('Div', [x, length]), scale]);
    };
    const product = ctx.op('Mul', [normal(wide(0), wide(3)), normal(wide(1), wide(4))]);
    const hidden = ctx.op('Cast', [ctx.op('Shape', [ctx.value(0)], { start: 3, end: 4 })], {
      to: codeOfDType('float32'),
    });
    const sum = ctx.op('ReduceSum', [product, last], { keepdims: 1 });
    const dot = ctx.op('Div', [sum, ctx.op('Sqrt', [hidden])]);
    const root = ctx.op('Sqrt', [ctx.op('Max', [ctx.op('Abs', [dot]), number(1e-6)])]);
    const gate = ctx.op('Sigmoid', [ctx.op('Mul', [ctx.op('Sign', [dot]), root])]);
    const gated = ctx.op('Mul', [gate, ctx.op('Unsqueeze', [wide(2), ctx.literal('int64', [2])])]);
    const normed = ctx.hasOutput(1) ? inTypeOf(ctx, normal(gated, wide(5)), 0) : undefined;
    return [inTypeOf(ctx, gated, 0), normed];
  },
});

/** Output of `GemmaRotaryEmbedding` for one of query and key: x · cos + turned x · sin. */
function turned(ctx: ExpandContext, x: number, half: number, cos: Value, sin: Value): Value {
  return ctx.op('Add', [ctx.op('Mul', [ctx.value(x), cos]), ctx.op('Mul', [ctx.value(half), sin])]);
}

/** Inputs: angles [batch, sequence, size]; query and its turned halves; key and its turned halves. */
export const GemmaRotaryEmbedding = defineOperator({
  domain,
  name: 'GemmaRotaryEmbedding',
  since: 1,
  infer(ctx) {
    expectRank(ctx, 0, 3);
    expectSameType(ctx, 1, 2, 3, 4);
    return [likeInput(ctx, 1), likeInput(ctx, 3)];
  },
  expand(ctx) {
    const table = (name: string): Value => {
      const values = inTypeOf(ctx, ctx.op(name, [ctx.value(0)]), 1);
      return ctx.op('Unsqueeze', [values, ctx.literal('int64', [1])]);
    };
    const [cos, sin] = [table('Cos'), table('Sin')];
    return [turned(ctx, 1, 2, cos, sin), turned(ctx, 3, 4, cos, sin)];
  },
});

const [queryInput, queryBias, relative, weight, gateBias, ecoA, tokenOffset] = [0, 1, 2, 3, 4, 5, 6];

/**
 * (gate_u (gate_r · eco_a − 1) + 2) · rel_pos, where the two gates are the sigmoids of what the halves of (query + bias) W + b
 * sum to. A query of packed tokens [tokens, hidden] is spread to [batch, sequence, hidden] first.
 */
export const GatedRelativePositionBias = defineOperator({
  domain,
  name: 'GatedRelativePositionBias',
  since: 1,
  attributes: { num_heads: required(int()) },
  infer(ctx) {
    const dtype = expectSameType(ctx, queryInput, queryBias, relative, weight, gateBias, ecoA);
    const [, heads, rows, columns] = expectRank(ctx, relative, 4);
    const isPacked = ctx.hasInput(tokenOffset);
    const [batch] = isPacked ? expectRank(ctx, tokenOffset, 2) : expectRank(ctx, queryInput, 3);
    return [tensorType(dtype, [batch, heads, rows, columns])];
  },
  expand(ctx) {
    const heads = ctx.attributes.num_heads;
    const offsets = ctx.value(tokenOffset);
    const packed = ctx.op('Add', [ctx.value(queryInput), ctx.value(queryBias)]);
    const query = offsets ? ctx.op('RestorePadding', [packed, offsets], {}, { domain }) : packed;
    const split = ctx.op('Reshape', [query, ctx.literal('int64', [0, 0, heads, -1])]);
    const byHead = ctx.op('Transpose', [split], { perm: [0, 2, 1, 3] });
    const linear = ctx.op('Add', [ctx.op('MatMul', [byHead, ctx.value(weight)]), ctx.value(gateBias)]);
    const halves = ctx.op('Reshape', [linear, ctx.literal('int64', [0, 0, 0, 2, -1])]);
    const sums = ctx.op('ReduceSum', [halves, ctx.literal('int64', [4])], { keepdims: 0 });
    const gates = ctx.op('Sigmoid', [sums]);
    const [update, reset] = ctx.ops('Split', [gates], 2, { axis: 3, num_outputs: 2 });
    const number = (value: number): Value => ctx.literal(ctx.dtype(queryInput), value);
    const inner = ctx.op('Sub', [ctx.op('Mul', [reset, ctx.value(ecoA)]), number(1)]);
    const gate = ctx.op('Add', [ctx.op('Mul', [update, inner]), number(2)]);
    return ctx.op('Mul', [gate, ctx.value(relative)]);
  },
});
