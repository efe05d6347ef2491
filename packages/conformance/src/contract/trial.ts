// What a contract case is given, and how it is declared.

import { createSession, type InferenceSession, type ProviderFactory, type SessionOptions } from '@onnx-ts/core';
import { hostInfo } from '@onnx-ts/core/internal';
import type { ExecutionProvider, OpenOptions } from '@onnx-ts/core/provider';
import type { Feeds } from '../case.ts';
import { differenceOf, scaleOf } from '../compare.ts';
import { Skipped } from '../result.ts';
import type { Results } from '../subject/run-alone.ts';
import { type Watch, watchProvider } from '../subject/watch.ts';
import { check } from './check.ts';
import { findVehicle, type Vehicle } from './vehicle.ts';

/** A provider whose device somebody can take away. */
export interface LosableProvider {
  readonly provider: ProviderFactory;
  /** Resolves when the device is gone. */
  lose(): void | Promise<void>;
}

export interface ContractCase {
  /** What is promised, as a sentence without a full stop. */
  readonly name: string;
  /** It is kept without a usable device, too. */
  readonly needsNoDevice?: boolean;
  run(trial: Trial): Promise<void>;
}

const vehicles = new WeakMap<ProviderFactory, Promise<Vehicle>>();

export class Trial {
  readonly factory: ProviderFactory;
  readonly losable: (() => Promise<LosableProvider>) | undefined;

  constructor(factory: ProviderFactory, losable?: () => Promise<LosableProvider>) {
    this.factory = factory;
    this.losable = losable;
  }

  /** @throws Skipped */
  vehicle(): Promise<Vehicle> {
    let vehicle = vehicles.get(this.factory);
    if (!vehicle) {
      vehicle = findVehicle(this.factory);
      vehicles.set(this.factory, vehicle);
    }
    return vehicle;
  }

  /** A watched session of the provider alone. */
  async session(
    model: Uint8Array,
    options: SessionOptions = {},
  ): Promise<{ readonly session: InferenceSession; readonly watch: Watch }> {
    const { factory, watches } = watchProvider(this.factory);
    const session = await createSession(model, { seed: 1, placement: 'providers', ...options, providers: [factory] });
    return { session, watch: watches[0] };
  }

  /** The provider opened on its first usable device. @throws Skipped when there is none */
  async open(options?: OpenOptions): Promise<ExecutionProvider> {
    const devices = await this.factory.discover(hostInfo());
    const device = devices.find(({ usable }) => usable);
    if (!device) throw new Skipped(`no device: ${devices.map(({ reason }) => reason).join('; ')}`);
    return this.factory.open(device, options);
  }
}

/** @throws Broken when results are not those of the reference */
export async function checkResults(vehicle: Vehicle, got: Results, feeds: Feeds, what: string): Promise<void> {
  const want = await vehicle.expected(feeds);
  const tolerance = { ulps: 64, spread: 64, absolute: 0, integers: 0 };
  for (const [name, value] of Object.entries(want)) {
    const difference = differenceOf(got[name], value, tolerance, scaleOf(Object.values(feeds)));
    check(difference === undefined, `${what}: "${name}" ${difference}`);
  }
}
