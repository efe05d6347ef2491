// Makes random cases from choices.

import { type Family, operatorOf, type RandomCase } from './case.ts';
import { CaseBuilder } from './case-builder.ts';
import { families } from './families.ts';
import { Draws } from './random.ts';
import { latestOpset, oldestOpset, versionsOf } from './schemas.ts';

/** Where a case comes from: a seed, or choices that were recorded earlier. */
export interface CaseSource {
  readonly family: string;
  readonly seed: number;
  readonly choices?: readonly number[];
  /** Only this generator of the family. */
  readonly only?: string;
}

export interface CaseOptions {
  /** See `BuilderOptions`. */
  readonly isPeer?: boolean;
  /** Families to look in; absent means all that the kit has. */
  readonly families?: readonly Family[];
}

/** A case with the choices that make it again. */
export interface MadeCase extends RandomCase {
  readonly opset: number;
  readonly choices: readonly number[];
}

/** What a peer knows for certain. */
const newestPeerOpset = 26;

/** @throws TypeError for a family or a generator that does not exist, and whatever a generator throws */
export function makeCase(
  source: CaseSource,
  { isPeer = false, families: known = families }: CaseOptions = {},
): MadeCase {
  const family = known.find((item) => item.name === source.family);
  if (!family) throw new TypeError(`there is no family "${source.family}"`);
  const draws = source.choices ? Draws.replay(source.choices) : Draws.seeded(source.seed);
  const key = chooseGenerator(family, draws, source.only);
  const place = operatorOf(key);
  const [first, last] = family.opsets ?? [oldestOpset, latestOpset];
  const versions = versionsOf(place.op, place.domain, first, last);
  // Older versions now and then; the newest operator set is not the most common one.
  const version = versions.length > 1 && draws.below(3) === 2 ? draws.pick(versions) : versions[0];
  const floor = Math.max(place.domain === '' ? (version?.since ?? 13) : 13, first);
  const newest = Math.min(last, isPeer ? newestPeerOpset : latestOpset);
  const until = place.domain === '' ? Math.min(version?.until ?? latestOpset, newest) : 24;
  const opset = draws.between(floor, Math.max(floor, until));
  const builder = new CaseBuilder({ draws, opset, version, isPeer });
  family.cases[key](builder);
  const model = builder.message(new Set(builder.graph.nodes.map((node) => node.domain ?? '')));
  const otherFeeds = isPeer ? undefined : builder.otherFeeds();
  return {
    family: family.name,
    op: key,
    model,
    feeds: builder.feeds,
    ...(otherFeeds && { otherFeeds }),
    ...(builder.twin && { twin: builder.twin }),
    tolerance: builder.tolerance,
    opset,
    choices: draws.choices,
  };
}

function chooseGenerator(family: Family, draws: Draws, only: string | undefined): string {
  const keys = Object.keys(family.cases);
  const allowed = only === undefined ? keys : keys.filter((key) => key === only);
  if (allowed.length === 0) throw new TypeError(`"${family.name}" has no generator "${only}"`);
  return draws.pick(allowed);
}
