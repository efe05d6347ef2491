// Makes a failing case smaller: its choices are lowered as long as it still fails the same way.

import type { CaseProcess } from './case-process.ts';
import type { CaseSource } from './make-case.ts';
import type { Verdict } from './run-cases.ts';

/** @returns the smallest failing case found in so many trials */
export async function shrink(process: CaseProcess, source: CaseSource, found: Verdict, trials = 250): Promise<Verdict> {
  let best = found;
  // The first choice says which generator it is.
  await lowerChoices(found.choices, { trials, first: 1 }, async (choices) => {
    const verdict = await process.run({ ...source, choices });
    if (verdict.outcome !== best.outcome || verdict.op !== best.op || kindOf(verdict) !== kindOf(best))
      return undefined;
    best = verdict.choices.length > 0 ? verdict : { ...verdict, choices };
    return best.choices;
  });
  return best;
}

export interface LowerOptions {
  readonly trials: number;
  /** Choices before this one stay as they are. */
  readonly first: number;
}

/**
 * Lowers and drops choices one by one.
 * @param attempt tries some: gives those that it really made when the case still fails, else nothing
 */
export async function lowerChoices(
  found: readonly number[],
  { trials, first }: LowerOptions,
  attempt: (choices: readonly number[]) => Promise<readonly number[] | undefined>,
): Promise<readonly number[]> {
  let best = found;
  let left = trials;
  const improves = async (choices: readonly number[]): Promise<boolean> => {
    if (left-- <= 0) return false;
    const made = await attempt(choices);
    if (!made) return false;
    best = made;
    return true;
  };
  for (let improved = true; improved && left > 0; ) {
    improved = false;
    for (let at = best.length - 1; at >= first && left > 0; at--) {
      const value = best[at];
      if (!(value > 0)) continue;
      const candidates = value > 1000 ? [0] : [...new Set([0, value >> 1, value - 1])];
      for (const candidate of candidates) {
        if (candidate >= (best[at] ?? 0)) continue;
        if (await improves(best.with(at, candidate))) {
          improved = true;
          break;
        }
      }
    }
    for (let at = best.length - 1; at >= first && left > 0; at--) {
      if (at < best.length && (await improves(best.toSpliced(at, 1)))) improved = true;
    }
  }
  return best;
}

/** A wrong value is another failure than a wrong shape. */
function kindOf({ reason, outcome }: Verdict): string {
  if (outcome !== 'fail') return reason.replaceAll(/".*?"|\d+/g, '').slice(0, 60);
  return / has shape /.test(reason) ? 'shape' : / differ/.test(reason) ? 'values' : 'type';
}
