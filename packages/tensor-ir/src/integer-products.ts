// Products of dequantised tensors become products of integers that are scaled afterwards:
// Σ (qa − za) sa · (qb − zb) sb = sa · sb · Σ (qa − za) (qb − zb), where the scales do not change along the sum.
//
// What is computed at run time is centred, that is q − z, in a stage of its own of int16: whoever quantises it can write it
// like that, all its readers share it, and windows pad it with zeros.

import { type Axis, cast, constant, type Expr, elementAt, mul, rewrite, substituteAxes } from './expr.ts';
import { axesFor, type MapStage, type Program, type ReduceStage, type Source, type Stage, sourcesOf } from './stage.ts';
import { axesIn, type Load, loadsOf } from './structure.ts';
import { rebuildStage } from './substitute-stages.ts';

/** q − zero, with a `load` of 8 bits or fewer. */
interface Centred {
  readonly load: Load;
  readonly zero: Expr | undefined;
}

/** Rewrites what can be rewritten; every output keeps its meaning up to the rounding of floats. */
export function integerProducts(program: Program): Program {
  const wanted = new Centres();
  for (const stage of program.stages) {
    const product = stage.kind === 'reduce' ? productOf(stage) : undefined;
    if (product) for (const { centred } of product) if (!isWeight(centred)) wanted.add(centred);
  }
  const replaced = new Map<Stage, Stage>();
  const stages: Stage[] = [];
  const emit = <T extends Stage>(stage: T): T => {
    stages.push(stage);
    return stage;
  };
  const centreOf = (centred: Centred, like: Stage): MapStage => wanted.stageOf(centred, like, replaced, emit);
  for (const original of program.stages) {
    const product = original.kind === 'reduce' ? productOf(original) : undefined;
    const stage = rebuildStage(original, (source) => withReplacement(replaced, source));
    if (product && original.kind === 'reduce')
      replaced.set(original, emit(rewriteProduct(original, product, replaced, centreOf, emit)));
    else {
      const parts = stage.kind === 'map' && original.kind === 'map' ? dequantized(original.body) : undefined;
      if (parts && stage.kind === 'map' && original.kind === 'map' && wanted.has(parts.centred)) {
        const centre = centreOf(parts.centred, original);
        const value = cast('float32', elementAt(centre, parts.centred.load.index));
        const body = mul(value, swapSources(parts.scale, replaced));
        replaced.set(original, emit({ ...stage, body }));
      } else {
        if (stage !== original) replaced.set(original, stage);
        stages.push(stage);
      }
    }
  }
  const outputs = program.outputs.map((output) => ({ ...output, source: replacementOf(replaced, output.source) }));
  return {
    ...program,
    stages: withoutUnread(
      stages,
      outputs.map(({ source }) => source),
    ),
    outputs,
  };
}

/** The int16 stages that products read, by what they are made of. */
class Centres {
  readonly #made = new Map<Source, Map<Source | number | undefined, MapStage | undefined>>();

  add(centred: Centred): void {
    const source = centred.load.source;
    const list = this.#made.get(source) ?? new Map<Source | number | undefined, MapStage | undefined>();
    this.#made.set(source, list);
    list.set(keyOfZero(centred), undefined);
  }

