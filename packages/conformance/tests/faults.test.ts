// The kit finds what it is for: the reference provider with one fault at a time, and the case that must tell.

import { OnnxTsError, type ProviderFactory, reference, type Tensor } from '@onnx-ts/core';
import type { DeviceBuffer, DeviceInfo, Executable, ExecutionProvider, HostBuffer } from '@onnx-ts/core/provider';
import { describe, expect, it } from 'vitest';
import { type CaseResult, type ConformanceOptions, runConformance } from '../src/index.ts';
import { delegate } from '../src/subject/watch.ts';

type Change = (provider: ExecutionProvider) => Partial<ExecutionProvider>;

function withFault(change: Change, factory: Partial<ProviderFactory> = {}): ProviderFactory {
  const sound = reference();
  return {
    ...sound,
    open: async (device, options) => {
      const provider = await sound.open(device, options);
      return { ...delegate(provider), ...change(provider) };
    },
    ...factory,
  };
}

/** The provider with other executables. */
function withExecutable(change: (executable: Executable) => Partial<Executable>): ProviderFactory {
  return withFault((provider) => ({
    async compile(partition, context) {
      const executable = await provider.compile(partition, context);
      return {
        inputs: executable.inputs,
        kernels: executable.kernels,
        bind: (dims) => executable.bind(dims),
        dispose: () => executable.dispose(),
        ...change(executable),
      };
    },
  }));
}

/** What the kit says that is not as it should be. */
async function complaints(provider: ProviderFactory, options: ConformanceOptions): Promise<readonly CaseResult[]> {
  const { results } = await runConformance(provider, { timeoutSeconds: 60, ...options });
  return results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error');
}

function spoil(buffer: DeviceBuffer): void {
  bytesOf(buffer)[3] ^= 64;
}

