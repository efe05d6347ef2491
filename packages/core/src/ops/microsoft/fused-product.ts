// com.microsoft matrix products with something before or after them: a norm, an activation, a weight of few bits.

import { Dim, type DType, isFloat } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { codeOfDType, dtypeOfCode } from '../../onnx/import-tensor.ts';
import { defineOperator, type ExpandContext, float, type InferContext, int, required, string } from '../define.ts';
import { expectRank, expectSameType } from '../expect.ts';
import { matMulShape } from '../matmul.ts';
import { likeInput } from '../pointwise.ts';
import { activate, layoutsOf, matMulAttributes } from './fused.ts';

const domain = 'com.microsoft';

/** activation(alpha · A′ · B′) */
export const FusedMatMulActivation = defineOperator({
  domain,
  name: 'FusedMatMulActivation',
  since: 1,
  attributes: {
    ...matMulAttributes,
    activation: required(string()),
    activation_alpha: float(),
    activation_axis: int(),
    activation_beta: float(),
    activation_gamma: float(),
  },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1);
    return [tensorType(dtype, matMulShape(ctx, ctx.shape(0), ctx.shape(1), layoutsOf(ctx.attributes)))];
  },
  expand(ctx) {
    const { activation, activation_alpha, activation_axis, activation_beta, activation_gamma } = ctx.attributes;
    const given = [...ctx.node.attributes].filter(([name]) => !name.startsWith('activation'));
    const product = ctx.op('FusedMatMul', [ctx.value(0), ctx.value(1)], Object.fromEntries(given), { domain });
    if (activation === 'Softmax') return ctx.op('Softmax', [product], { axis: activation_axis ?? -1 });
    return activate(ctx, product, activation, [activation_alpha, activation_beta, activation_gamma]);
  },
});

/** FastGelu(X W + bias) */
export const GemmFastGelu = defineOperator({
  domain,
  name: 'GemmFastGelu',
  since: 1,
  infer: (ctx) => [tensorType(expectSameType(ctx, 0, 1, 2), matMulShape(ctx, ctx.shape(0), ctx.shape(1)))],
  expand(ctx) {
    const product = ctx.op('MatMul', [ctx.value(0), ctx.value(1)]);
    return ctx.op('FastGelu', [product, ctx.value(2)], {}, { domain });
  },
});

/**
 * activation(α (scaleA · A′) (scaleB · B′) + β C) / scaleY, computed in float32: scales belong to tensors of 8-bit floats.
 */
export const GemmFloat8 = defineOperator({
  domain,
  name: 'GemmFloat8',
  since: 1,
  attributes: {
    activation: string('NONE'),
    alpha: float(1),
    beta: float(0),
    dtype: int(1),
    transA: int(0),
    transB: int(0),
  },
  infer(ctx) {
    const { transA, transB, dtype } = ctx.attributes;
    const [a, b] = [expectRank(ctx, 0, 2), expectRank(ctx, 1, 2)];
    const result = dtypeOfCode(dtype, 'the attribute "dtype"');
    if (!isFloat(result)) ctx.fail(`dtype must be a floating-point type, not ${result}.`);
    return [tensorType(result, [a[transA ? 1 : 0], b[transB ? 0 : 1]])];
  },
  expand(ctx) {
    const { activation, alpha, beta, dtype, transA, transB } = ctx.attributes;
    const wide = (input: number, scale: number): Value | undefined => {
      const value = ctx.value(input);
      const factor = ctx.value(scale);
      if (!value) return undefined;
      const numbers = ctx.op('Cast', [value], { to: codeOfDType('float32') });
      return factor ? ctx.op('Mul', [numbers, factor]) : numbers;
    };
    const inputs = [wide(0, 3), wide(1, 4), beta === 0 ? undefined : wide(2, -1)];
    const scales = { alpha: { float: alpha }, beta: { float: beta } };
    const product = ctx.op('Gemm', inputs, { ...scales, transA, transB });
    const names: Record<string, string | undefined> = { RELU: 'Relu', GELU: 'Gelu', NONE: 'Identity', '': 'Identity' };
    const name = names[activation] ?? ctx.fail(`activation "${activation}" is not one of RELU, GELU, NONE.`);
    const active = ctx.op(name, [product]);
    const scaleY = ctx.value(5);
    return ctx.op('Cast', [scaleY ? ctx.op('Div', [active, scaleY]) : active], { to: dtype });
  },
});

interface NBits {
  readonly K: number;
  readonly accuracy_level: number;
  readonly bits: number;
  readonly block_size: number;
  readonly epsilon: number;
}

type NBitsContext = ExpandContext & { readonly attributes: NBits };

/** A normalised by its root mean square after a skip connection, and the sum with the latter. */
function normalised(ctx: NBitsContext, skip: number, scale: number): readonly [Value, Value | undefined] {
  const a = ctx.value(0)!;
  const epsilon = { float: ctx.attributes.epsilon };
  const gamma = ctx.value(scale);
  if (!gamma) return [a, undefined];
  const residual = ctx.value(skip);
  if (!residual) return [ctx.op('RMSNormalization', [a, gamma], { epsilon }), undefined];
  const [result, , , sum] = ctx.ops(
    'SkipSimplifiedLayerNormalization',
    [a, residual, gamma],
    4,
    { epsilon },
    { domain },
  );
  return [result, sum];
}

