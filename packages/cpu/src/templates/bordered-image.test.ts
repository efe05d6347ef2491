import {
  add,
  and,
  Dim,
  type Expr,
  elementAt,
  fuseProgram,
  ge,
  lt,
  mul,
  newTensorRef,
  StageBuilder,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { expect, it } from 'vitest';
import { prepareProduct } from './product.ts';

const size = 20;

/** What runs before a convolution of `channels` by windows of 3 × 5, and the run of A that is multiplied. */
function prepare(channels: number, inside: (row: Expr, column: Expr) => Expr) {
  const builder = new StageBuilder();
  builder.name = 'conv';
  const dims = (sizes: readonly number[]) => sizes.map((each) => Dim.constant(each));
  const image = newTensorRef('image', 'float32', dims([1, channels, size, size]), { order: [0, 2, 3, 1] });
  const weight = newTensorRef('weight', 'float32', dims([16, channels, 3, 5]), { isConstant: true });
  const stage = builder.reduce(
    'sum',
    'float32',
    dims([16, size, size]),
    dims([channels, 3, 5]),
    ([o, y, x], [c, i, j]) => {
      const row = sub(add(toIndex(y), toIndex(i)), 1);
      const column = sub(add(toIndex(x), toIndex(j)), 2);
      return mul(
        elementAt(image, [0, c, row, column], { when: inside(row, column), otherwise: 0 }),
        elementAt(weight, [o, c, i, j]),
      );
    },
  );
  const output = newTensorRef('result', 'float32', stage.shape, { order: [1, 2, 0] });
  const { kernels } = fuseProgram({
    inputs: [image, weight],
    stages: builder.stages,
    outputs: [{ tensor: output, source: stage }],
  });
  const { product, before } = prepareProduct(kernels[0])!;
  return { copies: before.map(({ name }) => name), run: product.run.map((axis) => axis.size.constant), before };
}

const between = (e: Expr, end: number): Expr => and(ge(e, 0), lt(e, end));
const wholeImage = (row: Expr, column: Expr): Expr => and(between(row, size), between(column, size));

it('a window row of an image of few channels is one run of a copy with its border', () => {
  const { copies, run, before } = prepare(3, wholeImage);
  expect(copies).toEqual(['conv.bordered', 'conv.panels']);
  expect(run).toEqual([5, 3]);
  expect(before[0].outputs[0].tensor.shape.map((dim) => dim.constant)).toEqual([1, 3, size + 2, size + 4]);
});

it('an image of many channels is read where it is', () => {
  expect(prepare(8, wholeImage).copies).not.toContain('conv.bordered');
});

it('other conditions than the edges of the image are left alone', () => {
  expect(prepare(3, (row, column) => and(between(row, size - 4), between(column, size))).copies).toContain('conv.rows');
});