  has(centred: Centred): boolean {
    return (
      !isWeight(centred) &&
      isIdentity(centred.load) &&
      (this.#made.get(centred.load.source)?.has(keyOfZero(centred)) ?? false)
    );
  }

  stageOf(
    centred: Centred,
    like: Stage,
    replaced: ReadonlyMap<Stage, Stage>,
    emit: (stage: MapStage) => MapStage,
  ): MapStage {
    const { load, zero } = centred;
    const list = this.#made.get(load.source)!;
    const known = list.get(keyOfZero(centred));
    if (known) return known;
    const source = replacementOf(replaced, load.source);
    const axes = axesFor(source.shape);
    const whole: Expr = cast('int32', elementAt(source, axes));
    const body = cast(
      'int16',
      zero
        ? { kind: 'binary', type: 'int32', op: 'sub', a: whole, b: cast('int32', swapSources(zero, replaced)) }
        : whole,
    );
    const made = emit({
      kind: 'map',
      id: -1,
      name: `${load.source.name}.centred`,
      dtype: 'int16',
      shape: source.shape,
      axes,
      body,
      ...(like.origin !== undefined && { origin: like.origin }),
    });
    list.set(keyOfZero(centred), made);
    return made;
  }
}

function withReplacement(replaced: ReadonlyMap<Stage, Stage>, source: Stage): { source: Source } | undefined {
  const next = replaced.get(source);
  return next && { source: next };
}

function replacementOf(replaced: ReadonlyMap<Stage, Stage>, source: Source): Source {
  return source.kind === 'tensor' ? source : (replaced.get(source) ?? source);
}

function swapSources(root: Expr, replaced: ReadonlyMap<Stage, Stage>): Expr {
  return rewrite(root, (e) => {
    if (e.kind !== 'load' || e.source.kind === 'tensor') return undefined;
    const next = replaced.get(e.source);
    return next && { ...e, source: next };
  });
}

/** The zero point of a stage is one number: its tensor, or its value. */
function keyOfZero({ zero }: Centred): Source | number | undefined {
  if (!zero) return undefined;
  return zero.kind === 'load' ? zero.source : Number((zero as Extract<Expr, { kind: 'const' }>).value);
}

function isWeight({ load }: Centred): boolean {
  return load.source.kind === 'tensor' && load.source.isConstant;
}

/** Reads the whole source in its own order. */
function isIdentity(load: Load): boolean {
  const seen = new Set<Axis>();
  return (
    !load.guard &&
    load.index.every((e, at) => {
      if (e.kind === 'dim') return e.dim.is(0) && load.source.shape[at].is(1);
      if (e.kind !== 'axis' || seen.has(e.axis) || !e.axis.size.equals(load.source.shape[at])) return false;
      seen.add(e.axis);
      return true;
    })
  );
}

const strip = (e: Expr): Expr => (e.kind === 'cast' ? strip(e.x) : e);

const narrow = new Set(['int8', 'uint8', 'int4', 'uint4', 'int2', 'uint2']);

/** An int32 expression q − z or q; the zero point of what is no weight must be one number. */
function centredOf(e: Expr): Centred | undefined {
  if (e.type !== 'int32') return undefined;
  const [whole, zero] = e.kind === 'binary' && e.op === 'sub' ? [e.a, e.b] : [e, undefined];
  if (whole.kind !== 'cast' || whole.x.kind !== 'load' || !narrow.has(whole.x.type)) return undefined;
  const load = whole.x;
  const bare = zero && strip(zero);
  if (bare && bare.kind !== 'load' && bare.kind !== 'const') return undefined;
  if (bare && !narrow.has(bare.type) && bare.kind === 'load') return undefined;
  const centred = { load, zero: bare };
  if (!isWeight(centred) && bare && axesIn([bare]).size > 0) return undefined;
  if (bare?.kind === 'load' && bare.guard) return undefined;
  return centred;
}

/** (q − z) · scale in float32. */
function dequantized(e: Expr): { readonly centred: Centred; readonly scale: Expr } | undefined {
  if (e.type !== 'float32' || e.kind !== 'binary' || e.op !== 'mul' || e.a.kind !== 'cast') return undefined;
  const centred = centredOf(e.a.x.type === 'int32' ? e.a.x : cast('int32', e.a.x));
  return centred && !centred.load.guard ? { centred, scale: e.b } : undefined;
}

interface Factor {
  readonly centred: Centred;
  /** In terms of the product's axes; none for integers. */
  readonly scale: Expr | undefined;
}

/** The factors of a sum that can be one of integers. */
function productOf(stage: ReduceStage): readonly [Factor, Factor] | undefined {
  if (stage.op !== 'sum' || stage.body.kind !== 'binary' || stage.body.op !== 'mul') return undefined;
  const factorOf = stage.dtype === 'int32' ? integerFactor : stage.dtype === 'float32' ? floatFactor : undefined;
  const a = factorOf?.(stage.body.a);
  const b = a && factorOf?.(stage.body.b);
  if (!a || !b || (isWeight(a.centred) && isWeight(b.centred))) return undefined;
  // Each factor has elements that meet many of the other's: otherwise there is no matrix product to be had.
  const [inA, inB] = [axesOfFactor(a), axesOfFactor(b)];
  const alone = (here: ReadonlySet<Axis>, there: ReadonlySet<Axis>): boolean =>
    stage.axes.some((axis) => !axis.size.is(1) && here.has(axis) && !there.has(axis));
  if (!alone(inA, inB) || !alone(inB, inA)) return undefined;
  const over = new Set(stage.over);
  for (const { scale } of [a, b]) if (scale && [...axesIn([scale])].some((axis) => over.has(axis))) return undefined;
  return [a, b];
}

function axesOfFactor({ centred: { load, zero } }: Factor): Set<Axis> {
  return axesIn([...load.index, ...(load.guard ? [load.guard] : []), ...(zero ? [zero] : [])]);
}

function integerFactor(e: Expr): Factor | undefined {
  const centred = centredOf(e);
  if (!centred) return undefined;
  const { load, zero } = centred;
  if (!load.guard) return { centred, scale: undefined };
  const fill = strip(load.fill!);
  const isZero =
    zero?.kind === 'load'
      ? fill.kind === 'load' && fill.source === zero.source
      : fill.kind === 'const' && Number(fill.value) === Number(zero?.kind === 'const' ? zero.value : 0);
  return isZero ? { centred, scale: undefined } : undefined;
}

/** A load of a dequantising stage, index maps in between looked through. */
function floatFactor(e: Expr): Factor | undefined {
  if (e.kind !== 'load' || (e.guard && !(e.fill?.kind === 'const' && Number(e.fill.value) === 0))) return undefined;
  let { source, index } = e;
  for (;;) {
    if (source.kind !== 'map') return undefined;
    const values = new Map<Axis, Expr>(source.axes.map((axis, at) => [axis, index[at]]));
    const { body } = source;
    if (body.kind === 'load' && !body.guard) {
      if (loadsOf(body).length > 1) return undefined;
      index = body.index.map((x) => substituteAxes(x, values));
      ({ source } = body);
      continue;
    }
    const parts = dequantized(body);
    if (!parts) return undefined;
    const { load, zero } = parts.centred;
    const moved = load.index.map((x) => substituteAxes(x, values));
    const guarded: Load = { ...load, index: moved, ...(e.guard && { guard: e.guard, fill: constant(load.type, 0) }) };
    const centred = { load: guarded, zero: zero && substituteAxes(zero, values) };
    if (e.guard && isWeight(centred)) return undefined;
    return { centred, scale: substituteAxes(parts.scale, values) };
  }
}

function rewriteProduct(
  original: ReduceStage,
  factors: readonly [Factor, Factor],
  replaced: ReadonlyMap<Stage, Stage>,
  centreOf: (centred: Centred, like: Stage) => MapStage,
  emit: (stage: ReduceStage) => ReduceStage,
): Stage {
  const [a, b] = factors.map(({ centred }): Expr => {
    const { load, zero } = centred;
    if (isWeight(centred)) {
      const whole = cast('int32', load);
      return zero
        ? { kind: 'binary', type: 'int32', op: 'sub', a: whole, b: cast('int32', swapSources(zero, replaced)) }
        : whole;
    }
    const stage = centreOf(centred, original);
    const index = load.index.map((e) => swapSources(e, replaced));
    return cast(
      'int32',
      elementAt(stage, index, load.guard && { when: swapSources(load.guard, replaced), otherwise: 0 }),
    );
  });
  const sums: ReduceStage = { ...original, dtype: 'int32', body: mul(a, b) };
  const [sa, sb] = factors.map(({ scale }) => scale && swapSources(scale, replaced));
  if (!sa || !sb) return sums;
  emit(sums);
  const axes = axesFor(original.shape);
  const values = new Map<Axis, Expr>(
    original.axes.map((axis, at) => [axis, { kind: 'axis', type: 'index', axis: axes[at] }]),
  );
  const body = mul(cast('float32', elementAt(sums, axes)), substituteAxes(mul(sa, sb), values));
  const { over: _over, op: _op, selectLast: _last, ...base } = original;
  return { ...base, kind: 'map', axes, body };
}

/** Stages that an output depends on. */
function withoutUnread(stages: readonly Stage[], outputs: readonly Source[]): Stage[] {
  const needed = new Set<Source>(outputs);
  const kept: Stage[] = [];
  for (const stage of [...stages].reverse()) {
    if (!needed.has(stage)) continue;
    kept.unshift(stage);
    for (const source of sourcesOf(stage)) needed.add(source);
  }
  return kept;
}
