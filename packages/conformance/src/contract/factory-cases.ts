// What a provider promises before a model is there.

import { hostInfo } from '@onnx-ts/core/internal';
import type { DeviceInfo, HostInfo } from '@onnx-ts/core/provider';
import { Skipped } from '../result.ts';
import { check } from './check.ts';
import type { ContractCase } from './trial.ts';

const hosts: readonly HostInfo[] = [
  ...(['node', 'browser', 'deno', 'bun', 'other'] as const).map((kind) => ({ kind, concurrency: 4 })),
  { kind: 'other', concurrency: 1 },
  { kind: 'node', concurrency: 1, isPrecompiled: true },
];

export const factoryCases: readonly ContractCase[] = [
  {
    name: 'is a factory of version 1 with an id',
    needsNoDevice: true,
    async run({ factory }) {
      check(factory.apiVersion === 1, `apiVersion is ${factory.apiVersion}, not 1`);
      check(/^[a-z][\w.-]*$/i.test(factory.id), `the id "${factory.id}" is not a word`);
      check(factory.id !== 'host', 'the id "host" is taken');
    },
  },
  {
    name: 'discover never throws, and tells of each device what it is or why it is not usable',
    needsNoDevice: true,
    async run({ factory }) {
      for (const host of hosts) {
        let devices: readonly DeviceInfo[];
        try {
          devices = await factory.discover(host);
        } catch (error) {
          check(false, `discover threw for ${JSON.stringify(host)}: ${String(error)}`);
        }
        check(Array.isArray(devices), 'discover gives no list');
        for (const device of devices) {
          check(device.provider === factory.id, `a device belongs to "${device.provider}", not to "${factory.id}"`);
          check(typeof device.name === 'string' && device.name !== '', 'a device has no name');
          check(device.usable || !!device.reason?.trim(), `"${device.name}" is not usable, without a reason`);
          const plain = JSON.parse(JSON.stringify(device.properties)) as object;
          check(
            Object.keys(plain).length === Object.keys(device.properties).length,
            `properties of "${device.name}" are not plain: ${JSON.stringify(plain)}`,
          );
        }
      }
    },
  },
  {
    name: 'discover opens nothing: it can be called again and again',
    needsNoDevice: true,
    async run({ factory }) {
      const [first, second] = [await factory.discover(hostInfo()), await factory.discover(hostInfo())];
      check(JSON.stringify(first) === JSON.stringify(second), 'the devices are others the second time');
    },
  },
  {
    name: 'opens, tells its rates, and closes',
    async run(trial) {
      const provider = await trial.open();
      try {
        check(provider.id === trial.factory.id, `the opened provider is "${provider.id}"`);
        check(provider.device.provider === trial.factory.id, `its device is of "${provider.device.provider}"`);
        const { launch, flops, bandwidth, transferLatency, transferBandwidth } = provider.profile;
        for (const [name, rate] of Object.entries({ flops, bandwidth, transferBandwidth })) {
          check(rate > 0, `the rate ${name} is ${rate}`);
        }
        for (const [name, time] of Object.entries({ launch, transferLatency })) {
          check(time >= 0 && time < 1, `${name} is ${time} s`);
        }
      } finally {
        await provider.dispose();
      }
    },
  },
  {
    name: 'can be open several times at once, each with memory of its own',
    async run(trial) {
      const [first, second] = [await trial.open(), await trial.open()];
      const [before, other] = [first.memory.bytesInUse, second.memory.bytesInUse];
      const buffer = first.memory.allocate(64);
      check(first.memory.bytesInUse >= before + 64, 'an allocation is not told');
      check(second.memory.bytesInUse === other, 'one provider tells the memory of another');
      await second.dispose();
      first.memory.free(buffer);
      await first.dispose();
    },
  },
  {
    name: 'measures its rates in less than three seconds',
    async run(trial) {
      const provider = await trial.open();
      try {
        if (!provider.measure) throw new Skipped('it has no measure()');
        const start = performance.now();
        const { flops, bandwidth } = await provider.measure();
        check(flops > 0 && bandwidth > 0, `measured ${flops} operations and ${bandwidth} bytes a second`);
        check(performance.now() - start < 3000, `it took ${Math.round(performance.now() - start)} ms`);
      } finally {
        await provider.dispose();
      }
    },
  },
];
