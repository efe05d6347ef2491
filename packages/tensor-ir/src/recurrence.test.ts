import { expect, it } from 'vitest';
import { Dim } from './dim.ts';
import { add, elementAt, mul, toIndex } from './expr.ts';
import { fuseProgram } from './fuse.ts';
import { interpretProgram } from './interpret.ts';
import { canonicalKernel, printProgram } from './print.ts';
import { type Program, type RecurrenceStage, StageBuilder } from './stage.ts';
import { newTensorRef } from './tensor-ref.ts';
import { verifyKernel, verifyProgram } from './verify.ts';

/** Two parts of a state of two numbers: x[t] + Σ weight · first, and how often the second has doubled. */
function example(scale = 1): Program {
  const steps = Dim.symbol('steps');
  const x = newTensorRef('x', 'float32', [steps, Dim.constant(2)]);
  const weight = newTensorRef('weight', 'float32', [Dim.constant(2), Dim.constant(2)]);
  const stages = new StageBuilder();
  stages.name = 'example';
  const states = stages.recurrence(
    'float32',
    steps,
    [2],
    [() => elementAt(weight, [0, 0]), ([i]) => elementAt(weight, [1, i])],
    ({ step, state, builder }) => {
      const product = builder.reduce('sum', 'float32', [2], [2], ([i], [k]) =>
        mul(elementAt(weight, [i, k]), state(0, [k])),
      );
      return [
        ([i]) => add(elementAt(product, [i]), mul(elementAt(x, [step, i]), scale)),
        ([i]) => add(state(1, [i]), state(1, [i])),
      ];
    },
  );
  const tensor = newTensorRef('states', 'float32', states.shape);
  return { inputs: [x, weight], stages: stages.stages, outputs: [{ tensor, source: states }] };
}

function run(program: Program, steps: number): number[] {
  const [x, weight] = program.inputs;
  const inputs = new Map([
    [x, { dtype: 'float32' as const, dims: [steps, 2], data: Float32Array.from({ length: steps * 2 }, (_, at) => at) }],
    [weight, { dtype: 'float32' as const, dims: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
  ]);
  const [{ tensor }] = program.outputs;
  const result = interpretProgram(program, inputs, new Map([['steps', steps]])).get(tensor)!;
  return [...(result.data as Float32Array)];
}

it('holds the first state and what follows from it', () => {
  const program = example();
  verifyProgram(program);
  expect(run(program, 2)).toEqual([1, 1, 3, 4, 3, 8, 6, 8, 21, 44, 12, 16]);
  expect(run(program, 0)).toEqual([1, 1, 3, 4]);
});

it('is printed with what it computes in each step', () => {
  expect(printProgram(example())).toMatchInlineSnapshot(`
    "program
      input x float32[steps, 2]
      input weight float32[2, 2]
      example float32[steps + 1, 2, 2] = recurrence of state float32[2, 2] over t < steps
        initial 0 [i] = weight[0, 0]
        initial 1 [i] = weight[1, i]
        example.2[i] float32[2] = sum over ri < 2: weight[i, ri] * state[0, ri]
        next 0 [i] = example.2[i] + x[t, i] * 1
        next 1 [i] = state[1, i] + state[1, i]
      output states float32[steps + 1, 2, 2] = example"
  `);
});

it('is a kernel of its own, equal for equal structure', () => {
  const kernels = [example(), example(), example(2)].map((program) => fuseProgram(program).kernels);
  for (const kernel of kernels.flat()) verifyKernel(kernel);
  expect(kernels.map((list) => list.map((kernel) => kernel.class))).toEqual([
    ['recurrence'],
    ['recurrence'],
    ['recurrence'],
  ]);
  const keys = kernels.map(([kernel]) => canonicalKernel(kernel).key);
  expect(keys[0]).toBe(keys[1]);
  expect(keys[0]).not.toBe(keys[2]);
});

it('rejects states that do not fit, and a first state that depends on the step', () => {
  const program = example();
  const [states] = program.stages as [RecurrenceStage];
  const broken = (change: Partial<RecurrenceStage>): Program => ({
    ...program,
    stages: [{ ...states, ...change }],
    outputs: [],
  });
  expect(() => verifyProgram(broken({ shape: [states.step.size, ...states.shape.slice(1)] }))).toThrow(
    /2 parts and steps \+ 1 states/,
  );
  const early = states.parts.map((part) => ({
    ...part,
    initial: elementAt(states.state, [0, ...part.axes.map(toIndex)]),
  }));
  expect(() => verifyProgram(broken({ parts: early }))).toThrow(/state cannot be read here/);
});
