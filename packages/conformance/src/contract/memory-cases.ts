// What the memory of a provider promises.

import { OnnxTsError, Tensor } from '@onnx-ts/core';
import type { DeviceMemory, ExecutionProvider, Runs } from '@onnx-ts/core/provider';
import { Generator } from '../random.ts';
import { Skipped } from '../result.ts';
import { encodeTensor } from '../values.ts';
import { check } from './check.ts';
import type { ContractCase, Trial } from './trial.ts';

async function withProvider(
  trial: Trial,
  act: (memory: DeviceMemory, provider: ExecutionProvider) => Promise<void>,
  memoryBudget?: number,
): Promise<void> {
  const provider = await trial.open(memoryBudget === undefined ? {} : { memoryBudget });
  try {
    await act(provider.memory, provider);
  } finally {
    await provider.dispose();
  }
}

function bytes(count: number, seed = 1): Tensor {
  const generator = new Generator(seed);
  return encodeTensor(
    'uint8',
    [count],
    Array.from({ length: count }, () => generator.below(256)),
  );
}

function isEqual(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  return a.length === b.length && Array.from(a).every((value, at) => value === b[at]);
}

/** Tries an allocation that must not succeed. */
function refusalOf(memory: DeviceMemory, byteLength: number): OnnxTsError {
  try {
    memory.free(memory.allocate(byteLength));
  } catch (error) {
    check(OnnxTsError.is(error), `an allocation failed with what is no OnnxTsError: ${String(error)}`);
    check(error.code === 'OUT_OF_MEMORY', `an allocation failed with ${error.code}, not OUT_OF_MEMORY`);
    check(/\d/.test(error.message), `the error has no numbers: ${error.message}`);
    return error;
  }
  check(false, `${byteLength} bytes were allocated`);
}

export const memoryCases: readonly ContractCase[] = [
  {
    name: 'memory: what is allocated and freed is in balance',
    run: (trial) =>
      withProvider(trial, async (memory) => {
        const before = memory.bytesInUse;
        const buffers = [0, 1, 3, 64, 1000, 4096].map((size) => memory.allocate(size));
        const inUse = memory.bytesInUse;
        check(inUse - before >= 5164, `${inUse - before} bytes more in use after 5164 were allocated`);
        check(memory.peakBytes >= inUse, `the peak ${memory.peakBytes} is below the ${inUse} bytes in use`);
        // In another order, and with reuse.
        for (const at of [3, 0, 5]) memory.free(buffers[at]);
        const more = memory.allocate(100);
        for (const at of [1, 2, 4]) memory.free(buffers[at]);
        memory.free(more);
        check(memory.bytesInUse === before, `${memory.bytesInUse - before} bytes in use after everything was freed`);
        check(memory.peakBytes >= inUse, 'the peak went down');
      }),
  },
  {
    name: 'memory: what is uploaded comes back, of every length and from every part of an array',
    run: (trial) =>
      withProvider(trial, async (memory) => {
        for (const count of [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 63, 64, 1000, 4099]) {
          const tensor = bytes(count, count + 1);
          const buffer = memory.allocate(count);
          await memory.upload(tensor, buffer);
          const back = await memory.download(buffer, count);
          check(isEqual(back, tensor.data), `${count} bytes came back otherwise`);
          if (count > 4) {
            const head = await memory.download(buffer, 3);
            check(isEqual(head, tensor.data.slice(0, 3) as Uint8Array), 'the first 3 bytes alone came back otherwise');
          }
          memory.free(buffer);
        }
        const whole = new Float32Array(20).map((_, at) => at);
        const part = new Tensor('float32', whole.subarray(3, 9), [6]);
        const buffer = memory.allocate(24);
        await memory.upload(part, buffer);
        const back = new Float32Array((await memory.download(buffer, 24)).buffer);
        check(isEqual(back, whole.subarray(3, 9)), 'a part of an array came back otherwise');
        memory.free(buffer);
      }),
  },
  {
    name: 'memory: an upload keeps nothing of the tensor, and a download is an array of its own',
    run: (trial) =>
      withProvider(trial, async (memory) => {
        const tensor = bytes(64);
        const before = tensor.data.slice() as Uint8Array;
        const buffer = memory.allocate(64);
        await memory.upload(tensor, buffer);
        (tensor.data as Uint8Array).fill(7);
        const first = await memory.download(buffer, 64);
        check(isEqual(first, before), 'the buffer changed with the tensor that was uploaded');
        first.fill(9);
        check(isEqual(await memory.download(buffer, 64), before), 'the buffer changed with what was downloaded');
        memory.free(buffer);
      }),
  },
  {
    name: 'memory: reads and copies by runs',
    run: (trial) =>
      withProvider(trial, async (memory) => {
        if (!memory.read && !memory.copy) throw new Skipped('it has neither read() nor copy()');
        const runs: Runs = { count: 3, bytes: 8, stride: 16 };
        const dense: Runs = { count: 3, bytes: 8, stride: 8 };
        const tensor = bytes(48);
        const source = memory.allocate(48);
        const target = memory.allocate(48);
        await memory.upload(tensor, source);
        const wanted = [0, 1, 2].flatMap((run) => [...(tensor.data as Uint8Array).subarray(run * 16, run * 16 + 8)]);
        if (memory.read) {
          const read = new Uint8Array(24);
          memory.read(source, read, runs);
          check(isEqual(read, wanted), 'read() by runs gives other bytes');
        }
        if (memory.copy) {
          await memory.copy(source, runs, target, dense);
          check(isEqual(await memory.download(target, 24), wanted), 'copy() by runs gives other bytes');
          await memory.upload(bytes(24, 5), target, runs);
          const spread = await memory.download(target, 48);
          const back = [0, 1, 2].flatMap((run) => [...spread.subarray(run * 16, run * 16 + 8)]);
          check(isEqual(back, bytes(24, 5).data), 'upload() by runs puts bytes elsewhere');
        }
        memory.free(source);
        memory.free(target);
      }),
  },
  {
    name: 'memory: beyond its budget it refuses with OUT_OF_MEMORY, and goes on',
    run: (trial) =>
      withProvider(
        trial,
        async (memory) => {
          const kept = memory.allocate(1000);
          const inUse = memory.bytesInUse;
          const { message } = refusalOf(memory, 2_000_000);
          check(message.includes('2000000') || message.includes('bytes'), `the error names no size: ${message}`);
          check(memory.bytesInUse === inUse, 'a refused allocation is counted');
          const more = memory.allocate(1000);
          memory.free(more);
          memory.free(kept);
        },
        1_000_000,
      ),
  },
  {
    name: 'memory: what no machine has is refused with OUT_OF_MEMORY, not by a crash',
    run: (trial) =>
      withProvider(trial, async (memory) => {
        for (const size of [2 ** 45, Number.MAX_SAFE_INTEGER]) refusalOf(memory, size);
        memory.free(memory.allocate(16));
      }),
  },
];
