import { expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { div, elementAt, exp } from './expr.ts';
import { fuseProgram } from './fuse.ts';
import { assignLayouts } from './layout.ts';
import { type Program, StageBuilder } from './stage.ts';
import { newTensorRef } from './tensor-ref.ts';
import { verifyKernel } from './verify.ts';

/** Softmax over the middle axis, rows first, and turned back. */
function middleSoftmax(): Program {
  const [n, m, k] = [Dim.symbol('n'), Dim.symbol('m'), Dim.symbol('k')];
  const x = newTensorRef('x', 'float32', [n, m, k]);
  const stages = new StageBuilder();
  const power = stages.map('float32', [n, k, m], ([i, j, lane]) => exp(elementAt(x, [i, lane, j])));
  const total = stages.reduce('sum', 'float32', [n, k], [m], ([i, j], [lane]) => elementAt(power, [i, j, lane]));
  const result = stages.map('float32', [n, k, m], ([i, j, lane]) =>
    div(elementAt(power, [i, j, lane]), elementAt(total, [i, j])),
  );
  const turned = stages.map('float32', [n, m, k], ([i, lane, j]) => elementAt(result, [i, j, lane]));
  return {
    inputs: [x],
    stages: stages.stages,
    outputs: [{ tensor: newTensorRef('y', 'float32', [n, m, k]), source: turned }],
  };
}

it('a row kernel writes its result in the order of the transpose behind it', () => {
  const program = middleSoftmax();
  const { kernels, aliases } = assignLayouts(fuseProgram(program));
  for (const kernel of kernels) verifyKernel(kernel);
  expect(kernels.map((kernel) => kernel.class)).toEqual(['row']);
  const [{ tensor }] = kernels[0].outputs;
  expect(tensor.order).toEqual([0, 2, 1]);
  expect(aliases.get(tensor)).toBe(program.outputs[0].tensor);
});

it('a result that is an output too keeps its order', () => {
  const program = middleSoftmax();
  const result = program.stages[2];
  const both: Program = {
    ...program,
    outputs: [...program.outputs, { tensor: newTensorRef('z', 'float32', result.shape), source: result }],
  };
  const { kernels } = assignLayouts(fuseProgram(both));
  expect(kernels.map((kernel) => kernel.class)).toEqual(['row', 'pointwise']);
  expect(kernels.flatMap(({ outputs }) => outputs.map(({ tensor }) => tensor.order))).toEqual([undefined, undefined]);
});
