import {
  Dim,
  div,
  elementAt,
  exp,
  type FusedProgram,
  fuseProgram,
  IndexAnalysis,
  interpretProgram,
  le,
  mul,
  newTensorRef,
  printKernel,
  printPhase,
  StageBuilder,
  select,
  sub,
  type TensorBuffer,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { type Attention, fuseAttention } from '@onnx-ts/tensor-ir/attention';
import { describe, expect, it } from 'vitest';
import { compareBuffers } from '../../../tests/check-kernel.ts';
import { Random } from '../../../tests/random.ts';
import { type AttentionCase, randomAttention } from '../../../tests/random-attention.ts';
import { loadKernel } from '../../kernel/run-kernel.ts';
import { disassemble } from '../../wasm/disassemble.ts';
import { AttentionPhases } from './attention-phases.ts';
import { emitTurnPanels } from './block-product.ts';
import { compileAttention } from './emit-attention.ts';
import { emitPowers } from './powers.ts';

const seed = Number(process.env.ONNX_TS_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Runs a program as the provider would, kernel by kernel. */
function run(
  { program, inputs, binding }: AttentionCase,
  relaxedSimd: boolean,
): { fused: FusedProgram; found: Attention[]; result: TensorBuffer } {
  const { fused, attentions } = fuseAttention(fuseProgram(program));
  const buffers = new Map<TensorRef, TensorBuffer>(inputs);
  for (const kernel of fused.kernels) {
    const attention = attentions.get(kernel);
    const loaded = attention
      ? loadKernel(kernel, (target) => compileAttention(attention, { ...target, relaxedSimd }))
      : loadKernel(kernel);
    for (const param of kernel.params) {
      const below = fused.aliases.get(param);
      if (below) buffers.set(param, { ...buffers.get(below)!, dims: param.shape.map((dim) => dim.evaluate(binding)) });
    }
    const prepared = loaded.prepare(buffers, binding, { grain: 1 });
    prepared.launch();
    if (prepared.hasStrayWrites()) throw new Error(`${kernel.name} writes where it should not`);
    for (const { tensor } of kernel.outputs) buffers.set(tensor, prepared.read(tensor));
  }
  return { fused, found: [...attentions.values()], result: buffers.get(program.outputs[0].tensor)! };
}

function check(made: AttentionCase, relaxed: boolean): number {
  const expected = interpretProgram(made.program, made.inputs, made.binding).get(made.program.outputs[0].tensor)!;
  const { found, result } = run(made, relaxed);
  const isNarrow = made.description.startsWith('float16');
  try {
    // Narrow results are rounded at other points.
    compareBuffers('result', result, expected, isNarrow ? 1e-2 : 1e-4);
  } catch (error) {
    throw new Error(
      `${made.description}: ${(error as Error).message}\n${found.map((attention) => printKernel(attention.kernel))}`,
    );
  }
  return found.length;
}

describe(`attention against the interpreter (seed ${seed})`, () => {
  it('random shapes, layouts, masks and softmaxes', () => {
    let found = 0;
    const rounds = 150;
    for (let round = 0; round < rounds; round++) {
      const made = randomAttention(new Random(seed + round));
      try {
        found += check(made, round % 2 === 0);
      } catch (error) {
        throw new Error(`seed ${seed + round}: ${(error as Error).message}`);
      }
    }
    // The rest has a size 1 where an axis is needed.
    expect(found).toBeGreaterThan(rounds * 0.8);
  });

  it('no key at all gives 0', () => {
    const made = causal();
    const sizes = new Map([
      ['s', 3],
      ['t', 0],
    ]);
    const buffer = ({ dtype, shape }: TensorRef): TensorBuffer => {
      const dims = shape.map((dim) => dim.evaluate(sizes));
      return { dtype, dims, data: new Float32Array(dims.reduce((a, b) => a * b, 1)).fill(1) };
    };
    const inputs = new Map(made.inputs.map((tensor) => [tensor, buffer(tensor)]));
    expect(check({ program: made, inputs, binding: sizes, description: 'no key' }, false)).toBe(1);
  });
});

/** Causal attention with symbolic lengths. */
function causal() {
  const builder = new StageBuilder();
  builder.name = 'attention';
  const [s, t, h, d] = [Dim.symbol('s'), Dim.symbol('t'), Dim.constant(2), Dim.constant(16)];
  const q = newTensorRef('q', 'float32', [s, h, d]);
  const k = newTensorRef('k', 'float32', [h, t, d]);
  const v = newTensorRef('v', 'float32', [h, t, d]);
  const scores = builder.reduce(
    'sum',
    'float32',
    [h, s, t],
    [d],
    ([i, j, l], [e]) => mul(elementAt(q, [j, i, e]), elementAt(k, [i, l, e])),
    { name: 'scores' },
  );
  const logits = builder.map(
    'float32',
    scores.shape,
    ([i, j, l]) => select(le(l, j), mul(elementAt(scores, [i, j, l]), 0.25), Number.NEGATIVE_INFINITY),
    'logits',
  );
  const peak = builder.reduce('max', 'float32', [h, s], [t], ([i, j], [l]) => elementAt(logits, [i, j, l]), {
    name: 'peak',
  });
  const power = builder.map(
    'float32',
    scores.shape,
    ([i, j, l]) => exp(sub(elementAt(logits, [i, j, l]), elementAt(peak, [i, j]))),
    'power',
  );
  const total = builder.reduce('sum', 'float32', [h, s], [t], ([i, j], [l]) => elementAt(power, [i, j, l]), {
    name: 'total',
  });
  const weights = builder.map(
    'float32',
    scores.shape,
    ([i, j, l]) => div(elementAt(power, [i, j, l]), elementAt(total, [i, j])),
    'weights',
  );
  const values = builder.reduce(
    'sum',
    'float32',
    [h, s, d],
    [t],
    ([i, j, e], [l]) => mul(elementAt(weights, [i, j, l]), elementAt(v, [i, l, e])),
    { name: 'values' },
  );
  const result = builder.map('float32', [s, h, d], ([j, i, e]) => elementAt(values, [i, j, e]), 'result');
  return {
    inputs: [q, k, v],
    stages: builder.stages,
    outputs: [{ tensor: newTensorRef('result', 'float32', result.shape), source: result }],
  };
}

it('the kernel and loops of causal attention', () => {
  const { attentions } = fuseAttention(fuseProgram(causal()));
  const [attention] = attentions.values();
  const phases = new AttentionPhases(attention, new IndexAnalysis());
  const parts = [phases.table(), phases.start(), phases.keyRow(), phases.valueRow(), phases.logits(), phases.finish()];
  expect([printKernel(attention.kernel), ...parts.map(printPhase)].join('\n\n')).toMatchSnapshot();
});

it('the powers of a block', () => {
  expect(disassemble(emitPowers({ relaxed: true }).finish())).toMatchSnapshot();
});

it('the turning of keys into panels', () => {
  expect(disassemble(emitTurnPanels().finish())).toMatchSnapshot();
});
