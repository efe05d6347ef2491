// Finds out which of the providers can be used here, and opens them.

import { OnnxTsError } from '../errors.ts';
import type { DeviceInfo, ExecutionProvider, ProviderFactory } from '../provider/contract.ts';
import { hostInfo } from './host-info.ts';
import { budgetOf, placementOf, type SessionOptions } from './options.ts';

export interface OpenedProvider {
  readonly provider: ExecutionProvider;
  /** Why it works with less than it could. */
  readonly note: string | undefined;
}

/** A provider that is not open. */
export interface LeftOut {
  readonly id: string;
  /** Name of its device, where it has one. */
  readonly device: string | undefined;
  readonly reason: string;
}

export interface OpenProviders {
  /** In the order of the list. */
  readonly opened: readonly OpenedProvider[];
  readonly leftOut: readonly LeftOut[];
}

/**
 * Where placement chooses among several, a provider that fails is left out, as is one whose device is a program on the
 * processor: what computes there itself is faster.
 * @throws OnnxTsError PROVIDER when none can be used, or one fails that is not to be chosen; INVALID_INPUT for a budget of
 * one that was not given
 */
export async function openProviders(
  factories: readonly ProviderFactory[],
  options: SessionOptions,
): Promise<OpenProviders> {
  checkBudgets(factories, options);
  const opened: OpenedProvider[] = [];
  const leftOut: LeftOut[] = [];
  const { strategy, pins } = placementOf(options);
  const isChoice = strategy === 'auto' && factories.length > 1;
  const isPrecompiled = options.artifacts?.isPrecompiled === true;
  const found: { readonly factory: ProviderFactory; readonly device: DeviceInfo }[] = [];
  for (const factory of factories) {
    let devices: readonly DeviceInfo[];
    try {
      devices = await factory.discover({ ...hostInfo(), ...(isPrecompiled && { isPrecompiled }) });
    } catch (error) {
      const reason = `its devices could not be looked for: ${(error as Error).message}`;
      if (!isChoice) throw new OnnxTsError('PROVIDER', reason, { place: { provider: factory.id }, cause: error });
      leftOut.push({ id: factory.id, device: undefined, reason });
      continue;
    }
    const device = devices.find(({ usable }) => usable);
    if (device) {
      found.push({ factory, device });
      continue;
    }
    const reason = devices.map((candidate) => candidate.reason).join('; ') || 'no device';
    leftOut.push({ id: factory.id, device: devices.at(0)?.name, reason });
  }
  const isSoftware = ({ properties }: DeviceInfo): boolean => properties.isSoftware === true;
  const hasOther = found.some(({ device }) => !isSoftware(device));
  try {
    for (const { factory, device } of found) {
      const { id } = factory;
      if (isChoice && hasOther && isSoftware(device) && !pins.some(({ provider }) => provider === id)) {
        const reason = 'its device is a program on the processor, which is slower than using the processor itself';
        leftOut.push({ id, device: device.name, reason });
        continue;
      }
      try {
        opened.push(await open(factory, device, options));
      } catch (error) {
        if (!isChoice) throw error;
        leftOut.push({ id, device: device.name, reason: (error as Error).message });
      }
    }
  } catch (error) {
    await disposeQuietly(opened.map(({ provider }) => provider));
    if (OnnxTsError.is(error)) throw error;
    throw new OnnxTsError('PROVIDER', `a provider could not be opened: ${(error as Error).message}.`, { cause: error });
  }
  if (opened.length > 0) return { opened, leftOut };
  const reasons = leftOut.map(({ id, reason }) => `${id}: ${reason}${reason.endsWith('.') ? '' : '.'}`);
  throw new OnnxTsError('PROVIDER', `no provider can be used here. ${reasons.join(' ')}`);
}

async function open(factory: ProviderFactory, device: DeviceInfo, options: SessionOptions): Promise<OpenedProvider> {
  const threads = options.threads ?? (options.intraOpNumThreads || undefined);
  const memoryBudget = budgetOf(options, factory.id);
  const provider = await factory.open(device, {
    ...(threads !== undefined && { threads }),
    ...(memoryBudget !== undefined && { memoryBudget }),
    ...(options.enableProfiling && { profile: true }),
    ...(options.artifacts?.isPrecompiled && { isPrecompiled: true }),
  });
  return { provider, note: provider.device.reason };
}

/** Disposes of each, whatever becomes of the others; the first error is thrown after that. */
export async function disposeAll(providers: readonly ExecutionProvider[]): Promise<void> {
  const errors: unknown[] = [];
  for (const provider of providers) {
    try {
      await provider.dispose();
    } catch (cause) {
      const what = `it could not be disposed of: ${(cause as Error).message}`;
      errors.push(
        OnnxTsError.is(cause) ? cause : new OnnxTsError('PROVIDER', what, { place: { provider: provider.id }, cause }),
      );
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** For the way out after an error, which is the one to be told. */
export async function disposeQuietly(providers: readonly ExecutionProvider[]): Promise<void> {
  await disposeAll(providers).catch(() => {});
}

/** @throws OnnxTsError INVALID_INPUT for a budget of a provider that was not given */
function checkBudgets(factories: readonly ProviderFactory[], { memoryBudget }: SessionOptions): void {
  if (typeof memoryBudget !== 'object' || memoryBudget === null) return;
  const ids = factories.map(({ id }) => id);
  for (const id of Object.keys(memoryBudget)) {
    if (ids.includes(id)) continue;
    throw new OnnxTsError('INVALID_INPUT', `memoryBudget names the provider "${id}", which this session has not.`, {
      hint: `Its providers are ${ids.join(', ')}.`,
    });
  }
}
