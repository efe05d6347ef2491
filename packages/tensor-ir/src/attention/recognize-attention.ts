// Recognises attention: a product whose rows go through a softmax into another product. Three or more kernels with the
// scores in memory between them become one, in which a block of scores at a time is in memory.

import { epilogueAxes } from '../epilogue.ts';
import {
  type Axis,
  axesIn,
  dimension,
  type Expr,
  ExprNumbering,
  elementAt,
  type FusedProgram,
  IndexAnalysis,
  type Kernel,
  loadsOf,
  type MapStage,
  mul,
  newAxis,
  type ReduceStage,
  type Stage,
  substituteAxes,
  type TensorRef,
  toIndex,
  walk,
} from '../index.ts';
import { bodyAt, inlinedFactor, type Load, scaledLoad, TensorUses } from './operand.ts';
import { type RowSoftmax, readRowSoftmax, replaceLoads } from './row-softmax.ts';
import { widen } from './widen.ts';

/**
 * result[batch, row, value] = Σ over key of weigh(exp(logit − reference)) · V, where logit is made of Σ Q · K over
 * feature. All expressions are float32 and in terms of these axes, which are shared by the stages.
 */
export interface Attention {
  /** The whole computation as stages: scores, peak, total, values, and perhaps an epilogue. */
  readonly kernel: Kernel;
  readonly batch: readonly Axis[];
  /** Axes of which keys and values know nothing, so that their rows share them. */
  readonly rows: readonly Axis[];
  readonly key: Axis;
  readonly feature: Axis;
  readonly value: Axis;
  readonly q: Expr;
  readonly k: Load;
  readonly v: Load;
  readonly scores: ReduceStage;
  readonly peak: ReduceStage;
  readonly total: ReduceStage;
  readonly values: ReduceStage;
  /** Of a load of `scores`. */
  readonly logit: Expr;
  /** Of a load of `peak`. */
  readonly reference: Expr;
  /** Of loads of `peak` and `total`. */
  readonly weigh: (power: Expr) => Expr;
  readonly epilogue: MapStage | undefined;
  readonly output: TensorRef;
}

/** Features and value columns beyond this would not fit the blocks of the template. */
const mostColumns = 1024;

export interface FusedAttention {
  readonly fused: FusedProgram;
  readonly attentions: ReadonlyMap<Kernel, Attention>;
}

/** Replaces the kernels of every attention by one. */
export function fuseAttention(fused: FusedProgram): FusedAttention {
  const uses = new TensorUses(fused);
  const attentions = new Map<Kernel, Attention>();
  const replaced = new Map<Kernel, Kernel>();
  const gone = new Set<Kernel>();
  for (const kernel of fused.kernels) {
    const found = new AttentionReader(uses, kernel).read();
    if (!found) continue;
    attentions.set(found.attention.kernel, found.attention);
    replaced.set(kernel, found.attention.kernel);
    for (const maker of found.makers) gone.add(maker);
  }
  if (replaced.size === 0) return { fused, attentions };
  const kernels = fused.kernels.filter((kernel) => !gone.has(kernel)).map((kernel) => replaced.get(kernel) ?? kernel);
  const made = new Set<TensorRef>();
  for (const { tensor } of kernels.flatMap((kernel) => kernel.outputs)) {
    // What is written into a view is in the memory of what it is a view of.
    for (let written: TensorRef | undefined = tensor; written; written = fused.aliases.get(written)) made.add(written);
  }
  const locals = fused.locals.filter((tensor) => made.has(tensor));
  return { fused: { ...fused, kernels, locals }, attentions };
}

interface Found {
  readonly attention: Attention;
  /** Kernels whose work is part of it. */
  readonly makers: readonly Kernel[];
}

/** The product in front of the softmax. */
interface Traced {
  readonly kernel: Kernel;
  readonly head: ReduceStage;
  /** Of loads of the head. */
  readonly value: Expr;
  /** The product's kernel and those of the maps after it. */
  readonly makers: readonly Kernel[];
}

/** The same at the row and lane of the logits. */
interface Scores extends Omit<Traced, 'value'> {
  readonly logit: Expr;
  /** The one element of the head that it reads. */
  readonly load: Load;
}

class AttentionReader {
  readonly #uses: TensorUses;
  readonly #kernel: Kernel;
  readonly #analysis = new IndexAnalysis();
  readonly #numbers = new ExprNumbering();