/** Providers, with the case that must tell and what it must say. */
const faults: Readonly<Record<string, readonly [provider: () => ProviderFactory, test: string, told: string]>> = {
  'an apiVersion of the future': [
    () => withFault(() => ({}), { apiVersion: 2 as 1 }),
    'is a factory of version 1',
    'apiVersion is 2',
  ],
  'a probe that throws': [
    () =>
      withFault(() => ({}), {
        discover: async ({ kind }) => {
          if (kind === 'browser') throw new Error('no');
          return [device(true)];
        },
      }),
    'discover never throws',
    'discover threw',
  ],
  'a device without a reason': [
    () => withFault(() => ({}), { discover: async () => [device(true), device(false)] }),
    'discover never throws',
    'without a reason',
  ],
  'rates of nothing': [
    () => withFault(({ profile }) => ({ profile: { ...profile, flops: 0 } })),
    'opens, tells its rates',
    'the rate flops is 0',
  ],
  'refusals without a reason': [
    () => withFault(() => ({ supports: (node) => (node.op === 'Neg' ? { ok: false, reason: '' } : { ok: true }) })),
    'supports: never throws',
    'refused without a reason',
  ],
  'answers that change': [
    () => {
      let asked = 0;
      return withFault((provider) => ({
        supports: (node) =>
          node.op === 'Transpose' && asked++ % 2 ? { ok: false, reason: 'not now' } : provider.supports(node),
      }));
    },
    'supports: never throws',
    'it answers otherwise',
  ],
  'supports that throws': [
    () =>
      withFault((provider) => ({
        supports(node) {
          if (node.op === 'Transpose') throw new TypeError('what is this');
          return provider.supports(node);
        },
      })),
    'supports: never throws',
    'supports threw for Transpose',
  ],
  'memory that is not counted': [
    () => withMemory((memory) => ({ free: () => void memory })),
    'memory: what is allocated',
    'bytes in use after everything was freed',
  ],
  'buffers that are too short': [
    () => withMemory((memory) => ({ allocate: (size) => memory.allocate(Math.max(0, size - 1)) })),
    'memory: what is allocated',
    'more in use after',
  ],
  'a budget that nobody minds': [
    () => ({ ...reference(), open: (device: DeviceInfo) => reference().open(device) }),
    'memory: beyond its budget',
    'bytes were allocated',
  ],
  'an allocation that fails in its own way': [
    () =>
      withMemory((memory) => ({
        allocate(size) {
          if (size > 1_500_000) throw new RangeError('Invalid typed array length');
          return memory.allocate(size);
        },
      })),
    'memory: beyond its budget',
    'no OnnxTsError',
  ],
  'downloads that are views': [
    () => withMemory(() => ({ download: (source, count) => bytesOf(source).subarray(0, count) as never })),
    'memory: an upload keeps nothing',
    'the buffer changed with what was downloaded',
  ],
  'uploads that come later': [
    () =>
      withMemory((memory) => ({
        upload: (tensor, target) => {
          setTimeout(() => memory.upload(tensor, target));
        },
      })),
    'memory: what is uploaded',
    'came back otherwise',
  ],
  'wrong results': [
    () => withRun((run) => (buffers, context) => after(run(buffers, context), () => spoil(buffers.at(-1)!))),
    'session: gives what the reference gives',
    'differ',
  ],
  'results that depend on the time': [
    () => {
      let runs = 0;
      return withRun((run) => (buffers, context) => {
        const change = ++runs % 5 === 0 ? () => spoil(buffers.at(-1)!) : () => {};
        return after(run(buffers, context), change);
      });
    },
    'session: the same feeds',
    'differs',
  ],
  'feeds that are written to': [
    () => withRun((run) => (buffers, context) => after(run(buffers, context), () => bytesOf(buffers[0]).fill(1))),
    'session: results may stay on the device',
    'read from the device',
  ],
  'sizes of the first run': [
    () =>
      withExecutable((executable) => {
        let first: ReturnType<Executable['bind']> | undefined;
        return { bind: (dims) => (first ??= executable.bind(dims)) };
      }),
    'session: sizes may change',
    'entries instead of',
  ],
  'a crash when there are no rows': [
    () =>
      withExecutable((executable) => ({
        bind(dims) {
          if (dims.get('n') === 0) throw new Error('empty');
          return executable.bind(dims);
        },
      })),
    'session: sizes may change',
    'empty',
  ],
  'an abort that is an ordinary error': [
    () =>
      withRun((run) => async (buffers, context) => {
        await new Promise((resolve) => setTimeout(resolve, 3));
        if (context.signal?.aborted) throw new OnnxTsError('PROVIDER', 'stopped.');
        return run(buffers, context);
      }),
    'aborting a run under way',
    'an aborted run ended with',
  ],
  'a run that never ends once it is aborted': [
    () =>
      withRun((run) => async (buffers, context) => {
        await new Promise((resolve) => setTimeout(resolve, 3));
        if (context.signal?.aborted) await new Promise(() => {});
        return run(buffers, context);
      }),
    'aborting a run under way',
    'no answer within 5 s',
  ],
  'an index out of range that is clamped': [
    () => withRun((run) => async (buffers, context) => ignoring('OUT_OF_RANGE', () => run(buffers, context))),
    'an index out of range',
    'did not fail',
  ],
  'kernels of nodes that are none': [
    () => withExecutable(({ kernels }) => ({ kernels: kernels.map((kernel) => ({ ...kernel, nodes: ['nobody'] })) })),
    'session: kernels name nodes',
    'which is no node',
  ],
  'weights that are kept for ever': [
    () =>
      withFault((provider) => ({
        compile(partition, context) {
          provider.memory.allocate(1000);
          return provider.compile(partition, context);
        },
      })),
    'session: what was compiled',
    'bytes are in use after the first, second and third time',
  ],
};

describe('contract', () => {
  it.each(Object.entries(faults))('finds %s', async (_name, [provider, test, told]) => {
    const filter = (name: string): boolean => name.startsWith(`contract/${test}`);
    const found = await complaints(provider(), { suites: ['contract'], filter, timeoutSeconds: 5 });
    expect(found).toHaveLength(1);
    expect(found.map(({ reason }) => reason).join('\n')).toContain(told);
  });

  it('finds nothing in the reference itself', async () => {
    expect(await complaints(reference(), { suites: ['contract'] })).toEqual([]);
  });
});

