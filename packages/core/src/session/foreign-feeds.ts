// Feeds that are in memory of devices, but not of this session: what other sessions made, and the caller's own GPU buffers.
// Providers read them where they are if they can.

import type { DType } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import { DeviceStorage } from '../plan/device-storage.ts';
import { RuntimeValue } from '../plan/runtime-value.ts';
import type { DeviceMemory, ExecutionProvider } from '../provider/contract.ts';
import { type Lease, LentElements, lentValue } from './device-tensor.ts';
import { type Feed, toHostValue } from './feeds.ts';
import { arrayTypeOf, CallersElements, Tensor } from './tensor.ts';

export interface PlacedFeeds {
  readonly feeds: Readonly<Record<string, Feed>>;
  /** Values of feeds that providers read where they are. */
  readonly adopted: ReadonlyMap<string, RuntimeValue>;
  /** To be called after the run. */
  release(): void;
}

/** Whether `placeFeeds` has anything to do. */
export function areElsewhere(feeds: Readonly<Record<string, Feed>>, lease: Lease): boolean {
  if (typeof feeds !== 'object' || feeds === null) return false;
  return Object.values(feeds).some((feed) => {
    if (Tensor.is(feed)) return feed.deviceElements !== undefined && !lentValue(feed, lease);
    return (feed as { readonly location?: unknown } | null)?.location === 'gpu-buffer';
  });
}

/**
 * Feeds that are elsewhere become values of the providers that can read them, and copies on the host otherwise.
 * @throws OnnxTsError DISPOSED, or INVALID_INPUT for the caller's buffers when no provider of the session can read them
 */
export async function placeFeeds(
  given: Readonly<Record<string, Feed>>,
  lease: Lease,
  providers: readonly ExecutionProvider[],
): Promise<PlacedFeeds> {
  const feeds: Record<string, Feed> = {};
  const adopted = new Map<string, RuntimeValue>();
  const held: RuntimeValue[] = [];
  const release = (): void => {
    for (const value of held) value.release();
  };
  try {
    for (const [name, feed] of Object.entries(given)) {
      feeds[name] = feed;
      if (!areElsewhere({ feed }, lease)) continue;
      const tensor = toHostValue(feed, name) as Tensor;
      // What another session lent must not be used again before this run has ended.
      const { deviceElements } = tensor;
      if (deviceElements instanceof LentElements) held.push(deviceElements.value.retain());
      const value = await adoptTensor(tensor, name, providers);
      feeds[name] = value ? tensor : new Tensor(tensor.type, await tensor.getData(), tensor.dims);
      if (!value) continue;
      held.push(value);
      adopted.set(name, value);
    }
    return { feeds, adopted, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** Undefined when it has to be copied through the host. */
async function adoptTensor(
  tensor: Tensor,
  name: string,
  providers: readonly ExecutionProvider[],
): Promise<RuntimeValue | undefined> {
  const elements = tensor.deviceElements!;
  const isCallers = elements instanceof CallersElements;
  const native = elements.gpuBuffer;
  const provider = providers.find(({ memory }) => memory.adopt);
  if (native === undefined || !provider) {
    if (!isCallers || elements.reader) return undefined;
    throw new OnnxTsError('INVALID_INPUT', 'the tensor is in a GPU buffer, and no provider of the session is a GPU.', {
      place: { value: name },
      hint: 'Create the session with the WebGPU provider on the same device, or give fromGpuBuffer the option download.',
    });
  }
  const { memory } = provider;
  try {
    const buffer = await memory.adopt!(native, tensor.byteLength, 'read');
    if (isCallers) rememberReader(elements, tensor, memory);
    return RuntimeValue.onDevice(new DeviceStorage(provider, buffer), tensor.type, tensor.dims);
  } catch (cause) {
    if (!OnnxTsError.is(cause) || cause.code !== 'INVALID_INPUT') throw cause;
    // What another session made on another device has to be copied.
    if (!isCallers) return undefined;
    throw new OnnxTsError('INVALID_INPUT', `the tensor cannot be used: ${cause.message}`, {
      place: { value: name },
      cause,
    });
  }
}

/** From now on the caller's tensor can be read: the device that has its buffer is known. */
export function rememberReader(elements: CallersElements, { type, byteLength }: Tensor, memory: DeviceMemory): void {
  elements.reader ??= async () => {
    const buffer = await memory.adopt!(elements.gpuBuffer, byteLength, 'read');
    try {
      const bytes = await memory.download(buffer, byteLength);
      return new (arrayTypeOf(type as Exclude<DType, 'string'>))(bytes.buffer);
    } finally {
      memory.free(buffer);
    }
  };
}
