// What the provider promises when something goes wrong: an error that helps, nothing left behind, and a session that goes on.

import { createSession, OnnxTsError, type ProviderFactory } from '@onnx-ts/core';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { GraphBuilder } from '../graph-builder.ts';
import { Skipped } from '../result.ts';
import { AloneSession } from '../subject/run-alone.ts';
import { imbalanceOf, type Watch, watchProvider } from '../subject/watch.ts';
import { encodeTensor } from '../values.ts';
import { check, errorOf } from './check.ts';
import { type ContractCase, checkResults } from './trial.ts';

export const failureCases: readonly ContractCase[] = [
  {
    name: 'out of memory while a model runs is an error that names the provider, and the session goes on',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session, watch } = await trial.session(vehicle.model, { memoryBudget: 4_000_000 });
      const small = vehicle.feeds(4);
      await session.run(small);
      const error = await errorOf(session.run(vehicle.feeds(1_000_000)), 'a run beyond the budget');
      check(error.code === 'OUT_OF_MEMORY', `the error is ${error.code}: ${error.message}`);
      check(error.place.provider === trial.factory.id, `the error names no provider: ${error.message}`);
      await checkResults(vehicle, await session.run(small), small, 'after a run that had no memory');
      await session.dispose();
      const imbalance = imbalanceOf(watch);
      check(imbalance === undefined, imbalance ?? '');
    },
  },
  {
    name: 'with hardly any memory, a session or its first run fails with OUT_OF_MEMORY, and leaves nothing behind',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { factory, watches } = watchProvider(trial.factory);
      const made = createSession(vehicle.model, {
        providers: [factory],
        placement: 'providers',
        memoryBudget: 1,
      }).then(async (session) => {
        try {
          await session.run(vehicle.feeds(100_000));
        } finally {
          await session.dispose();
        }
      });
      const error = await errorOf(made, 'a session with a budget of one byte');
      const isTold = error.code === 'OUT_OF_MEMORY' || error.code === 'PROVIDER';
      check(isTold, `the error is ${error.code}: ${error.message}`);
      checkBalance(watches);
    },
  },
  {
    name: 'aborting while a session is made ends it with ABORTED, and leaves nothing behind',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { factory, watches } = watchProvider(trial.factory);
      const controller = new AbortController();
      const made = createSession(vehicle.chain(12), {
        providers: [factory],
        placement: 'providers',
        signal: controller.signal,
        onProgress: ({ phase }) => phase === 'compile' && controller.abort(new Error('enough')),
      });
      const error = await errorOf(made, 'a session that was aborted');
      check(error.code === 'ABORTED', `the error is ${error.code}: ${error.message}`);
      checkBalance(watches);
    },
  },
  {
    name: 'aborting a run before it begins ends it with ABORTED',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session } = await trial.session(vehicle.model);
      const error = await errorOf(session.run(vehicle.feeds(2), { signal: AbortSignal.abort() }), 'an aborted run');
      check(error.code === 'ABORTED', `the error is ${error.code}: ${error.message}`);
      await session.dispose();
    },
  },
  {
    name: 'aborting a run under way ends it with ABORTED or lets it end, and the session goes on',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session, watch } = await trial.session(vehicle.chain(40));
      const feeds = vehicle.feeds(3000);
      const [calm] = [await session.run(feeds)];
      for (const wait of [0, 1, 2, 5]) {
        const controller = new AbortController();
        const run = session.run(feeds, { signal: controller.signal });
        if (wait === 0) queueMicrotask(() => controller.abort());
        else setTimeout(() => controller.abort(), wait);
        const outcome = await run.catch((error: unknown) => error);
        check(
          !(outcome instanceof Error) || (OnnxTsError.is(outcome) && outcome.code === 'ABORTED'),
          `an aborted run ended with ${String(outcome)}`,
        );
      }
      const { y } = await session.run(feeds);
      check(
        (y.data as Float32Array).every((value, at) => Object.is(value, calm.y.data[at])),
        'results differ after runs were aborted',
      );
      await session.dispose();
      const imbalance = imbalanceOf(watch);
      check(imbalance === undefined, imbalance ?? '');
    },
  },
  {
    name: 'feeds of the wrong type or size are refused, and the session goes on',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session } = await trial.session(vehicle.model);
      const good = vehicle.feeds(2);
      for (const [bad, what] of [
        [encodeTensor('uint16', [2, 8], Array(16).fill(0)), 'another type'],
        [encodeTensor('float32', [2, 8, 1], Array(16).fill(0)), 'another rank'],
      ] as const) {
        const error = await errorOf(session.run({ x: bad }), `a feed of ${what}`);
        check(error.code === 'INVALID_INPUT', `the error is ${error.code}: ${error.message}`);
        await checkResults(vehicle, await session.run(good), good, `after a feed of ${what}`);
      }
      await session.dispose();
    },
  },
  {
    name: 'an index out of range, read from data, is an error that names the node, never a wild read',
    async run(trial) {
      const graph = new GraphBuilder();
      const table = graph.input('float32', ['n', 4], 'x');
      const ids = graph.input('int64', ['k'], 'ids');
      const picked = graph.op('Gather', [table, ids]);
      graph.output(picked);
      const model = encodeModel({ irVersion: 10, opsetImport: [{ version: 20 }], graph: graph.message() });
      await skipUnlessTaken(trial.factory, model, 'Gather');
      const { session } = await trial.session(model);
      const x = encodeTensor('float32', [3, 4], Array(12).fill(1));
      const feedIds = (...values: number[]) => encodeTensor('int64', [values.length], values);
      await session.run({ x, ids: feedIds(0, -3, 2) });
      for (const bad of [3, -4, 1e9]) {
        const error = await errorOf(session.run({ x, ids: feedIds(0, bad) }), `an index of ${bad} into 3 rows`);
        check(error.code === 'OUT_OF_RANGE', `the error is ${error.code}: ${error.message}`);
        check(error.place.op === 'Gather' && !!error.place.node, `the error names no node: ${error.message}`);
        await session.run({ x, ids: feedIds(1) });
      }
      await session.dispose();
    },
  },
  {
    name: 'a lost device is an error of the provider, and the session can be disposed',
    async run(trial) {
      if (!trial.losable) throw new Skipped('no way to lose the device was given (option losable)');
      const vehicle = await trial.vehicle();
      const { provider, lose } = await trial.losable();
      const session = await createSession(vehicle.model, { providers: [provider], placement: 'providers' });
      const feeds = vehicle.feeds(4);
      await checkResults(vehicle, await session.run(feeds), feeds, 'before the device was lost');
      await lose();
      const error = await errorOf(session.run(feeds), 'a run on a lost device');
      check(error.code === 'PROVIDER', `the error is ${error.code}: ${error.message}`);
      check(error.place.provider === provider.id, `the error names no provider: ${error.message}`);
      await session.dispose();
    },
  },
];

async function skipUnlessTaken(factory: ProviderFactory, model: Uint8Array, op: string): Promise<void> {
  await using session = await AloneSession.open(factory, model);
  if (session.watch.compiled.size === 0) throw new Skipped(`it does not take ${op}`);
}

function checkBalance(watches: readonly Watch[]): void {
  for (const watch of watches) {
    const imbalance = imbalanceOf(watch);
    check(imbalance === undefined, imbalance ?? '');
  }
}
