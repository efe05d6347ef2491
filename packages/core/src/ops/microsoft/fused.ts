// com.microsoft operators that onnxruntime's optimizer makes of two or three others.

import { add, cast, type Expr } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { tensorType } from '../../graph/types.ts';
import { computeType } from '../compute-type.ts';
import { type ConvNode, convAttributes, convGeometry } from '../conv.ts';
import {
  defineOperator,
  derive,
  type ExpandContext,
  float,
  floats,
  int,
  type PlainAttribute,
  required,
  string,
} from '../define.ts';
import { expectFloat, expectSameType } from '../expect.ts';
import { gemmAttributes, inferGemm, lowerMatMul, matMulShape, scaleBy } from '../matmul.ts';
import { expectBroadcastTo } from '../normalize.ts';
import { Rows } from '../rows.ts';
import { softmaxStages } from '../softmax.ts';

const domain = 'com.microsoft';

export const matMulAttributes = {
  alpha: float(1),
  transA: int(0),
  transB: int(0),
  transBatchA: int(0),
  transBatchB: int(0),
};

interface Transposes {
  readonly transA: number;
  readonly transB: number;
  readonly transBatchA: number;
  readonly transBatchB: number;
}

export const layoutsOf = ({ transA, transB, transBatchA, transBatchB }: Transposes) => ({
  left: { transpose: transA !== 0, transposeBatch: transBatchA !== 0 },
  right: { transpose: transB !== 0, transposeBatch: transBatchB !== 0 },
});

/** alpha · A′ · B′ */
export const FusedMatMul = defineOperator({
  domain,
  name: 'FusedMatMul',
  since: 1,
  attributes: matMulAttributes,
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1);
    return [tensorType(dtype, matMulShape(ctx, ctx.shape(0), ctx.shape(1), layoutsOf(ctx.attributes)))];
  },
  lower(ctx) {
    const { alpha } = ctx.attributes;
    const shape = ctx.outputShape(0);
    const product = lowerMatMul(ctx, ctx.input(0), ctx.input(1), shape, layoutsOf(ctx.attributes));
    if (alpha === 1) return product;
    return ctx.map(product.dtype, shape, (index) => scaleBy(ctx.at(product, index), alpha), 'scale');
  },
});

/** The earlier name of FusedMatMul. */
export const TransposeMatMul = derive(FusedMatMul, { name: 'TransposeMatMul' });

/** Applies an activation by its ONNX name; `parameters` are its attributes in the order of the operator's definition. */
export function activate(
  ctx: ExpandContext,
  x: Value,
  name: string | undefined,
  parameters: readonly (number | undefined)[],
): Value {
  if (!name) return x;
  const [first, second] = parameters;
  const attributes = (names: readonly string[]): Record<string, PlainAttribute> => {
    const given = names.map((key, at) => [key, parameters[at]] as const).filter(([, value]) => value !== undefined);
    return Object.fromEntries(given.map(([key, value]) => [key, { float: value! }]));
  };
  switch (name) {
    case 'Relu':
    case 'Sigmoid':
    case 'Tanh':
    case 'HardSwish':
    case 'Softsign':
    case 'Softplus':
      return ctx.op(name, [x]);
    case 'LeakyRelu':
    case 'Elu':
    case 'ThresholdedRelu':
      return ctx.op(name, [x], attributes(['alpha']));
    case 'HardSigmoid':
      return ctx.op(name, [x], attributes(['alpha', 'beta']));
    case 'Clip': {
      const { dtype } = ctx.typeOf(x);
      const bound = (value: number | undefined) => (value === undefined ? undefined : ctx.literal(dtype, value));
      return ctx.op('Clip', [x, bound(first), bound(second)]);
    }
    default:
      return ctx.fail(`the activation "${name}" is not known.`);
  }
}

/** Attributes of the node by name, without the ones given: for handing them on to a simpler operator. */
function attributesExcept(ctx: ExpandContext, ...names: readonly string[]): Record<string, PlainAttribute> {
  return Object.fromEntries([...ctx.node.attributes].filter(([name]) => !names.includes(name)));
}

/** activation(Conv(X, W, B) + Z) */
export const FusedConv = defineOperator({
  domain,
  name: 'FusedConv',
  since: 1,
  attributes: { ...convAttributes, activation: string(), activation_params: floats() },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2, 3);
    return [tensorType(dtype, convGeometry(ctx as ConvNode).shape)];
  },
  expand(ctx) {
    const { activation, activation_params } = ctx.attributes;
    const inputs = [0, 1, 2].map((input) => ctx.value(input));
    const product = ctx.op('Conv', inputs, attributesExcept(ctx, 'activation', 'activation_params'));
    const z = ctx.value(3);
    return activate(ctx, z ? ctx.op('Add', [product, z]) : product, activation, activation_params ?? []);
  },
});

/** activation(Gemm(A, B, C)) */
export const FusedGemm = defineOperator({
  domain,
  name: 'FusedGemm',
  since: 1,
  attributes: {
    ...gemmAttributes,
    activation: string(),
    activation_alpha: float(),
    activation_beta: float(),
    activation_gamma: float(),
  },
  infer(ctx) {
    const { dtype, shape } = inferGemm(ctx);
    return [tensorType(dtype, shape)];
  },
  expand(ctx) {
    const { activation, activation_alpha, activation_beta, activation_gamma } = ctx.attributes;
    const own = ['activation', 'activation_alpha', 'activation_beta', 'activation_gamma'];
    const inputs = [0, 1, 2].map((input) => ctx.value(input));
    const product = ctx.op('Gemm', inputs, attributesExcept(ctx, ...own));
    return activate(ctx, product, activation, [activation_alpha, activation_beta, activation_gamma]);
  },
});

/** Softmax of data + bias over all axes from `axis` on. */
export const BiasSoftmax = defineOperator({
  domain,
  name: 'BiasSoftmax',
  since: 1,
  attributes: { axis: int(1), is_inner_broadcast: required(int()) },
  infer(ctx) {
    expectSameType(ctx, 0, 1);
    ctx.axis(ctx.attributes.axis, ctx.rank(0));
    expectBroadcastTo(ctx, 1, ctx.shape(0));
    return [tensorType(expectFloat(ctx, 0), ctx.shape(0))];
  },
  lower(ctx) {
    const x = ctx.input(0);
    const wide = computeType(x.dtype);
    const first = ctx.axis(ctx.attributes.axis, x.shape.length);
    const rows = new Rows(
      ctx,
      x.shape,
      x.shape.map((_, axis) => axis).filter((axis) => axis >= first),
    );
    const value = (index: readonly Expr[]): Expr =>
      add(cast(wide, ctx.at(x, index)), cast(wide, ctx.broadcastAt(1, index, x.shape)));
    return softmaxStages(ctx, rows, x.dtype, value);
  },
});
