// The forms that templates of providers recognise: if one of these changes, the templates must follow.

import { Dim, type DType, printStage } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../graph/graph.ts';
import { tensorType } from '../graph/types.ts';
import { inferNode } from '../passes/infer-types.ts';
import { FreshDims } from './context.ts';
import { ProgramLowering } from './lowering.ts';
import { defaultRegistry } from './registry.ts';

type Size = number | string;

/** The stages of one node, as text. */
function stagesOf(
  op: string,
  inputs: readonly (readonly Size[])[],
  attributes: Record<string, AttributeValue> = {},
  { opset = 24, dtype = 'float32' as DType } = {},
): string {
  const node: GraphNode = {
    name: op,
    domain: '',
    op,
    opset,
    inputs: inputs.map((shape, at) => newValue('ABCDEF'[at], tensorType(dtype, shape.map(Dim.from)))),
    outputs: [newValue('Y')],
    attributes: new Map(Object.entries(attributes)),
  };
  inferNode(node, defaultRegistry(), new FreshDims());
  const lowering = new ProgramLowering();
  lowering.lower(node);
  return lowering.builder.stages.map(printStage).join('\n');
}

const int = (value: number): AttributeValue => ({ type: 'int', value });
const ints = (...value: number[]): AttributeValue => ({ type: 'ints', value });

describe('contractions', () => {
  it('MatMul is one sum over load times load', () => {
    expect(
      stagesOf('MatMul', [
        ['b', 'm', 64],
        [64, 32],
      ]),
    ).toMatchInlineSnapshot(`"MatMul[i, j, k] float32[b, m, 32] = sum over ri < 64: A[i, j, ri] * B[ri, k]"`);
    expect(
      stagesOf('MatMul', [
        ['b', 1, 'm', 64],
        [4, 64, 'n'],
      ]),
    ).toMatchInlineSnapshot(
      `"MatMul[i, j, k, l] float32[b, 4, m, n] = sum over ri < 64: A[i, 0, k, ri] * B[j, ri, l]"`,
    );
  });

  it('Gemm adds its bias in a map', () => {
    expect(stagesOf('Gemm', [['m', 64], [32, 64], [32]], { transB: int(1) })).toMatchInlineSnapshot(`
      "Gemm[i, j] float32[m, 32] = sum over ri < 64: A[i, ri] * B[j, ri]
      Gemm.bias[i, j] float32[m, 32] = Gemm[i, j] + C[j]"
    `);
  });

  it('Einsum of a batched product is a MatMul', () => {
    const equation: AttributeValue = { type: 'string', value: 'bhqd,bhkd->bhqk' };
    expect(
      stagesOf(
        'Einsum',
        [
          ['b', 8, 'q', 64],
          ['b', 8, 'k', 64],
        ],
        { equation },
      ),
    ).toMatchInlineSnapshot(
      `"Einsum[i, j, k, l] float32[b, 8, q, k] = sum over ri < 64: A[i, j, k, ri] * B[i, j, l, ri]"`,
    );
  });
});

describe('convolutions', () => {
  it('has no guard without padding', () => {
    expect(
      stagesOf('Conv', [
        ['n', 3, 'h', 'w'],
        [16, 3, 1, 1],
      ]),
    ).toMatchInlineSnapshot(
      `"Conv[i, j, k, l] float32[n, 16, h, w] = sum over ri < 3, rj < 1, rk < 1: A[i, ri, k + rj, l + rk] * B[j, ri, rj, rk]"`,
    );
  });

  it('guards padded axes only, and adds the bias in a map', () => {
    const attributes = { pads: ints(1, 0, 1, 0), strides: ints(2, 1) };
    expect(stagesOf('Conv', [['n', 3, 8, 8], [16, 3, 3, 1], [16]], attributes)).toMatchInlineSnapshot(`
      "Conv[i, j, k, l] float32[n, 16, 4, 8] = sum over ri < 3, rj < 3, rk < 1: A[i, ri, k * 2 + rj - 1, l + rk when k * 2 + rj - 1 >= 0 && k * 2 + rj - 1 < 8 else 0] * B[j, ri, rj, rk]
      Conv.bias[i, j, k, l] float32[n, 16, 4, 8] = Conv[i, j, k, l] + C[j]"
    `);
  });

  it('finds the channels of a group', () => {
    expect(
      stagesOf(
        'Conv',
        [
          [1, 8, 8, 8],
          [16, 4, 1, 1],
        ],
        { group: int(2) },
      ),
    ).toMatchInlineSnapshot(
      `"Conv[i, j, k, l] float32[1, 16, 8, 8] = sum over ri < 4, rj < 1, rk < 1: A[i, j / 8 * 4 + ri, k + rj, l + rk] * B[j, ri, rj, rk]"`,
    );
    expect(
      stagesOf(
        'Conv',
        [
          [1, 8, 8, 8],
          [8, 1, 3, 3],
        ],
        { group: int(8) },
      ),
    ).toMatchInlineSnapshot(
      `"Conv[i, j, k, l] float32[1, 8, 6, 6] = sum over ri < 1, rj < 3, rk < 3: A[i, j + ri, k + rj, l + rk] * B[j, ri, rj, rk]"`,
    );
  });

  it('splits a strided ConvTranspose into phases', () => {
    const attributes = { strides: ints(2) };
    expect(
      stagesOf(
        'ConvTranspose',
        [
          [1, 4, 'w'],
          [4, 6, 4],
        ],
        attributes,
      ),
    ).toMatchInlineSnapshot(`
      "ConvTranspose[i, j, k, l] float32[1, 6, 2, w + 1] = sum over ri < 4, rj < 2: A[i, ri, l - rj when l - rj >= 0 && l - rj < w else 0] * B[ri, j, rj * 2 + k]
      ConvTranspose.interleave[i, j, k] float32[1, 6, 2*w + 2] = ConvTranspose[i, j, k % 2, k / 2]"
    `);
  });
});

