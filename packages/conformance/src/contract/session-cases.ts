// What a session on the provider promises when nothing goes wrong.

import { createSession, memoryArtifacts, Tensor } from '@onnx-ts/core';
import type { GraphNode } from '@onnx-ts/core/provider';
import { encodeModel } from '@onnx-ts/onnx-proto';
import { families } from '../families.ts';
import { makeCase } from '../make-case.ts';
import { Skipped } from '../result.ts';
import { AloneSession } from '../subject/run-alone.ts';
import { delegate, imbalanceOf, withoutDispose } from '../subject/watch.ts';
import { check, checkSame } from './check.ts';
import { type ContractCase, checkResults } from './trial.ts';

export const sessionCases: readonly ContractCase[] = [
  {
    name: 'session: gives what the reference gives',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session } = await trial.session(vehicle.chain(3));
      await session.dispose();
      const { session: one } = await trial.session(vehicle.model);
      const feeds = vehicle.feeds(5);
      await checkResults(vehicle, await one.run(feeds), feeds, vehicle.op);
      await one.dispose();
    },
  },
  {
    name: 'session: everything lent is given back once',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session, watch } = await trial.session(vehicle.chain(4));
      for (const rows of [3, 1, 8]) await session.run(vehicle.feeds(rows));
      await session.dispose();
      const imbalance = imbalanceOf(watch);
      check(imbalance === undefined, imbalance ?? '');
    },
  },
  {
    name: 'session: what was compiled leaves no memory behind: doing it again takes no more',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const provider = await trial.open();
      // The same provider for session after session: what it keeps for itself is kept once.
      const factory = { ...trial.factory, open: async () => withoutDispose(provider) };
      const left: number[] = [];
      try {
        for (let round = 0; round < 3; round++) {
          const session = await createSession(vehicle.chain(4), { providers: [factory], placement: 'providers' });
          for (const rows of [3, 1, 8]) await session.run(vehicle.feeds(rows));
          await session.dispose();
          left.push(provider.memory.bytesInUse);
        }
      } finally {
        await provider.dispose();
      }
      check(left[2] <= left[1], `${left.join(', ')} bytes are in use after the first, second and third time`);
    },
  },
  {
    name: 'session: tells its memory, which does not grow from run to run',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session } = await trial.session(vehicle.model);
      const feeds = vehicle.feeds(64);
      await session.run(feeds);
      const before = session.memory().bytesInUse;
      for (let at = 0; at < 5; at++) await session.run(feeds);
      const { bytesInUse, peakBytes } = session.memory();
      check(bytesInUse <= before, `${before} bytes in use after one run, ${bytesInUse} after six`);
      check(peakBytes >= bytesInUse, `the peak ${peakBytes} is below the ${bytesInUse} bytes in use`);
      check(peakBytes > 0, 'the peak is 0 after a run');
      await session.dispose();
    },
  },
  {
    name: 'session: dispose may be called twice, and ends it',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session, watch } = await trial.session(vehicle.model);
      const feeds = vehicle.feeds(2);
      await session.run(feeds);
      await Promise.all([session.dispose(), session.dispose()]);
      await session.dispose();
      check(watch.disposals === 1, `the provider was disposed ${watch.disposals} times`);
      const late = await session.run(feeds).catch((error: unknown) => error);
      check((late as { code?: string }).code === 'DISPOSED', 'a run after dispose does not fail with DISPOSED');
    },
  },
  {
    name: 'session: runs of one session at the same time do not disturb each other',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session } = await trial.session(vehicle.model);
      const feeds = [1, 2, 3, 4, 5, 6].map((seed) => vehicle.feeds(seed * 3, seed));
      const results = await Promise.all(feeds.map((fed) => session.run(fed)));
      for (const [at, got] of results.entries())
        await checkResults(vehicle, got, feeds[at], `run ${at} of six at once`);
      await session.dispose();
    },
  },
  {
    name: 'session: runs of two sessions at the same time do not disturb each other',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const [first, second] = await Promise.all([trial.session(vehicle.model), trial.session(vehicle.model)]);
      const feeds = [1, 2, 3, 4].map((seed) => vehicle.feeds(16, seed));
      const results = await Promise.all(feeds.map((fed, at) => (at % 2 === 0 ? first : second).session.run(fed)));
      for (const [at, got] of results.entries())
        await checkResults(vehicle, got, feeds[at], `run ${at} of two sessions`);
      await first.session.dispose();
      const again = await second.session.run(feeds[0]);
      await checkResults(vehicle, again, feeds[0], 'after the other session was disposed');
      await second.session.dispose();
    },
  },
  {
    name: 'session: the same feeds give the same bits, in this session and in another one',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session } = await trial.session(vehicle.model);
      const feeds = vehicle.feeds(33);
      const first = await session.run(feeds);
      for (let at = 0; at < 3; at++) checkSame(await session.run(feeds), first, 'differs from run to run');
      await session.dispose();
      const { session: other } = await trial.session(vehicle.model);
      checkSame(await other.run(feeds), first, 'differs from session to session');
      await other.dispose();
    },
  },
  {
    name: 'session: results outlive the feeds, the session, and each other',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session } = await trial.session(vehicle.model);
      const feeds = vehicle.feeds(9);
      const want = await vehicle.expected(feeds);
      const first = await session.run(feeds);
      const copy = (first.y.data as Float32Array).slice();
      (feeds.x as Tensor).dispose();
      const second = await session.run(vehicle.feeds(9, 2));
      (second.y.data as Float32Array).fill(0 as never);
      await session.dispose();
      check(
        (first.y.data as Float32Array).every((value, at) => Object.is(value, copy[at])),
        'a result changed after it was given',
      );
      check(first.y.dims.join() === (want.y as Tensor).dims.join(), 'a result has other dims than it had');
    },
  },
  {
    name: 'session: feeds may change when a run is over, and are not changed by it',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session } = await trial.session(vehicle.model);
      const feeds = vehicle.feeds(6);
      const { data } = feeds.x as Tensor;
      const before = (data as Float32Array).slice();
      const first = await session.run(feeds);
      check(
        (data as Float32Array).every((value, at) => value === before[at]),
        'a run changed what was fed',
      );
      const kept = (first.y.data as Float32Array).slice();
      (data as Float32Array).set((vehicle.feeds(6, 2).x as Tensor).data as Float32Array);
      check(
        (first.y.data as Float32Array).every((value, at) => Object.is(value, kept[at])),
        'a result follows its feed',
      );
      await checkResults(vehicle, await session.run(feeds), feeds, 'after the feed has changed');
      await session.dispose();
    },
  },
  {
    name: 'session: sizes may change from run to run, to nothing and back',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session, watch } = await trial.session(vehicle.model);
      // More sizes than bindings are kept, some of them again.
      for (const rows of [4, 0, 1, 7, 64, 3, 0, 100, 5, 6, 2, 8, 9, 4, 257, 1]) {
        const feeds = vehicle.feeds(rows, rows + 1);
        await checkResults(vehicle, await session.run(feeds), feeds, `${rows} rows`);
      }
      await session.dispose();
      check(watch.bindings.size === 0, `${watch.bindings.size} bindings were not given back`);
    },
  },
  {
    name: 'session: results may stay on the device, be read, fed again and disposed',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session, watch } = await trial.session(vehicle.model, { preferredOutputLocation: 'device' });
      const feeds = vehicle.feeds(8);
      const { y } = await session.run(feeds);
      check(y.location === 'device', `the result is at "${y.location}"`);
      const { y: second } = await session.run({ x: y });
      const data = new Tensor(y.type, await y.getData(), y.dims);
      await checkResults(vehicle, { y: data }, feeds, 'read from the device');
      const twice = new Tensor(second.type, await second.getData(), second.dims);
      await checkResults(vehicle, { y: twice }, { x: data }, 'of a result that was fed');
      y.dispose();
      second.dispose();
      await session.dispose();
      const imbalance = imbalanceOf(watch);
      check(imbalance === undefined, imbalance ?? '');
    },
  },
  {
    name: 'session: kernels name nodes of the model, progress is told from 0 to 1, and profiles tell times',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const { session, watch } = await trial.session(vehicle.chain(3), { enableProfiling: true });
      await session.run(vehicle.feeds(4));
      const steps = session.explain().steps.filter(({ place }) => place === 'provider');
      const nodes = new Set(steps.flatMap((step) => step.nodes.map(({ name }) => name)));
      for (const { kernels = [] } of steps) {
        check(kernels.length > 0, 'a step on the provider has no kernels');
        for (const kernel of kernels) {
          const stranger = kernel.nodes.find((name) => !nodes.has(name));
          check(stranger === undefined, `the kernel "${kernel.name}" does the work of "${stranger}", which is no node`);
        }
      }
      for (const { name, ts, dur } of session.endProfiling().traceEvents) {
        check(dur >= 0 && Number.isFinite(ts), `the event "${name}" lasts ${dur} µs from ${ts}`);
      }
      const odd = watch.progress.find((fraction) => !(fraction >= 0 && fraction <= 1));
      check(odd === undefined, `progress of ${odd}`);
      await session.dispose();
    },
  },
  {
    name: 'session: what it keeps of a compiled model can be used again',
    async run(trial) {
      const vehicle = await trial.vehicle();
      const artifacts = memoryArtifacts();
      const feeds = vehicle.feeds(7);
      const { session, watch } = await trial.session(vehicle.chain(2), { artifacts });
      if (watch.provider.artifactKey === undefined) {
        await session.dispose();
        throw new Skipped('it keeps nothing (no artifactKey)');
      }
      const first = await session.run(feeds);
      await session.dispose();
      const { session: again } = await trial.session(vehicle.chain(2), { artifacts });
      checkSame(await again.run(feeds), first, 'differs when the session is made from artifacts');
      await again.dispose();
    },
  },
  {
    name: 'supports: never throws, gives a reason with each refusal, and says the same twice',
    async run(trial) {
      for (const family of families) {
        for (let seed = 1; seed <= 2; seed++) {
          const { model } = makeCase({ family: family.name, seed });
          const answers = [await supportOf(trial.factory, model), await supportOf(trial.factory, model)];
          if (!answers[0] || !answers[1]) continue;
          check(answers[0].faults.length === 0, answers[0].faults[0] ?? '');
          check(answers[0].text === answers[1].text, `it answers otherwise the second time: ${answers[1].text}`);
        }
      }
    },
  },
];

type Model = Parameters<typeof encodeModel>[0];

/** Undefined where no session comes about: other suites say why. */
async function supportOf(
  factory: Parameters<typeof AloneSession.open>[0],
  model: Model,
): Promise<{ readonly faults: readonly string[]; readonly text: string } | undefined> {
  let asked = '';
  const throwing = {
    ...factory,
    open: async (...given: Parameters<typeof factory.open>) => {
      const provider = await factory.open(...given);
      return {
        ...delegate(provider),
        supports(node: GraphNode) {
          try {
            return provider.supports(node);
          } catch (error) {
            asked = `supports threw for ${node.op}: ${String(error)}`;
            throw error;
          }
        },
      };
    },
  };
  try {
    await using session = await AloneSession.open(throwing, encodeModel(model));
    const { claimed, refused, faults } = session.watch;
    return { faults, text: `${[...claimed].sort()} | ${[...refused].sort()}` };
  } catch {
    check(asked === '', asked);
    return undefined;
  }
}