  constructor(uses: TensorUses, kernel: Kernel) {
    this.#uses = uses;
    this.#kernel = kernel;
  }

  read(): Found | undefined {
    const product = readProduct(this.#kernel);
    if (!product) return undefined;
    const { head, a, b } = product;
    return this.#withWeights(head, product.epilogue, a, b) ?? this.#withWeights(head, product.epilogue, b, a);
  }

  /** @param weights the factor that may be the result of a softmax */
  #withWeights(head: ReduceStage, epilogue: MapStage | undefined, weights: Expr, other: Expr): Found | undefined {
    const read = stripped(weights);
    const below = read && !read.guard ? this.#uses.rootLoad(read) : undefined;
    const rowKernel = below && this.#uses.privateMaker(below.source as TensorRef, this.#kernel);
    const softmax = rowKernel && readRowSoftmax(rowKernel);
    if (!softmax) return undefined;
    const index = below.index.map((e) => this.#analysis.simplify(e));
    const key = onlyAxis(head.over);
    const last = index[index.length - 1];
    if (!key || last.kind !== 'axis' || last.axis !== key || !key.size.equals(softmax.lane.size)) return undefined;
    const values = new Map<Axis, Expr>([[softmax.lane, toIndex(key)]]);
    for (const [at, axis] of softmax.rows.entries()) values.set(axis, index[at]);
    const here = (e: Expr): Expr => this.#analysis.simplify(substituteAxes(e, values));
    const scores = this.#scores(softmax, rowKernel, here);
    if (!scores) return undefined;
    return this.#assemble(head, epilogue, key, other, softmax, here, scores, rowKernel);
  }

  #scores(softmax: RowSoftmax, rowKernel: Kernel, here: (e: Expr) => Expr): Scores | undefined {
    const traced = this.#trace(softmax.logit, rowKernel);
    if (!traced) return undefined;
    const logit = here(traced.value);
    const reads = loadsOf(logit).filter((e) => e.source === traced.head);
    if (reads.length === 0 || reads.some((e) => e.guard || this.#numbers.of(e) !== this.#numbers.of(reads[0])))
      return undefined;
    return { ...traced, logit, load: reads[0] };
  }

  /** An expression with what lies between it and a private product substituted, so that it reads the product's head. */
  #trace(root: Expr, reader: Kernel): Traced | undefined {
    for (const load of loadsOf(root)) {
      if (load.source.kind !== 'tensor' || load.guard) continue;
      const below = this.#uses.rootLoad(load);
      const kernel = below && this.#uses.privateMaker(below.source as TensorRef, reader);
      if (!kernel) continue;
      const found = this.#traceInto(kernel, below);
      if (!found) continue;
      const same = loadsOf(root).filter(
        (e) => e.source.kind === 'tensor' && this.#uses.rootOf(e.source) === below.source,
      );
      if (same.length > 1) return undefined;
      return { ...found, value: replaceLoads(root, new Map([[load.source, found.value]])) };
    }
    return undefined;
  }

  /** The element that a load reads from the result of a kernel: a product, or a map of one. */
  #traceInto(kernel: Kernel, load: Load): Traced | undefined {
    const product = readProduct(kernel);
    if (product) {
      const { head, epilogue } = product;
      const value: Expr = epilogue ? bodyAt(epilogue, load.index) : { ...load, type: head.dtype, source: head };
      return { kernel, head, value, makers: [kernel] };
    }
    const [stage] = kernel.stages;
    if (kernel.class !== 'pointwise' || stage.kind !== 'map') return undefined;
    const inner = this.#trace(bodyAt(stage, load.index), kernel);
    return inner && { ...inner, makers: [kernel, ...inner.makers] };
  }

