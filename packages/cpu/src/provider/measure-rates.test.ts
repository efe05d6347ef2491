import { expect, it } from 'vitest';
import type { CpuProvider } from './cpu-provider.ts';
import { cpu } from './factory.ts';

it.each([1, 2])('measures the machine with %i threads and leaves nothing behind', async (threads) => {
  const factory = cpu({ threads });
  const [device] = await factory.discover({ kind: 'node', concurrency: 2 });
  const provider = (await factory.open(device)) as CpuProvider;
  try {
    const before = provider.memory.bytesInUse;
    const { flops, bandwidth } = await provider.measure();
    expect(flops).toBeGreaterThan(1e8);
    expect(bandwidth).toBeGreaterThan(1e8);
    // What the pool keeps for its threads may stay.
    expect(provider.memory.bytesInUse - before).toBeLessThan(1 << 16);
  } finally {
    await provider.dispose();
  }
});

it('tells placement in a tenth of a second what the machine is like', async () => {
  const factory = cpu({ threads: 2 });
  const [device] = await factory.discover({ kind: 'node', concurrency: 2 });
  const provider = (await factory.open(device)) as CpuProvider;
  try {
    const start = process.cpuUsage();
    const profile = await provider.probe();
    const { user, system } = process.cpuUsage(start);
    // Of two threads.
    expect((user + system) / 1000).toBeLessThan(200);
    const { launch, flops, bandwidth, transferLatency, transferBandwidth, sync } = profile;
    for (const rate of [flops, bandwidth, transferBandwidth]) expect(rate).toBeGreaterThan(1e8);
    for (const seconds of [launch, transferLatency, sync]) expect(seconds).toBeLessThan(1e-2);
  } finally {
    await provider.dispose();
  }
});
