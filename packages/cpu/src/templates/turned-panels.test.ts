import {
  boundedIndex,
  Dim,
  div,
  type Expr,
  elementAt,
  fuseProgram,
  interpretProgram,
  mod,
  mul,
  newTensorRef,
  printPhase,
  StageBuilder,
  type TensorBuffer,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { expect, it } from 'vitest';
import { compareBuffers, programOf } from '../../tests/check-kernel.ts';
import { Random } from '../../tests/random.ts';
import { loadKernel } from '../kernel/run-kernel.ts';
import { prepareProduct } from './product.ts';
import { compileTurnedPanels, readTurnedPanels } from './turned-panels.ts';

const seed = Number(process.env.ONNX_TS_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** The kernel that packs B of A · Bᵀ, with a symbolic number of columns. */
function packing(batch: number, inner: number, columns: Dim, wideVectors = false) {
  const builder = new StageBuilder();
  builder.name = 'product';
  const [b, m, k] = [Dim.constant(batch), Dim.constant(64), Dim.constant(inner)];
  const left = newTensorRef('left', 'float32', [b, m, k]);
  const right = newTensorRef('right', 'float32', [columns, b, k]);
  const product = builder.reduce('sum', 'float32', [b, m, columns], [k], ([i, j, l], [r]) =>
    mul(elementAt(left, [i, j, r]), elementAt(right, [l, i, r])),
  );
  const output = newTensorRef('result', 'float32', product.shape);
  const { kernels } = fuseProgram({
    inputs: [left, right],
    stages: builder.stages,
    outputs: [{ tensor: output, source: product }],
  });
  const [kernel] = prepareProduct(kernels[0], undefined, { relaxedSimd: true, wideVectors })!.before;
  return { kernel, right };
}

it(`packs rows as columns (seed ${seed})`, () => {
  const random = new Random(seed);
  for (let round = 0; round < 40; round++) {
    const [batch, inner, count] = [2 + random.int(3), 1 + random.int(40), 1 + random.int(40)];
    const columns = random.chance(0.5) ? Dim.symbol('n') : Dim.constant(Math.max(2, count));
    const binding = new Map([['n', count]]);
    const { kernel, right } = packing(batch, inner, columns, random.chance(0.5));
    const panels = readTurnedPanels(kernel);
    // A single row of B is contiguous either way.
    if (!panels) {
      expect(inner).toBe(1);
      continue;
    }
    const dims = [columns.evaluate(binding), batch, inner];
    const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random.next());
    const inputs = new Map([[right, { dtype: 'float32' as const, dims, data }]]);
    const prepared = loadKernel(kernel, (target) =>
      compileTurnedPanels(panels, { ...target, relaxedSimd: false }),
    ).prepare(inputs, binding, { grain: 1 + random.int(3) });
    prepared.launch();
    const [{ tensor }] = kernel.outputs;
    const expected = interpretProgram(programOf(kernel), inputs, binding).get(tensor)!;
    compareBuffers('panels', prepared.read(tensor), expected, 0);
    expect(prepared.hasStrayWrites()).toBe(false);
  }
});

it('packs rows that were looked up', () => {
  const builder = new StageBuilder();
  builder.name = 'product';
  const [batch, experts, inner, columns] = [6, 2, 12, 16].map((size) => Dim.constant(size));
  const left = newTensorRef('left', 'float32', [batch, inner]);
  const right = newTensorRef('right', 'float32', [experts, columns, inner], { isConstant: true });
  const chosen = newTensorRef('chosen', 'int64', [Dim.constant(3), Dim.constant(2)], { isConstant: true });
  const expert = (i: Expr): Expr => boundedIndex(toIndex(elementAt(chosen, [div(i, 2), mod(i, 2)])), experts);
  const product = builder.reduce('sum', 'float32', [batch, columns], [inner], ([i, j], [k]) =>
    mul(elementAt(left, [i, k]), elementAt(right, [expert(i), j, k])),
  );
  const { kernels } = fuseProgram({
    inputs: [left, right, chosen],
    stages: builder.stages,
    outputs: [{ tensor: newTensorRef('result', 'float32', product.shape), source: product }],
  });
  const [kernel] = prepareProduct(kernels[0])!.before;
  const panels = readTurnedPanels(kernel)!;
  const inputsFor = (choice: readonly number[]) =>
    new Map<TensorRef, TensorBuffer>([
      [right, { dtype: 'float32', dims: [2, 16, 12], data: Float32Array.from({ length: 384 }, (_, at) => at) }],
      [chosen, { dtype: 'int64', dims: [3, 2], data: BigInt64Array.from(choice, BigInt) }],
    ]);
  const load = (choice: readonly number[]) =>
    loadKernel(kernel, (target) => compileTurnedPanels(panels, { ...target, relaxedSimd: false })).prepare(
      inputsFor(choice),
      new Map(),
    );
  const prepared = load([0, 1, 1, 0, 1, 0]);
  prepared.launch();
  const [{ tensor }] = kernel.outputs;
  const expected = interpretProgram(programOf(kernel), inputsFor([0, 1, 1, 0, 1, 0]), new Map()).get(tensor)!;
  compareBuffers('panels', prepared.read(tensor), expected, 0);
  expect(prepared.error()).toBeUndefined();
  const outside = load([0, 1, 1, 2, 1, 0]);
  outside.launch();
  expect(outside.error()).toBe(0);
});

it('where a panel comes from and goes to', () => {
  const { kernel } = packing(2, 16, Dim.symbol('n'));
  expect(printPhase(readTurnedPanels(kernel)!.places)).toMatchInlineSnapshot(`
    "phase product.panels.places parallel i < 2, p < floordiv(n + 7, 8)
      table[0] = int32(i * 16 + p * 256)
      table[1] = int32(i * (128*floordiv(n + 7, 8)) + p * 128)
      table[2] = int32(min(8, n - p * 8))"
  `);
});
