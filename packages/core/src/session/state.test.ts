// States on a provider that copies them: what is paired, how runs advance them, and how they end.

import { describe, expect, it } from 'vitest';
import { float32, type ModelSpec, node } from '../testing/build-model.ts';
import { errorOf, open } from '../testing/open-session.ts';
import { Tensor } from './tensor.ts';

/** present = past ++ x, sum over positions. */
const joining: ModelSpec = {
  inputs: { x: float32('batch', 'new', 2), 'past_key_values.0': float32('batch', 'past', 2) },
  initializers: { axis: new Tensor('int64', [1n]) },
  nodes: [
    node('Concat', ['past_key_values.0', 'x'], 'present.0', { axis: 1 }),
    node('ReduceSum', ['present.0', 'axis'], 'sum', { keepdims: 0 }),
  ],
  outputs: ['sum', 'present.0'],
};

/** h1 = h0 + x */
const summing: ModelSpec = {
  inputs: { x: float32('batch', 2), h0: float32('batch', 2) },
  nodes: [node('Add', ['h0', 'x'], 'h1')],
  outputs: ['h1'],
};

const x = (...items: number[]): Tensor => new Tensor('float32', items, [1, items.length / 2, 2]);
const data = (tensor: Tensor | undefined): number[] => Array.from(tensor!.data as Float32Array);

describe('createState', () => {
  it('finds past and present by their names', async () => {
    await using session = await open(joining);
    using state = session.createState();
    expect([state.inputNames, state.outputNames, state.length]).toEqual([['past_key_values.0'], ['present.0'], 0]);
  });

  it('takes pairs by name, and checks them', async () => {
    await using session = await open(summing);
    expect((await errorOf(() => session.createState())).message).toContain('createState({ pairs:');
    const pairs = (input: string, output: string) => () => session.createState({ pairs: { [input]: output } });
    expect(pairs('h0', 'h1')().inputNames).toEqual(['h0']);
    expect((await errorOf(pairs('h', 'h1'))).message).toBe('the model has no input "h".');
    expect((await errorOf(pairs('h0', 'h'))).message).toBe('the model has no output "h".');
    expect((await errorOf(() => session.createState({ capacity: -1 }))).code).toBe('INVALID_INPUT');
  });
});

describe('runs with a state', () => {
  it('go on from each other', async () => {
    await using session = await open(joining);
    using state = session.createState();
    const first = await session.run({ x: x(1, 2, 3, 4) }, { state });
    expect(Object.keys(first)).toEqual(['sum']);
    expect(data(first.sum)).toEqual([4, 6]);
    expect(data((await session.run({ x: x(10, 20) }, { state })).sum)).toEqual([14, 26]);
    expect(state.length).toBe(3);
    expect(data(await state.read('past_key_values.0'))).toEqual([1, 2, 3, 4, 10, 20]);
    // Asked for by name, an output of the state is a result too.
    const { 'present.0': present } = await session.run({ x: x(0, 1) }, ['present.0'], { state });
    expect(present.dims).toEqual([1, 4, 2]);
    // What is fed comes before what is held.
    const begun = await session.run({ x: x(1, 1), 'past_key_values.0': x(5, 5) }, { state });
    expect(data(begun.sum)).toEqual([6, 6]);
    expect(state.length).toBe(2);
  });

  it('begin with zeros where nothing grows', async () => {
    await using session = await open(summing);
    using state = session.createState({ pairs: { h0: 'h1' } });
    const step = async (value: number) => {
      const feed = new Tensor('float32', [value, 1, 1, 1], [2, 2]);
      return data((await session.run({ x: feed }, ['h1'], { state })).h1);
    };
    expect(await step(3)).toEqual([3, 1, 1, 1]);
    expect(await step(4)).toEqual([7, 2, 2, 2]);
    expect((await errorOf(() => state.truncate(0))).message).toContain('does not grow');
    state.reset();
    expect(await step(5)).toEqual([5, 1, 1, 1]);
  });

  it('leave it as it was when they fail', async () => {
    await using session = await open(joining);
    using state = session.createState();
    await session.run({ x: x(1, 2) }, { state });
    await errorOf(session.run({ x: new Tensor('float32', [1, 2, 3], [1, 1, 3]) }, { state }));
    await errorOf(session.run({ x: x(1, 2) }, { state, signal: AbortSignal.abort() }));
    expect(data((await session.run({ x: x(1, 2) }, { state })).sum)).toEqual([2, 4]);
  });

  it('need a state of their own session that is not disposed', async () => {
    await using session = await open(joining);
    await using other = await open(joining);
    const state = session.createState();
    const foreign = other.run({ x: x(1, 2) }, { state });
    expect((await errorOf(foreign)).message).toBe('the state belongs to another session.');
    const none = session.run({ x: x(1, 2) }, { state: {} as never });
    expect((await errorOf(none)).message).toContain('must come from session.createState()');
    await session.run({ x: x(1, 2) }, { state });
    const { bytesInUse } = session.memory();
    state.dispose();
    expect(session.memory().bytesInUse).toBeLessThan(bytesInUse);
    expect((await errorOf(session.run({ x: x(1, 2) }, { state }))).message).toBe('this state was disposed.');
  });
});