/** Three consecutive inputs: packed weight, scales, bias. */
function projection(ctx: NBitsContext, x: Value, first: number, N: number): Value {
  const [weight, scales, bias] = [0, 1, 2].map((at) => ctx.value(first + at));
  const { K, accuracy_level, bits, block_size } = ctx.attributes;
  const attributes = { K, N, accuracy_level, bits, block_size };
  return ctx.op('MatMulNBits', [x, weight, scales, undefined, undefined, bias], attributes, { domain });
}

const nBitsAttributes = { K: required(int()), accuracy_level: int(0), bits: int(4), block_size: required(int()) };

function projectedType(ctx: InferContext, columns: number) {
  const shape = expectRank(ctx, 0, 1, Infinity);
  return tensorType(ctx.dtype(0), shape.with(-1, Dim.constant(columns)));
}

/** activation(A W₁ + b₁) · (A W₂ + b₂), A normalised first where the input norm_scale is given. */
export const MatMulNBitsMlp = defineOperator({
  domain,
  name: 'MatMulNBitsMlp',
  since: 1,
  attributes: { ...nBitsAttributes, N: required(int()), activation: required(string()), epsilon: float(1e-5) },
  infer: (ctx) => [projectedType(ctx, ctx.attributes.N), ctx.hasInput(1) ? likeInput(ctx, 0) : undefined],
  expand(ctx) {
    const [a, sum] = normalised(ctx, 1, 2);
    const { N, activation } = ctx.attributes;
    const gate = projection(ctx, a, 3, N);
    const up = projection(ctx, a, 6, N);
    return [ctx.op('Mul', [gatedBy(ctx, gate, activation), up]), sum];
  },
});

function gatedBy(ctx: ExpandContext, gate: Value, activation: string): Value {
  switch (activation.toLowerCase()) {
    case 'silu':
    case 'swish':
      return ctx.op('Mul', [gate, ctx.op('Sigmoid', [gate])]);
    case 'gelu':
      return ctx.op('Gelu', [gate]);
    case 'relu':
      return ctx.op('Relu', [gate]);
    default:
      return ctx.fail(`activation "${activation}" is not one of silu, gelu, relu.`);
  }
}

/** Query, key and value projections of one normalised input. */
export const MatMulNBitsQkv = defineOperator({
  domain,
  name: 'MatMulNBitsQkv',
  since: 1,
  attributes: { ...nBitsAttributes, Nkv: required(int()), Nq: required(int()), epsilon: float(1e-6) },
  infer(ctx) {
    const { Nkv, Nq } = ctx.attributes;
    const [q, kv] = [projectedType(ctx, Nq), projectedType(ctx, Nkv)];
    return [q, kv, kv, ctx.hasInput(1) ? likeInput(ctx, 0) : undefined];
  },
  expand(ctx) {
    const [a, sum] = normalised(ctx, 1, 2);
    const { Nkv, Nq } = ctx.attributes;
    return [projection(ctx, a, 3, Nq), projection(ctx, a, 6, Nkv), projection(ctx, a, 9, Nkv), sum];
  },
});

/** A weight [N, K] times its scales [N, blocks], one for each `block` columns. */
function scaledByBlocks(ctx: ExpandContext, weight: Value, scales: Value, block: number): Value {
  const spread = ctx.op('Unsqueeze', [scales, ctx.literal('int64', [2])]);
  const [rows, columns] = [ctx.op('Shape', [weight], { end: 1 }), ctx.op('Shape', [weight], { start: 1 })];
  const blocks = ctx.op('Shape', [scales], { start: 1 });
  const one = ctx.literal('int64', [block]);
  const repeated = ctx.op('Expand', [spread, ctx.op('Concat', [rows, blocks, one], { axis: 0 })]);
  const flat = ctx.op('Reshape', [repeated, ctx.op('Concat', [rows, ctx.literal('int64', [-1])], { axis: 0 })]);
  const fitting = ctx.op('Slice', [flat, ctx.literal('int64', [0]), columns, ctx.literal('int64', [1])]);
  return ctx.op('Mul', [weight, fitting]);
}

function weightProduct(ctx: ExpandContext, a: Value, weight: Value, bias: number): Value {
  const dtype: DType = ctx.dtype(0);
  const product = ctx.op('MatMul', [a, ctx.op('Transpose', [weight], { perm: [1, 0] })]);
  const own = ctx.op('Cast', [product], { to: codeOfDType(dtype) });
  const added = ctx.value(bias);
  return added ? ctx.op('Add', [own, added]) : own;
}

/** A · (B · b_scale)ᵀ + bias with a weight of 8-bit floats; with a_scale, A is rounded to them, too. */
export const MatMulBlockQuantizedFp8Weight = defineOperator({
  domain,
  name: 'MatMulBlockQuantizedFp8Weight',
  since: 1,
  attributes: { block_size: int(128) },
  infer: (ctx) => [tensorType(ctx.dtype(0), expectRank(ctx, 0, 1, Infinity).with(-1, expectRank(ctx, 1, 2)[0]))],
  expand(ctx) {
    const to = codeOfDType('float32');
    const weight = ctx.op('Cast', [ctx.value(1)], { to });
    const scaled = scaledByBlocks(ctx, weight, ctx.value(2)!, ctx.attributes.block_size);
    let a = ctx.op('Cast', [ctx.value(0)], { to });
    const scale = ctx.value(3);
    if (scale) {
      const rounded = ctx.op('Cast', [ctx.op('Div', [a, scale])], { to: codeOfDType('float8e4m3fn') });
      a = ctx.op('Mul', [ctx.op('Cast', [rounded], { to }), scale]);
    }
    return weightProduct(ctx, a, scaled, 4);
  },
});
