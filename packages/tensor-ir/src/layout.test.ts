import { expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { add, type Expr, elementAt, max, mul } from './expr.ts';
import { fuseProgram } from './fuse.ts';
import { assignLayouts } from './layout.ts';
import { StageBuilder } from './stage.ts';
import { newTensorRef } from './tensor-ref.ts';
import { verifyKernel } from './verify.ts';

const size = (...dims: number[]) => dims.map(Dim.from);

it('stores what lies between convolutions channels-last, and weights of depthwise ones too', () => {
  const x = newTensorRef('x', 'float32', size(1, 8, 6, 6));
  const [w, depthwise] = [
    newTensorRef('w', 'float32', size(16, 8, 3, 3), { isConstant: true }),
    newTensorRef('d', 'float32', size(16, 1, 3, 3), { isConstant: true }),
  ];
  const builder = new StageBuilder();
  const first = builder.reduce('sum', 'float32', size(1, 16, 4, 4), size(8, 3, 3), ([n, o, h, v], [c, kh, kw]) =>
    mul(elementAt(x, [n, c, add(h, kh), add(v, kw)]), elementAt(w, [o, c, kh, kw])),
  );
  const active = builder.map('float32', first.shape, (i) => max(elementAt(first, i), 0));
  const second = builder.reduce('sum', 'float32', size(1, 16, 2, 2), size(1, 3, 3), ([n, o, h, v], [c, kh, kw]) =>
    mul(elementAt(active, [n, o, add(h, kh), add(v, kw)]), elementAt(depthwise, [o, c, kh, kw])),
  );
  const squared = builder.map('float32', second.shape, (i) => mul(elementAt(second, i), elementAt(second, i)));
  const doubled = builder.map('float32', second.shape, (i) => add(elementAt(squared, i), elementAt(squared, i)));
  const total = builder.reduce('sum', 'float32', size(1, 16), size(2, 2), (i, [h, v]) =>
    elementAt(squared, [...i, h, v]),
  );
  const outputs = [doubled, total].map((source, at) => ({
    tensor: newTensorRef(`out${at}`, 'float32', source.shape),
    source,
  }));
  const fused = assignLayouts(fuseProgram({ inputs: [x, w, depthwise], stages: builder.stages, outputs }));
  fused.kernels.forEach(verifyKernel);
  const orders = new Map(
    fused.kernels.flatMap((kernel) => kernel.outputs).map(({ tensor, stage }) => [stage.kind, tensor.order]),
  );
  const written = fused.kernels.map((kernel) => kernel.outputs[0].tensor.order?.join());
  expect(written).toContain('0,2,3,1');
  expect(written).toContain('1,2,3,0');
  // What the caller sees keeps its order.
  for (const { tensor } of outputs) expect(tensor.order).toBeUndefined();
  expect(orders.size).toBeGreaterThan(1);
});

it('copies images of convolutions that the caller sees', () => {
  const x = newTensorRef('x', 'float32', size(1, 8, 6, 6));
  const w = newTensorRef('w', 'float32', size(16, 8, 3, 3), { isConstant: true });
  const builder = new StageBuilder();
  const image = ([n, c, h, v]: readonly Expr[]) => elementAt(x, [n, c, h, v]);
  const convolve = () =>
    builder.reduce('sum', 'float32', size(1, 16, 4, 4), size(8, 3, 3), ([n, o, h, v], [c, kh, kw]) =>
      mul(image([n, c, add(h, kh), add(v, kw)]), elementAt(w, [o, c, kh, kw])),
    );
  const outputs = [convolve(), convolve()].map((source, at) => ({
    tensor: newTensorRef(`y${at}`, 'float32', source.shape),
    source,
  }));
  const fused = assignLayouts(fuseProgram({ inputs: [x, w], stages: builder.stages, outputs }));
  fused.kernels.forEach(verifyKernel);
  // One copy of the image for both; each result is copied back to the order that the caller expects.
  expect(fused.kernels.map((kernel) => kernel.class)).toEqual([
    'pointwise',
    'contraction',
    'pointwise',
    'contraction',
    'pointwise',
  ]);
  const orders = fused.kernels.map((kernel) => kernel.outputs[0].tensor.order?.join());
  expect(orders).toEqual(['0,2,3,1', '0,2,3,1', undefined, '0,2,3,1', undefined]);
  expect(fused.kernels[1].params).not.toContain(x);
});
