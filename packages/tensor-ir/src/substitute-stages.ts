// First half of fusion: which stages are substituted into the stages that read them.

import { elementAt } from './expr.ts';
import { substituteSources } from './inline.ts';
import {
  axesFor,
  bodiesOf,
  type MapStage,
  type Program,
  type RecurrenceStage,
  type ReduceStage,
  type Source,
  type Stage,
  sourcesOf,
} from './stage.ts';
import {
  axesIn,
  costOf,
  indexMapLoad,
  isGenerator,
  type Load,
  loadsOf,
  productOfLoads,
  readsByRows,
  readsSameElements,
  reusesOperands,
} from './structure.ts';

/** Stages that need memory or a place in a kernel, with the bodies of all others substituted. */
export interface SubstitutedProgram {
  readonly stages: readonly Stage[];
  /** Program outputs by the rebuilt stage (or input tensor) that holds them. */
  readonly sourceOf: (original: Source) => Source;
  /** Origins of everything inside a stage. */
  readonly origins: ReadonlyMap<Stage, ReadonlySet<unknown>>;
}

/** Cost up to which a value is computed again for each of several readers. */
const cheap = 1;
const cheapGenerator = 8;
/** Cost up to which a value is computed again for each of many elements, and how many are many. */
const cheapSpread = 4;
const manyTimes = 8;

/**
 * Repeated until nothing changes: a value that several stages read has one reader once those stages have been substituted
 * into one.
 */
export function substituteStages(program: Program): SubstitutedProgram {
  let result = substituteOnce(program, new Map());
  for (let count = program.stages.length; result.stages.length < count; ) {
    count = result.stages.length;
    const before = result;
    const outputs = program.outputs.map(({ tensor, source }) => ({ tensor, source: before.sourceOf(source) }));
    const next = substituteOnce({ ...program, stages: before.stages, outputs }, before.origins);
    result = { ...next, sourceOf: (original) => next.sourceOf(before.sourceOf(original)) };
  }
  return result;
}

function substituteOnce(program: Program, known: ReadonlyMap<Stage, ReadonlySet<unknown>>): SubstitutedProgram {
  const readers = readersOf(program.stages);
  const outputs = new Set<Source>(program.outputs.map((output) => output.source));
  const rebuilt = new Map<Stage, Stage>();
  const inlined = new Map<Stage, MapStage>();
  const origins = new Map<Stage, Set<unknown>>();
  const stages: Stage[] = [];
  for (const original of program.stages) {
    const own = new Set<unknown>(known.get(original) ?? (original.origin === undefined ? [] : [original.origin]));
    for (const source of sourcesOf(original)) {
      if (source.kind !== 'tensor' && inlined.has(source)) for (const item of origins.get(source)!) own.add(item);
    }
    const stage = rebuildStage(unitReshape(original) ?? original, (source) => {
      const inline = inlined.get(source);
      if (inline) return { inline };
      const next = rebuilt.get(source);
      return next && next !== source ? { source: next } : undefined;
    });
    rebuilt.set(original, stage);
    origins.set(original, own);
    const stageReaders = readers.get(original) ?? [];
    if (stage.kind === 'map' && !outputs.has(original) && shouldInline(stage, original, stageReaders, readers)) {
      inlined.set(original, stage);
      continue;
    }
    origins.set(stage, own);
    stages.push(stage);
  }
  const sourceOf = (original: Source): Source =>
    original.kind === 'tensor' ? original : (rebuilt.get(original) ?? original);
  return { stages, sourceOf, origins };
}

function readersOf(stages: readonly Stage[]): Map<Source, Stage[]> {
  const readers = new Map<Source, Stage[]>();
  for (const stage of stages) {
    for (const source of sourcesOf(stage)) {
      const list = readers.get(source);
      if (list) list.push(stage);
      else readers.set(source, [stage]);
    }
  }
  return readers;
}

function shouldInline(
  stage: MapStage,
  original: Stage,
  readers: readonly Stage[],
  allReaders: ReadonlyMap<Source, readonly Stage[]>,
): boolean {
  // A view needs its source in memory, except when it only adds or drops axes of size 1.
  if (readers.some((reader) => reader.kind === 'view' && !isUnitReshape(reader))) return false;
  if (readers.length > 0 && readers.every((reader) => isSpread(stage, original, reader))) return false;
  if (isGenerator(stage) && costOf(stage.body) <= cheapGenerator) return true;
  const moves = indexMapLoad(stage);
  if (moves) return readers.every((reader) => !moves.guard || acceptsGuard(reader));
  // A row kernel can write its result in another order of axes: what belongs to the rows stays with them.
  if (readsRows(stage) && readers.every((reader) => isTurned(reader, original))) return false;
  const cost = costOf(stage.body);
  if (readers.length > 1) return cost <= cheap && !readers.some(isProduct);
  const [reader] = readers;
  if (!reader) return false;
  // What a recurrence reads is read in every step.
  if (reader.kind === 'recurrence') return cost <= cheap;
  const sites = sitesOf(reader, original);
  if (sites > 1 && cost * (sites - 1) > 4) return false;
  if (reader.kind === 'reduce' && (isProduct(reader) || (reusesOperands(reader) && cost > cheap))) return false;
  // What follows a contraction element by element is its epilogue; it goes along only with a reader that can be that too.
  const head = epilogueHead(stage, allReaders);
  if (head) return reader.kind === 'map' && readsSameElements(reader, original);
  return true;
}