describe('rows', () => {
  it('Softmax is reduce, map, reduce, map', () => {
    expect(stagesOf('Softmax', [['b', 's', 512]])).toMatchInlineSnapshot(`
      "Softmax.peak[i, j] float32[b, s] = max over ri < 512: A[i, j, ri]
      Softmax.power[i, j, k] float32[b, s, 512] = exp(A[i, j, k] - Softmax.peak[i, j])
      Softmax.total[i, j] float32[b, s] = sum over ri < 512: Softmax.power[i, j, ri]
      Softmax[i, j, k] float32[b, s, 512] = Softmax.power[i, j, k] / Softmax.total[i, j]"
    `);
  });

  it('a softmax of another axis has that axis last until the end', () => {
    expect(stagesOf('Softmax', [['b', 10, 's']], { axis: int(1) })).toMatchInlineSnapshot(`
      "Softmax.peak[i, j] float32[b, s] = max over ri < 10: A[i, ri, j]
      Softmax.power[i, j, k] float32[b, s, 10] = exp(A[i, k, j] - Softmax.peak[i, j])
      Softmax.total[i, j] float32[b, s] = sum over ri < 10: Softmax.power[i, j, ri]
      Softmax[i, j, k] float32[b, s, 10] = Softmax.power[i, j, k] / Softmax.total[i, j]
      Softmax.restore[i, j, k] float32[b, 10, s] = Softmax[i, k, j]"
    `);
  });

  it('norms of float16 keep float32 between their stages', () => {
    const shapes = [['b', 's', 768], [768], [768]];
    expect(stagesOf('LayerNormalization', shapes, {}, { dtype: 'float16' })).toMatchInlineSnapshot(`
      "LayerNormalization.total[i, j] float32[b, s] = sum over ri < 768: float32(A[i, j, ri])
      LayerNormalization.mean[i, j] float32[b, s] = LayerNormalization.total[i, j] / 768
      LayerNormalization.squares[i, j] float32[b, s] = sum over ri < 768: $0 * $0
        where $0 = float32(A[i, j, ri]) - LayerNormalization.mean[i, j]
      LayerNormalization.variance[i, j] float32[b, s] = LayerNormalization.squares[i, j] / 768
      LayerNormalization.inverse_deviation[i, j] float32[b, s] = 1 / sqrt(LayerNormalization.variance[i, j] + 0.000009999999747378752)
      LayerNormalization[i, j, k] float16[b, s, 768] = float16((float32(A[i, j, k]) - LayerNormalization.mean[i, j]) * LayerNormalization.inverse_deviation[i, j] * float32(B[k]) + float32(C[k]))"
    `);
    expect(stagesOf('RMSNormalization', shapes.slice(0, 2))).toMatchInlineSnapshot(`
      "RMSNormalization.total[i, j] float32[b, s] = sum over ri < 768: A[i, j, ri] * A[i, j, ri]
      RMSNormalization.mean[i, j] float32[b, s] = RMSNormalization.total[i, j] / 768
      RMSNormalization.inverse_deviation[i, j] float32[b, s] = 1 / sqrt(RMSNormalization.mean[i, j] + 0.000009999999747378752)
      RMSNormalization[i, j, k] float32[b, s, 768] = A[i, j, k] * RMSNormalization.inverse_deviation[i, j] * B[k]"
    `);
  });
});

it('attention is contraction, map, rows, contraction', () => {
  const heads = { q_num_heads: int(8), kv_num_heads: int(2), is_causal: int(1) };
  const shapes = [
    ['b', 's', 512],
    ['b', 't', 128],
    ['b', 't', 128],
  ];
  expect(stagesOf('Attention', shapes, heads)).toMatchInlineSnapshot(`
    "Attention float32[b, s, 2, 4, 64] = view A
    Attention float32[b, t, 2, 64] = view B
    Attention float32[b, t, 2, 64] = view C
    Attention.scores[i, j, k, l, m] float32[b, 2, 4, s, t] = sum over ri < 64: Attention[i, l, j, k, ri] * Attention.2[i, m, j, ri]
    Attention.logits[i, j, k, l, m] float32[b, 2, 4, s, t] = m <= l ? Attention.scores[i, j, k, l, m] * 0.125 : -inf
    Attention.peak[i, j, k, l] float32[b, 2, 4, s] = max over ri < t: Attention.logits[i, j, k, l, ri]
    Attention.finite_peak[i, j, k, l] float32[b, 2, 4, s] = max(Attention.peak[i, j, k, l], -1e+38)
    Attention.power[i, j, k, l, m] float32[b, 2, 4, s, t] = exp(Attention.logits[i, j, k, l, m] - Attention.finite_peak[i, j, k, l])
    Attention.total[i, j, k, l] float32[b, 2, 4, s] = sum over ri < t: Attention.power[i, j, k, l, ri]
    Attention.divisor[i, j, k, l] float32[b, 2, 4, s] = Attention.total[i, j, k, l] == 0 ? 1 : Attention.total[i, j, k, l]
    Attention[i, j, k, l, m] float32[b, 2, 4, s, t] = Attention.power[i, j, k, l, m] / Attention.divisor[i, j, k, l]
    Attention.weighted_values[i, j, k, l, m] float32[b, 2, 4, s, 64] = sum over ri < t: Attention[i, j, k, l, ri] * Attention.2[i, ri, j, m]
    Attention[i, j, k, l, m] float32[b, s, 2, 4, 64] = Attention.weighted_values[i, k, l, j, m]
    Attention float32[b, s, 512] = view Attention.2"
  `);
});
