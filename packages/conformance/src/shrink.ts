// Makes a failing case smaller: its choices are lowered as long as it still fails the same way.

import type { CaseProcess } from './case-process.ts';
import type { CaseSource, Verdict } from './run-cases.ts';

/** @returns the smallest failing case found in so many trials */
export async function shrink(process: CaseProcess, source: CaseSource, found: Verdict, trials = 250): Promise<Verdict> {
  let best = found;
  let left = trials;
  const attempt = async (choices: readonly number[]): Promise<boolean> => {
    if (left-- <= 0) return false;
    const verdict = await process.run({ ...source, choices });
    if (verdict.outcome !== best.outcome || verdict.op !== best.op || kindOf(verdict) !== kindOf(best)) return false;
    best = verdict.choices.length > 0 ? verdict : { ...verdict, choices };
    return true;
  };
  // The first choice says which generator it is.
  for (let improved = true; improved && left > 0; ) {
    improved = false;
    for (let at = best.choices.length - 1; at >= 1 && left > 0; at--) {
      const value = best.choices[at];
      if (!(value > 0)) continue;
      const candidates = value > 1000 ? [0] : [...new Set([0, value >> 1, value - 1])];
      for (const candidate of candidates) {
        if (candidate >= (best.choices[at] ?? 0)) continue;
        if (await attempt(best.choices.with(at, candidate))) {
          improved = true;
          break;
        }
      }
    }
    for (let at = best.choices.length - 1; at >= 1 && left > 0; at--) {
      if (at < best.choices.length && (await attempt(best.choices.toSpliced(at, 1)))) improved = true;
    }
  }
  return best;
}

/** A wrong value is another failure than a wrong shape. */
function kindOf({ reason, outcome }: Verdict): string {
  if (outcome !== 'fail') return reason.replaceAll(/".*?"|\d+/g, '').slice(0, 60);
  return / has shape /.test(reason) ? 'shape' : / differ/.test(reason) ? 'values' : 'type';
}