  #assemble(
    head: ReduceStage,
    epilogue: MapStage | undefined,
    key: Axis,
    valueFactor: Expr,
    softmax: RowSoftmax,
    here: (e: Expr) => Expr,
    scores: Scores,
    rowKernel: Kernel,
  ): Found | undefined {
    const feature = onlyAxis(scores.head.over);
    if (!feature || scores.head.body.kind !== 'binary') return undefined;
    const at = new Map<Axis, Expr>(scores.head.axes.map((axis, position) => [axis, scores.load.index[position]]));
    for (const axis of scores.head.over) if (axis !== feature) at.set(axis, dimension(0));
    const place = (e: Expr): Expr => this.#analysis.simplify(substituteAxes(e, at));
    const factors = [place(scores.head.body.a), place(scores.head.body.b)];
    if (axesIn([factors[0]]).has(key)) factors.reverse();
    const keys = scaledLoad(factors[1], this.#uses, scores.kernel);
    const queries = inlinedFactor(factors[0], this.#uses, scores.kernel);
    const units = new Map<Axis, Expr>(head.over.filter((axis) => axis !== key).map((axis) => [axis, dimension(0)]));
    const vectors = scaledLoad(substituteAxes(valueFactor, units), this.#uses, this.#kernel);
    if (!keys || !vectors) return undefined;
    const simplify = (load: Load): Load => ({ ...load, index: load.index.map((e) => this.#analysis.simplify(e)) });
    const [k, v] = [simplify(keys.load), simplify(vectors.load)];
    const logit = scores.logit;
    const reference = here(softmax.reference);
    const inQ = axesIn([queries.value]);
    const inK = axesIn([k]);
    const inV = axesIn([v]);
    const inRow = axesIn([queries.value, k, logit, reference, here(softmax.weigh(logit))]);
    if (inQ.has(key) || !inQ.has(feature) || !inK.has(key) || !inK.has(feature) || !inV.has(key)) return undefined;
    const sized = head.axes.filter((axis) => !axis.size.is(1));
    const value = onlyAxis(sized.filter((axis) => !inRow.has(axis)));
    if (!value || !inV.has(value)) return undefined;
    const columns = [feature.size.constant, value.size.constant];
    if (columns.some((size) => size === undefined || size < 2 || size > mostColumns)) return undefined;
    const rows = sized.filter((axis) => axis !== value && inQ.has(axis) && !inK.has(axis) && !inV.has(axis));
    const batch = head.axes.filter((axis) => axis !== value && !rows.includes(axis));
    const made = { head, epilogue, batch, rows, key, feature, value, k, v, logit, reference, scale: keys.scale };
    const weigh = (power: Expr): Expr => {
      const result = here(softmax.weigh(power));
      return vectors.scale === 1 ? result : mul(widen(result), vectors.scale);
    };
    try {
      const attention = new AttentionBuilder(this.#kernel, softmax, scores, rowKernel).build(
        made,
        queries.value,
        weigh,
      );
      const makers = [...scores.makers, rowKernel, ...keys.makers, ...queries.makers, ...vectors.makers];
      return { attention, makers };
    } catch (error) {
      if (error instanceof TypeError) return undefined;
      throw error;
    }
  }
}

type Made = Pick<
  Attention,
  'epilogue' | 'batch' | 'rows' | 'key' | 'feature' | 'value' | 'k' | 'v' | 'logit' | 'reference'
> & {
  readonly head: ReduceStage;
  /** Of the keys; it goes to the queries. */
  readonly scale: number;
};

/** Writes the stages of the fused kernel. */
class AttentionBuilder {
  readonly #kernel: Kernel;
  readonly #softmax: RowSoftmax;
  readonly #scores: Scores;
  readonly #rowKernel: Kernel;

  constructor(kernel: Kernel, softmax: RowSoftmax, scores: Scores, rowKernel: Kernel) {
    this.#kernel = kernel;
    this.#softmax = softmax;
    this.#scores = scores;
    this.#rowKernel = rowKernel;
  }

  build(made: Made, query: Expr, weigh: (power: Expr) => Expr): Attention {
    const { head, batch, rows, key, feature, value, k, v } = made;
    const rowAxes = head.axes.filter((axis) => axis !== value);
    const wide = widen(query);
    const q = made.scale === 1 ? wide : mul(wide, made.scale);
    const sum = (like: ReduceStage, op: 'sum' | 'max', axes: readonly Axis[], over: Axis, body: Expr): ReduceStage => {
      const { selectLast: _, ...base } = like;
      return { ...base, op, dtype: 'float32', shape: axes.map((axis) => axis.size), axes, over: [over], body };
    };
    const scores = sum(this.#scores.head, 'sum', [...rowAxes, key], feature, mul(q, widen(k)));
    const atScore = elementOf(scores);
    const logit = widen(made.logit, (load) => (load.source === this.#scores.head ? atScore : undefined));
    const peak = sum(this.#softmax.peak, 'max', rowAxes, key, logit);
    const toPeak = (load: Load): Expr | undefined => (load.source === this.#softmax.peak ? elementOf(peak) : undefined);
    const reference = widen(made.reference, toPeak);
    const power: Expr = {
      kind: 'unary',
      type: 'float32',
      op: 'exp',
      x: { kind: 'binary', type: 'float32', op: 'sub', a: logit, b: reference },
    };
    const total = sum(this.#softmax.total, 'sum', rowAxes, key, power);
    const toRow = (load: Load): Expr | undefined =>
      load.source === this.#softmax.total ? elementOf(total) : toPeak(load);
    // Loads of stages that are float32 already stay.
    const weighRow = (e: Expr): Expr => widen(weigh(e), toRow);
    const values = sum(head, 'sum', head.axes, key, mul(weighRow(power), widen(v)));
    const stages: Stage[] = [scores, peak, total, values];
    const output = this.#kernel.outputs[0].tensor;
    const last = made.epilogue ?? (output.dtype === 'float32' ? undefined : storeStage(head));
    const epilogue: MapStage | undefined = last && {
      ...last,
      body: narrow(
        last,
        widen(last.body, (load) => (load.source === head ? { ...load, type: 'float32', source: values } : undefined)),
      ),
    };
    if (epilogue) stages.push(epilogue);
    const params = new Set<TensorRef>();
    for (const stage of stages) {
      walk((stage as MapStage).body, (e) => {
        if (e.kind === 'load' && e.source.kind === 'tensor') params.add(e.source);
      });
    }
    const origins = [...this.#scores.kernel.origins, ...this.#rowKernel.origins, ...this.#kernel.origins];
    const kernel: Kernel = {
      ...this.#kernel,
      name: `${this.#scores.head.name}+${this.#kernel.name}`,
      params: [...params],
      stages,
      outputs: [{ stage: epilogue ?? values, tensor: output }],
      origins: [...new Set(origins)],
    };
    return {
      kernel,
      batch,
      rows,
      key,
      feature,
      value,
      q,
      k,
      v,
      scores,
      peak,
      total,
      values,
      logit,
      reference,
      weigh: weighRow,
      epilogue,
      output,
    };
  }
}

/** Back to the type that the stage stores. */
function narrow(stage: MapStage, value: Expr): Expr {
  return value.type === stage.dtype ? value : { kind: 'cast', type: stage.dtype, x: value, saturate: false };
}

/** Stores a result as it is, in the type of its tensor. */
function storeStage(head: ReduceStage): MapStage {
  const { id, name, dtype, shape, origin } = head;
  const axes = head.axes.map((axis) => newAxis(axis.name, axis.size));
  const body = elementAt(head, axes);
  return { kind: 'map', id, name, dtype, shape, axes, body, ...(origin !== undefined && { origin }) };
}

/** A stage's element at its own axes. */
function elementOf(stage: ReduceStage): Expr {
  return { kind: 'load', type: stage.dtype, source: stage, index: stage.axes.map(toIndex) };
}

function stripped(factor: Expr): Load | undefined {
  if (factor.kind === 'cast') return stripped(factor.x);
  return factor.kind === 'load' ? factor : undefined;
}

/** The only axis of more than one element. */
function onlyAxis(axes: readonly Axis[]): Axis | undefined {
  const sized = axes.filter((axis) => !axis.size.is(1));
  return sized.length === 1 ? sized[0] : undefined;
}

const floats = new Set(['float32', 'float16', 'bfloat16']);

function readProduct(kernel: Kernel) {
  const [head, epilogue] = kernel.stages;
  if (kernel.class !== 'contraction' || kernel.stages.length > 2 || kernel.outputs.length !== 1) return undefined;
  if (head.kind !== 'reduce' || head.op !== 'sum' || head.body.kind !== 'binary' || head.body.op !== 'mul')
    return undefined;
  if (!floats.has(head.dtype) || kernel.outputs[0].stage !== (epilogue ?? head)) return undefined;
  if (
    epilogue &&
    (epilogue.kind !== 'map' ||
      epilogueAxes({ head, epilogue }).size < head.axes.filter((axis) => !axis.size.is(1)).length)
  )
    return undefined;
  return { head, epilogue: epilogue as MapStage | undefined, a: head.body.a, b: head.body.b };
}
