import {
  add,
  cast,
  constant,
  Dim,
  type DType,
  type Expr,
  elementAt,
  fuseProgram,
  interpretProgram,
  newTensorRef,
  round,
  StageBuilder,
  type TensorBuffer,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { kernelText } from './kernel-text.ts';
import { loadKernel } from './run-kernel.ts';

const specials = [NaN, Infinity, -Infinity, -0, 1e30, -1e30, 2 ** 23 + 1, 127.5, 128.5, -128.5, -129.5, 255.5, 254.5];
const halves = Array.from({ length: 1203 }, (_, at) => (at - 601) / 2);
const data = Float32Array.from([...specials, ...halves]);

/** saturate(round(x) + zero), where the zero point is a number or an element of a tensor of uint8. */
function quantizing(type: DType, zero: number | 'tensor') {
  const x = newTensorRef('x', 'float32', [Dim.constant(data.length)]);
  const point = newTensorRef('zero', 'uint8', []);
  const stages = new StageBuilder();
  const shift: Expr = zero === 'tensor' ? cast('float32', elementAt(point, [])) : constant('float32', zero);
  const source = stages.map(type, x.shape, (at) => cast(type, add(round(elementAt(x, at)), shift), { saturate: true }));
  const tensor = newTensorRef('y', type, x.shape);
  const program = { inputs: [x, point], stages: stages.stages, outputs: [{ tensor, source }] };
  const inputs = new Map<TensorRef, TensorBuffer>([
    [x, { dtype: 'float32', dims: [data.length], data }],
    [point, { dtype: 'uint8', dims: [], data: Uint8Array.of(131) }],
  ]);
  return { program, kernel: fuseProgram(program).kernels[0], tensor, inputs };
}

describe.each(['uint8', 'int8', 'uint16', 'int16'] as const)('rounding to %s', (type) => {
  it.each([0, 131, -7, 'tensor'] as const)('with zero point %s: clamps, halves to even, NaN is 0', (zero) => {
    const { program, kernel, tensor, inputs } = quantizing(type, zero);
    expect(kernelText(kernel)).toContain('f32x4.pmin');
    const prepared = loadKernel(kernel).prepare(inputs, new Map());
    prepared.launch();
    expect(prepared.read(tensor).data).toEqual(interpretProgram(program, inputs, new Map()).get(tensor)!.data);
  });
});
