// What can be said of cases of several suites.

import { type HostValue, Tensor } from '@onnx-ts/core';
import type { Judgement } from '../result.ts';

/** Of a case of which nothing is left for a provider: sizes, texts, sequences, control flow alone. */
export const hostOnly: Judgement = {
  outcome: 'skip',
  reason: 'the host computes all of it, whatever the provider',
  isHosts: true,
};

/** Element type of the first tensor that is fed: what people sort cases by. */
export function dtypeOfFeeds(feeds: Readonly<Record<string, HostValue>>): { readonly dtype?: string } {
  const first = Object.values(feeds).find(Tensor.is);
  return first ? { dtype: first.type } : {};
}
