// Versions of operators and the element types they allow.

import type { DType } from '@onnx-ts/tensor-ir';
import { operatorVersions, typeSets } from './generated/schemas.ts';

/** The newest operator set that the cases use. */
export const latestOpset = 28;

/** The oldest one: before it, broadcasting and much else was different, and other runtimes refuse it. */
export const oldestOpset = 7;

export interface OperatorVersion {
  readonly since: number;
  /** Last operator set in which the version holds. */
  readonly until: number;
  readonly types: Readonly<Record<string, readonly DType[]>>;
}

/** Versions that hold within the operator sets used, newest first. Other domains have versions of their own. */
export function versionsOf(
  op: string,
  domain = '',
  first = oldestOpset,
  last = latestOpset,
): readonly OperatorVersion[] {
  const all = operatorVersions[`${domain}:${op}`] ?? [];
  return all
    .flatMap(([since, types], at): OperatorVersion[] => {
      const until = (all[at + 1]?.[0] ?? latestOpset + 1) - 1;
      if (!types || (domain === '' && (until < first || since > last))) return [];
      const named = Object.entries(types).map(([name, set]) => [name, typeSets[set].split(' ') as DType[]]);
      return [{ since, until, types: Object.fromEntries(named) }];
    })
    .reverse();
}
