// ai.onnx.preview FlexAttention: attention whose scores and probabilities pass through graphs that the model gives.

import type { Graph, Value } from '../graph/graph.ts';
import { tensorType } from '../graph/types.ts';
import { codeOfDType, dtypeOfCode } from '../onnx/import-tensor.ts';
import { defineOperator, type ExpandContext, float, graph, int } from './define.ts';
import { expectEqual, expectFloat, expectRank, expectSameType } from './expect.ts';

/** What the model's graph makes of a tensor; without a graph the tensor itself. */
function modified(ctx: ExpandContext, x: Value, body: Graph | undefined, name: string): Value {
  if (!body) return x;
  if (body.inputs.length !== 1 || body.outputs.length !== 1) {
    ctx.fail(`the graph "${name}" must have one input and one output.`);
  }
  const [result] = ctx.inline(body, [x]);
  return result;
}

/** Y = prob_mod(softmax(score_mod(scale · Q Kᵀ))) V; query head h reads key head ⌊h / group⌋. */
export const FlexAttention = defineOperator({
  domain: 'ai.onnx.preview',
  name: 'FlexAttention',
  since: 1,
  attributes: { prob_mod: graph(), scale: float(), score_mod: graph(), softmax_precision: int() },
  infer(ctx) {
    const dtype = expectSameType(ctx, 0, 1, 2);
    expectFloat(ctx, 0);
    const [q, k, v] = [expectRank(ctx, 0, 4), expectRank(ctx, 1, 4), expectRank(ctx, 2, 4)];
    expectEqual(ctx, q[3], k[3], 'the head sizes of Q and K');
    expectEqual(ctx, k[1], v[1], 'the heads of K and V');
    expectEqual(ctx, k[2], v[2], 'the lengths of K and V');
    const [queryHeads, keyHeads] = [q[1].constant, k[1].constant];
    if (queryHeads !== undefined && keyHeads !== undefined && !(queryHeads % keyHeads === 0)) {
      ctx.fail(`the ${queryHeads} query heads cannot share ${keyHeads} key heads evenly.`);
    }
    return [tensorType(dtype, [q[0], q[1], q[2], v[3]])];
  },
  expand(ctx) {
    const [q, k, v] = [ctx.value(0)!, ctx.value(1)!, ctx.value(2)!];
    const dtype = ctx.dtype(0);
    const { prob_mod, score_mod, softmax_precision } = ctx.attributes;
    const precise =
      softmax_precision === undefined
        ? dtype === 'float64'
          ? 'float64'
          : 'float32'
        : dtypeOfCode(softmax_precision, 'the attribute "softmax_precision"');
    const to = codeOfDType(precise);
    // The query heads that share a key head are more queries of it: [batch, key heads, group · queries, size].
    const isGrouped = !ctx.shape(0)[1].equals(ctx.shape(1)[1]);
    const grouped = (x: Value): Value => {
      if (!isGrouped) return x;
      const outer = ctx.op('Shape', [k], { start: 0, end: 2 });
      const inner = ctx.op('Shape', [x], { start: 3, end: 4 });
      const target = ctx.op('Concat', [outer, ctx.literal('int64', [-1]), inner], { axis: 0 });
      return ctx.op('Reshape', [x, target]);
    };
    const ungrouped = (x: Value): Value => {
      if (!isGrouped) return x;
      const outer = ctx.op('Shape', [q], { start: 0, end: 3 });
      const inner = ctx.op('Shape', [x], { start: 3, end: 4 });
      return ctx.op('Reshape', [x, ctx.op('Concat', [outer, inner], { axis: 0 })]);
    };
    const product = ungrouped(ctx.op('MatMul', [grouped(q), ctx.op('Transpose', [k], { perm: [0, 1, 3, 2] })]));
    const scores = ctx.op('Mul', [ctx.op('Cast', [product], { to }), scaleValue(ctx, precise)]);
    const probabilities = ctx.op('Softmax', [modified(ctx, scores, score_mod, 'score_mod')], { axis: 3 });
    const weights = grouped(modified(ctx, probabilities, prob_mod, 'prob_mod'));
    const result = ungrouped(ctx.op('MatMul', [weights, ctx.op('Cast', [v], { to })]));
    return ctx.op('Cast', [result], { to: codeOfDType(dtype) });
  },
});

function scaleValue(
  ctx: ExpandContext & { readonly attributes: { readonly scale: number | undefined } },
  dtype: Parameters<ExpandContext['literal']>[0],
): Value {
  const { scale } = ctx.attributes;
  if (scale !== undefined) return ctx.literal(dtype, scale);
  const size = ctx.shape(0)[3].constant;
  if (size !== undefined) return ctx.literal(dtype, 1 / Math.sqrt(size));
  const length = ctx.op('Cast', [ctx.op('Shape', [ctx.value(0)], { start: 3, end: 4 })], { to: codeOfDType(dtype) });
  return ctx.op('Reciprocal', [ctx.op('Sqrt', [length])]);
}
