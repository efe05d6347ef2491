// The promises of the provider contract, each tried on the provider.

import { factoryCases } from '../contract/factory-cases.ts';
import { failureCases } from '../contract/failure-cases.ts';
import { memoryCases } from '../contract/memory-cases.ts';
import { sessionCases } from '../contract/session-cases.ts';
import { type ContractCase, type LosableProvider, Trial } from '../contract/trial.ts';
import type { ConformanceCase } from '../result.ts';
import { judgementOf } from '../subject/run-alone.ts';

const all: readonly ContractCase[] = [...factoryCases, ...memoryCases, ...sessionCases, ...failureCases];

export function contractCases(losable?: () => Promise<LosableProvider>): ConformanceCase[] {
  return all.map(({ name, run, needsNoDevice = false }) => ({
    suite: 'contract',
    name,
    needsNoDevice,
    async run(provider) {
      try {
        await run(new Trial(provider, losable));
        return { outcome: 'pass', reason: '' };
      } catch (error) {
        return judgementOf(error);
      }
    },
  }));
}
