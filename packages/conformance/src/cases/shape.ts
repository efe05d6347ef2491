// Operators that make shapes, and tensors out of shapes.

import { codeOfDType } from '@onnx-ts/core/internal';
import { isFloat } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { type Attribute, float, floats } from '../graph-builder.ts';
import { drawShape } from '../random.ts';
import { allKinds, encodeTensor } from '../values.ts';

function shape(b: CaseBuilder): void {
  const dtype = b.dtype();
  const dims = drawShape(b.draws, { budget: 300 });
  const position = (): number => b.draws.between(-dims.length - 1, dims.length + 1);
  const attributes = b.opset >= 15 ? { start: b.draws.maybe(position), end: b.draws.maybe(position) } : {};
  b.output(b.op('Shape', [b.random(dtype, dims)], attributes), 'int64');
}

function size(b: CaseBuilder): void {
  const dtype = b.dtype();
  b.output(b.op('Size', [b.random(dtype, drawShape(b.draws, { budget: 300 }))]), 'int64');
}

function constantOfShape(b: CaseBuilder): void {
  const dtype = b.dtype('T2');
  const isDefault = b.draws.below(4) === 0;
  const value = isDefault ? undefined : b.values(dtype, [1], ['small', 'special']);
  // A longer list of sizes would be their product over and over again.
  b.resizes = false;
  b.output(b.op('ConstantOfShape', [b.int64s(drawShape(b.draws))], { value }), isDefault ? 'float32' : dtype);
}

/** Values of every form: a tensor, a number, a text, or a list of them. */
function constant(b: CaseBuilder): void {
  const forms: Readonly<Record<string, Attribute>> = {
    value: b.values(b.dtype(), drawShape(b.draws, { budget: 60 }), allKinds),
    ...(b.opset >= 12 && {
      value_float: float(b.draws.pick([0, -1.5, 1e-3])),
      value_floats: floats([1, 2.5, -3].slice(0, b.draws.below(4))),
      value_int: b.draws.pick([0, -7, 2 ** 40]),
      value_ints: [1, -2, 3].slice(0, b.draws.between(1, 3)),
      value_string: b.draws.pick(['', 'é', 'a b']),
      value_strings: ['a', '', 'c'].slice(0, b.draws.between(1, 3)),
    }),
  };
  const form = b.draws.pick(Object.keys(forms));
  b.output(b.op('Constant', [], { [form]: forms[form] }));
}

function range(b: CaseBuilder): void {
  const dtype = b.dtype();
  const isReal = isFloat(dtype);
  const start = b.draws.between(-5, 9) + (isReal ? b.draws.pick([0, 0.1]) : 0);
  const step = b.draws.pick([1, 2, -1, -3, 5]) / (isReal ? b.draws.pick([1, 2, 4]) : 1);
  const limit = b.draws.pick([b.draws.between(-9, 20), 300]);
  b.output(b.op('Range', [b.scalar(dtype, start), b.scalar(dtype, limit), b.scalar(dtype, step)]), dtype);
}

function eyeLike(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const to = b.draws.maybe(() => b.dtype('T2'));
  const dims = [b.draws.between(b.isPeer ? 1 : 0, 9), b.draws.between(1, 9)];
  const attributes = {
    k: b.draws.maybe(() => b.draws.pick([0, 1, -1, 4, -4, 100, -(2 ** 33)])),
    dtype: to === undefined ? undefined : codeOfDType(to),
  };
  b.output(b.op('EyeLike', [b.random(dtype, dims)], attributes), to ?? dtype);
}

/** Sizes computed from sizes, and used for a reshape. */
function arithmetic(b: CaseBuilder): void {
  const dims = drawShape(b.draws, { minRank: 2, maxRank: 4, budget: 400, least: 1 });
  const x = b.input(b.values('float32', dims));
  const whole = b.op('Shape', [x]);
  const at = (index: number): string => {
    return b.op('Gather', [whole, b.graph.initializer(encodeTensor('int64', [1], [index]))], { axis: 0 });
  };
  const one = b.graph.initializer(encodeTensor('int64', [1], [1]));
  const split = b.draws.between(0, dims.length - 1);
  const product = dims.slice(split).map((_, index) => at(split + index));
  const merged = product.reduce((total, item) => b.op('Mul', [total, item]));
  const kept = dims.slice(0, split).map((_, index) => at(index));
  const style = b.draws.below(4);
  const last =
    style === 1
      ? b.op('Div', [b.op('Mul', [merged, one]), one])
      : style === 2
        ? b.op('Sub', [b.op('Add', [merged, one]), one])
        : merged;
  const target = b.op(
    'Concat',
    style === 3 ? [...kept, b.graph.initializer(encodeTensor('int64', [1], [-1]))] : [...kept, last],
    { axis: 0 },
  );
  const y = b.op('Reshape', [x, target]);
  if (b.opset < 8) return b.output(y);
  b.output(
    b.draws.coin()
      ? b.op(
          'Expand',
          [b.scalar('float32', 2), target].map((name, index) =>
            index === 1 && style === 3 ? b.op('Shape', [y]) : name,
          ),
        )
      : y,
  );
  if (b.draws.coin()) b.output(b.draws.pick([target, whole, last]));
}

export const shapes: Family = {
  name: 'shape',
  cases: {
    Constant: constant,
    Shape: shape,
    Size: size,
    ConstantOfShape: constantOfShape,
    Range: range,
    EyeLike: eyeLike,
    'Reshape#computed': arithmetic,
  },
};