describe('operators and splits', () => {
  const wrongOf = (op: string): ProviderFactory =>
    withFault((provider) => ({
      async compile(partition, context) {
        const executable = await provider.compile(partition, context);
        if (!partition.nodes.some((node) => node.op === op)) return executable;
        return {
          inputs: executable.inputs,
          kernels: executable.kernels,
          dispose: () => executable.dispose(),
          bind(dims) {
            const bound = executable.bind(dims);
            const run: typeof bound.run = (buffers, context) =>
              after(bound.run(buffers, context), () => bytesOf(buffers.at(-1)!).fill(0x3f));
            return { scratchBytes: bound.scratchBytes, run, dispose: () => bound.dispose() };
          },
        };
      },
    }));

  it('find an operator that is wrong', async () => {
    const found = await complaints(wrongOf('Erf'), {
      suites: ['property', 'onnx'],
      filter: (name) => /Erf/.test(name),
    });
    expect(new Set(found.map(({ suite }) => suite))).toEqual(new Set(['property', 'onnx']));
    expect(found.find(({ suite }) => suite === 'property')?.text).toContain('Erf(');
  });

  it('find what only splitting shows, and make it small', async () => {
    // A provider that takes the first of its inputs for the one it made itself when several partitions are open.
    const provider = withFault((sound) => {
      let open = 0;
      return {
        async compile(partition, context) {
          open++;
          const executable = await sound.compile(partition, context);
          const isLater = open > 1;
          return {
            inputs: executable.inputs,
            kernels: executable.kernels,
            dispose: () => executable.dispose(),
            bind(dims) {
              const bound = executable.bind(dims);
              const run: typeof bound.run = (buffers, given) =>
                after(bound.run(buffers, given), () => isLater && bytesOf(buffers.at(-1)!).fill(0));
              return { scratchBytes: bound.scratchBytes, run, dispose: () => bound.dispose() };
            },
          };
        },
      };
    });
    const found = await complaints(provider, { suites: ['partition'], graphs: 6 });
    expect(found.length).toBeGreaterThan(0);
    expect(found[0].reason).toContain('split between two');
    expect(found[0].text).toMatch(/seed \d+, made smaller/);
  });

  it('find an operator that is taken and never run', async () => {
    const { findings } = await runConformance(
      withFault((provider) => ({
        supports: (node) => (node.op === 'Unique' ? { ok: true } : provider.supports(node)),
        compile: (partition, context) =>
          partition.nodes.some(({ op }) => op === 'Unique')
            ? Promise.reject(new OnnxTsError('UNSUPPORTED', 'not yet.'))
            : provider.compile(partition, context),
      })),
      { suites: ['property'], perGenerator: 1 },
    );
    const takes = (op: string): string => `it takes ${op}, and no case has seen it run right`;
    expect(findings).toEqual([takes('Unique'), takes('com.microsoft:Unique')]);
  });
});

function device(usable: boolean): DeviceInfo {
  return { provider: 'reference', name: 'one', usable, properties: {} };
}

function bytesOf(buffer: DeviceBuffer): Uint8Array {
  return (buffer as HostBuffer).bytes;
}

function withMemory(
  change: (memory: ExecutionProvider['memory']) => Partial<ExecutionProvider['memory']>,
): ProviderFactory {
  return withFault(({ memory }) => ({
    memory: {
      allocate: (size) => memory.allocate(size),
      free: (buffer) => memory.free(buffer),
      upload: (tensor: Tensor, target) => memory.upload(tensor, target),
      download: (source, count) => memory.download(source, count),
      get bytesInUse() {
        return memory.bytesInUse;
      },
      get peakBytes() {
        return memory.peakBytes;
      },
      ...change(memory),
    },
  }));
}

type Run = ReturnType<Executable['bind']>['run'];

function withRun(change: (run: Run) => Run): ProviderFactory {
  return withExecutable((executable) => ({
    bind(dims) {
      const bound = executable.bind(dims);
      return {
        scratchBytes: bound.scratchBytes,
        run: change((buffers, context) => bound.run(buffers, context)),
        dispose: () => bound.dispose(),
      };
    },
  }));
}

async function after(work: void | Promise<void>, then: () => unknown): Promise<void> {
  await work;
  then();
}

async function ignoring(code: string, act: () => void | Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!OnnxTsError.is(error) || error.code !== code) throw error;
  }
}
