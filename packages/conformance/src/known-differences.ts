// Differences that are known: of a peer that deviates from ONNX or leaves it open, or of a provider that has a bug.

import type { Verdict } from './run-cases.ts';
import type { RuntimeId } from './runtimes.ts';

interface KnownDifference {
  readonly against: RuntimeId | 'any';
  /** Generator of the case. */
  readonly op: string | RegExp;
  /** Must match the printed case, if given. */
  readonly text?: RegExp;
  /** Must match the verdict's reason, if given. */
  readonly reason?: RegExp;
  /** Why it is not a bug of ours, or which one it is. */
  readonly why: string;
}

const known: readonly KnownDifference[] = [];

export function knownDifference(against: RuntimeId, { op, text, reason }: Verdict): KnownDifference | undefined {
  return known.find(
    (item) =>
      (item.against === 'any' || item.against === against) &&
      (typeof item.op === 'string' ? item.op === op : item.op.test(op)) &&
      (item.text?.test(text) ?? true) &&
      (item.reason?.test(reason) ?? true),
  );
}
