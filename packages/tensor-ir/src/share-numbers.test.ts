import { expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { add, elementAt, max, mul } from './expr.ts';
import { fuseProgram } from './fuse.ts';
import { interpretProgram } from './interpret.ts';
import type { Kernel } from './kernel.ts';
import { kernelKey, printKernel } from './print.ts';
import { shareNumbers } from './share-numbers.ts';
import { StageBuilder } from './stage.ts';
import type { TensorBuffer } from './tensor-buffer.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';
import { verifyKernel } from './verify.ts';

const size = (...dims: number[]) => dims.map(Dim.from);

/** sum(x) · scale + 0.25, then at least `least`. */
function scaled(name: string, scale: number, least: number): Kernel {
  const x = newTensorRef('x', 'float32', size(4, 8));
  const builder = new StageBuilder();
  const total = builder.reduce('sum', 'float32', size(4), size(8), ([i], [k]) => elementAt(x, [i, k]));
  const source = builder.map('float32', size(4), ([i]) => add(mul(elementAt(total, [i]), scale), 0.25));
  const most = builder.map('float32', size(4), ([i]) => max(elementAt(source, [i]), least));
  const tensor = newTensorRef(`${name}.y`, 'float32', size(4));
  const program = { inputs: [x], stages: builder.stages, outputs: [{ tensor, source: most }] };
  const { kernels } = fuseProgram(program);
  expect(kernels.length).toBe(1);
  return { ...kernels[0], name };
}

it('takes out what differs between equal kernels, and nothing else', () => {
  const before = [scaled('a', 0.125, 1), scaled('b', 0.375, 1), scaled('c', 0.125, 2)];
  const { kernels, numbers } = shareNumbers(before);
  kernels.forEach(verifyKernel);
  expect(kernelKey(kernels[1])).toBe(kernelKey(kernels[0]));
  expect(kernels[2]).toBe(before[2]);
  expect([...numbers].map(([tensor, values]) => [tensor.name, tensor.isConstant, [...values]])).toEqual([
    ['a.numbers', true, [0.125]],
    ['b.numbers', true, [0.375]],
  ]);
  expect(printKernel(kernels[0])).toContain('* a.numbers[0] + 0.25');
});

it('computes what it computed', () => {
  const before = [scaled('a', 0.125, 0), scaled('b', 0.375, 0)];
  const { kernels, numbers } = shareNumbers(before);
  const run = ({ params, stages, outputs: [{ tensor, stage }] }: Kernel) => {
    const filled = Float32Array.from({ length: 32 }, (_, at) => at - 9);
    const inputs = new Map(
      params.map((param): [TensorRef, TensorBuffer] => {
        const dims = param.shape.map((dim) => dim.constant!);
        return [param, { dtype: 'float32', dims, data: numbers.get(param) ?? filled }];
      }),
    );
    const program = { inputs: params, stages, outputs: [{ tensor, source: stage }] };
    const results = interpretProgram(program, inputs, new Map());
    return [...(results.get(tensor)!.data as Float32Array)];
  };
  expect(kernels.map(run)).toEqual(before.map(run));
  expect(numbers.size).toBe(2);
});

it('leaves kernels that are alone as they are', () => {
  const before = [scaled('a', 0.125, 0)];
  expect(shareNumbers(before)).toEqual({ kernels: before, numbers: new Map() });
});