/** True where a reader would compute each value of a map, that costs something, again for many of its own elements. */
function isSpread(stage: MapStage, original: Stage, reader: Stage): boolean {
  if (reader.kind !== 'map' || indexMapLoad(stage) || costOf(stage.body) <= cheapSpread) return false;
  const loads = loadsOf(reader.body).filter(({ source }) => source === original);
  if (loads.length === 0) return false;
  const followed = axesIn(loads.flatMap(({ index }) => index));
  const times = reader.axes.reduce(
    (count, axis) => (followed.has(axis) ? count : count * (axis.size.constant ?? 8)),
    1,
  );
  return times >= manyTimes;
}

/** True for a map that has something of each of its rows, such as their sums. */
function readsRows(stage: MapStage): boolean {
  return loadsOf(stage.body).some(
    ({ source }) =>
      source.kind === 'reduce' && !reusesOperands(source) && readsByRows(stage, source, source.axes.length),
  );
}

/** True for a map that only turns the axes of a stage. */
function isTurned(reader: Stage, source: Stage): boolean {
  return reader.kind === 'map' && reader.body.kind === 'load' && readsSameElements(reader, source);
}

function isProduct(reader: Stage): boolean {
  return productOfLoads(reader) !== undefined && reusesOperands(reader as Extract<Stage, { kind: 'reduce' }>);
}

/** A matrix product has no use for guarded loads; a window has. */
function acceptsGuard(reader: Stage): boolean {
  if (!isProduct(reader)) return true;
  return loadsOf((reader as MapStage).body).some(
    (load) => load.guard !== undefined || load.index.some((e) => e.kind === 'binary'),
  );
}

/** The contraction or window whose elements a map reads one to one, when it is the only reader. */
function epilogueHead(stage: MapStage, readers: ReadonlyMap<Source, readonly Stage[]>): Stage | undefined {
  for (const load of loadsOf(stage.body)) {
    const { source } = load;
    if (source.kind !== 'reduce' || !reusesOperands(source)) continue;
    if ((readers.get(source)?.length ?? 0) <= 1 && readsSameElements(stage, source)) return source;
  }
  return undefined;
}

/** Places where a stage reads another, different indices counted once each. */
function sitesOf(reader: Stage, source: Stage): number {
  const sites = new Set<readonly unknown[]>();
  const keys = new Set<string>();
  for (const { body } of bodiesOf(reader)) {
    for (const load of loadsOf(body)) {
      if (load.source !== source) continue;
      const key = simpleKey(load);
      if (key === undefined) sites.add(load.index);
      else keys.add(key);
    }
  }
  return sites.size + keys.size;
}

function simpleKey(load: Load): string | undefined {
  const parts = load.index.map((e) => (e.kind === 'axis' ? `a${e.axis.id}` : e.kind === 'dim' ? e.dim.key : undefined));
  return parts.includes(undefined) ? undefined : parts.join();
}

function isUnitReshape(stage: Stage): boolean {
  if (stage.kind !== 'view') return false;
  const sized = (shape: Stage['shape']) => shape.filter((dim) => !dim.is(1)).map((dim) => dim.key);
  return sized(stage.shape).join('|') === sized(stage.source.shape).join('|');
}

/** A view that only adds or drops axes of size 1 is an index map. */
function unitReshape(stage: Stage): MapStage | undefined {
  if (stage.kind !== 'view' || !isUnitReshape(stage)) return undefined;
  const axes = axesFor(stage.shape);
  const sized = axes.filter((axis) => !axis.size.is(1));
  let next = 0;
  const body = elementAt(
    stage.source,
    stage.source.shape.map((dim) => (dim.is(1) ? 0 : sized[next++])),
  );
  const { source: _source, ...rest } = stage;
  return { ...rest, kind: 'map', axes, body };
}

type Replacement = Parameters<typeof substituteSources>[1];

/** The stage with loads replaced in everything it evaluates; the same object when nothing changed. */
export function rebuildStage(stage: Stage, replacement: Replacement): Stage {
  const swap = (e: Parameters<typeof substituteSources>[0]) => substituteSources(e, replacement);
  switch (stage.kind) {
    case 'map':
    case 'reduce':
    case 'scan': {
      const body = swap(stage.body);
      return body === stage.body ? stage : { ...stage, body };
    }
    case 'segments':
      return { ...stage, segments: stage.segments.map((segment) => ({ ...segment, body: swap(segment.body) })) };
    case 'scatter': {
      const guard = stage.guard && swap(stage.guard);
      return {
        ...stage,
        initial: swap(stage.initial),
        body: swap(stage.body),
        destination: stage.destination.map(swap),
        ...(guard && { guard }),
      };
    }
    case 'recurrence':
      return rebuildRecurrence(stage, replacement);
    case 'view': {
      if (stage.source.kind === 'tensor') return stage;
      const found = replacement(stage.source);
      return found && 'source' in found ? { ...stage, source: found.source } : stage;
    }
  }
}

function rebuildRecurrence(stage: RecurrenceStage, replacement: Replacement): RecurrenceStage {
  const rebuilt = new Map<Stage, MapStage | ReduceStage>();
  const inside: Replacement = (source) => {
    const own = rebuilt.get(source);
    return own ? { source: own } : replacement(source);
  };
  const inner = stage.inner.map((old) => {
    const next = rebuildStage(old, inside) as MapStage | ReduceStage;
    rebuilt.set(old, next);
    return next;
  });
  const parts = stage.parts.map((part) => ({
    ...part,
    initial: substituteSources(part.initial, inside),
    next: substituteSources(part.next, inside),
  }));
  const isSame =
    inner.every((next, at) => next === stage.inner[at]) &&
    parts.every(({ initial, next }, at) => initial === stage.parts[at].initial && next === stage.parts[at].next);
  return isSame ? stage : { ...stage, inner, parts };
}
