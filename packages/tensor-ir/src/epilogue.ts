// Maps of a sum's results that are computed with it: which axes are which.

import type { Axis } from './expr.ts';
import type { MapStage, ReduceStage } from './stage.ts';
import { type Load, loadsOf } from './structure.ts';

/** The epilogue's axes by the head's. Axes of size 1 that the epilogue drops have none. */
export function epilogueAxes({
  head,
  epilogue,
}: {
  readonly head: ReduceStage;
  readonly epilogue: MapStage | undefined;
}): ReadonlyMap<Axis, Axis> {
  if (!epilogue) return new Map(head.axes.map((axis) => [axis, axis]));
  const pairs = new Map<Axis, Axis>();
  for (const [at, e] of (epilogueLoad(epilogue, head)?.index ?? []).entries()) {
    if (e.kind === 'axis') pairs.set(head.axes[at], e.axis);
  }
  return pairs;
}

/** How the epilogue reads the head. */
export function epilogueLoad(epilogue: MapStage, head: ReduceStage): Load | undefined {
  return loadsOf(epilogue.body).find((load) => load.source === head);
}
