// Recognises recurrences whose steps multiply a state by weights: RNN, GRU and LSTM. Their products read panels that are
// packed once; whatever else a step computes is generated.

import {
  type Axis,
  add,
  axesIn,
  cast,
  Dim,
  type Expr,
  type Kernel,
  loadsOf,
  type MapStage,
  mul,
  newAxis,
  newTensorRef,
  type RecurrenceStage,
  type ReduceStage,
  type SegmentsStage,
  type Stage,
  substituteAxes,
  symbolsOfStage,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { zeroBeyond } from '../operand-kernels.ts';
import { panelColumns } from './state-product.ts';

/**
 * Part of a step whose products need all of what the part before has computed. States and what is computed for each of
 * their elements have the axes [batch…, row, unit]; weights do not move along the rows.
 */
export interface StepPart {
  /** Of all factors, one group after another. */
  readonly products: readonly ReduceStage[];
  readonly factors: readonly Factor[];
  /** In order; each is read at the same element only. */
  readonly maps: readonly MapStage[];
}

/** What some products of a part have in common. */
export interface Factor {
  readonly products: readonly ReduceStage[];
  /** The values that are summed up: a part of the state, or a map of the step part before. */
  readonly values: Values;
  /** Weights of the products: [batch…, block, panel, product, k, unit]. */
  readonly panels: TensorRef;
}

export type Values = { readonly statePart: number } | { readonly map: MapStage };

/** A part whose weights are not packed yet. */
interface SortedPart {
  readonly factors: readonly Omit<Factor, 'panels'>[];
  readonly maps: readonly MapStage[];
}

export interface RecurrentProduct {
  readonly kernel: Kernel;
  readonly stage: RecurrenceStage;
  readonly states: TensorRef;
  readonly parts: readonly StepPart[];
  /** Where maps are kept that another part of the step reads, each in the sizes of a part of the state. */
  readonly kept: ReadonlyMap<MapStage, TensorRef>;
  readonly batch: readonly Dim[];
  readonly rows: Dim;
  readonly units: number;
  /** Units that are computed together: they share the values of the state, and go to one thread. */
  readonly blockUnits: number;
}

export interface PreparedRecurrence {
  readonly product: RecurrentProduct;
  readonly before: readonly Kernel[];
  readonly locals: readonly TensorRef[];
}

/** Fewer units are not worth a block, more would not fit the micro-kernel's addresses. */
const fewestUnits = 4;
const mostUnits = 1 << 16;

export function prepareRecurrence(kernel: Kernel): PreparedRecurrence | undefined {
  const [stage] = kernel.stages;
  if (stage.kind !== 'recurrence' || stage.dtype !== 'float32' || stage.shape.length < 4) return undefined;
  const units = stage.shape[stage.shape.length - 1].constant;
  const batch = stage.shape.slice(2, -2);
  if (units === undefined || units < fewestUnits || units > mostUnits) return undefined;
  if (batch.some((size) => size.constant === undefined)) return undefined;
  const read = new StepReader(stage).read();
  if (!read) return undefined;
  const blockUnits = blockSize(units);
  const before: Kernel[] = [];
  const parts = read.map((part): StepPart => {
    const factors = part.factors.map((factor): Factor => {
      const packed = packWeights(kernel, stage, factor.products, units, blockUnits);
      before.push(packed);
      return { ...factor, panels: packed.outputs[0].tensor };
    });
    return { ...part, factors, products: factors.flatMap(({ products }) => products) };
  });
  const kept = new Map<MapStage, TensorRef>();
  for (const [at, { maps }] of parts.entries()) {
    for (const map of maps) {
      const isRead = parts.some(
        (other, elsewhere) => elsewhere !== at && readsInPart(stage, other, elsewhere === parts.length - 1, map),
      );
      if (isRead) kept.set(map, newTensorRef(map.name, map.dtype, map.shape));
    }
  }
  const panels = parts.flatMap(({ factors }) => factors.map((factor) => factor.panels));
  const weights = new Set(parts.flatMap(({ products }) => tensorsOf(products)));
  const others = new Set(tensorsOf([...read.flatMap(({ maps }) => maps), stepEnds(stage)]));
  const params = kernel.params.filter((param) => !weights.has(param) || others.has(param));
  const product: RecurrentProduct = {
    kernel: { ...kernel, params: [...params, ...panels, ...kept.values()] },
    stage,
    states: kernel.outputs[0].tensor,
    parts,
    kept,
    batch,
    rows: stage.shape[stage.shape.length - 2],
    units,
    blockUnits,
  };
  return { product, before, locals: [...panels, ...kept.values()] };
}

/** Blocks for several threads, each long enough for vector code. */
function blockSize(units: number): number {
  const wanted = units >= 128 ? 32 : units >= 64 ? 16 : 8;
  return Math.min(wanted, Math.ceil(units / panelColumns) * panelColumns);
}

/** The recurrence without what is computed inside. */
function stepEnds(stage: RecurrenceStage): RecurrenceStage {
  return { ...stage, inner: [] };
}

function tensorsOf(stages: readonly Stage[]): TensorRef[] {
  return stages
    .flatMap((stage) => bodies(stage).flatMap(loadsOf))
    .flatMap(({ source }) => (source.kind === 'tensor' ? [source] : []));
}

function bodies(stage: Stage): readonly Expr[] {
  if (stage.kind === 'recurrence') return stage.parts.flatMap(({ initial, next }) => [initial, next]);
  return stage.kind === 'map' || stage.kind === 'reduce' ? [stage.body] : [];
}

function readsInPart(stage: RecurrenceStage, part: SortedPart, isLast: boolean, map: MapStage): boolean {
  if (part.factors.some(({ values }) => 'map' in values && values.map === map)) return true;
  const roots = [...part.maps.map(({ body }) => body), ...(isLast ? stage.parts.map(({ next }) => next) : [])];
  return roots.some((root) => loadsOf(root).some(({ source }) => source === map));
}

/** Sorts what a step computes into parts. */
class StepReader {
  readonly #stage: RecurrenceStage;
  readonly #sizes: readonly Dim[];

  constructor(stage: RecurrenceStage) {
    this.#stage = stage;
    this.#sizes = stage.shape.slice(2);
  }

  read(): readonly SortedPart[] | undefined {
    const { inner, parts } = this.#stage;
    if (!inner.every((own) => (own.kind === 'map' ? this.#isElementwise(own.axes, own.body) : this.#valuesOf(own))))
      return undefined;
    if (inner.some((own) => own.shape.length !== this.#sizes.length || own.dtype !== 'float32')) return undefined;
    if (!inner.every((own) => own.shape.every((size, at) => size.equals(this.#sizes[at])))) return undefined;
    if (!parts.every(({ axes, next }) => this.#isElementwise(axes, next))) return undefined;
    return this.#sort();
  }

  /** Every stage as late as its readers allow: in the part that is the first to need it. */
  #sort(): readonly SortedPart[] | undefined {
    const { inner, parts } = this.#stage;
    const earliest = new Map<Stage, number>();
    for (const own of inner) {
      const values = own.kind === 'reduce' ? this.#valuesOf(own) : undefined;
      if (values) earliest.set(own, 'map' in values ? earliest.get(values.map)! + 1 : 0);
      else earliest.set(own, Math.max(0, ...this.#ownReads(own.body).map((read) => earliest.get(read)!)));
    }
    const last = Math.max(0, ...earliest.values());
    const place = new Map<Stage, number>();
    const ask = (read: Stage, at: number): void => {
      place.set(read, Math.min(place.get(read) ?? last, at));
    };
    for (const { next } of parts) for (const read of this.#ownReads(next)) ask(read, last);
    for (const own of [...inner].reverse()) {
      const at = place.get(own);
      if (at === undefined) return undefined;
      const values = own.kind === 'reduce' ? this.#valuesOf(own) : undefined;
      if (values) {
        if ('map' in values) ask(values.map, at - 1);
      } else for (const read of this.#ownReads(own.body)) ask(read, at);
    }
    const sorted: SortedPart[] = [];
    for (let at = 0; at <= last; at++) {
      const products = inner.filter((own): own is ReduceStage => own.kind === 'reduce' && place.get(own) === at);
      const maps = inner.filter((own): own is MapStage => own.kind === 'map' && place.get(own) === at);
      if (products.length === 0 || products.length > 4) return undefined;
      const factors: { values: Values; products: ReduceStage[] }[] = [];
      for (const head of products) {
        const values = this.#valuesOf(head)!;
        const known = factors.find((factor) => sameValues(factor.values, values));
        if (known) known.products.push(head);
        else factors.push({ values, products: [head] });
      }
      sorted.push({ factors, maps });
    }
    // A product has no memory beyond its part.
    const isLocal = (reader: number, read: Stage): boolean => read.kind === 'map' || place.get(read) === reader;
    const fits =
      inner.every(
        (own) => own.kind === 'reduce' || this.#ownReads(own.body).every((read) => isLocal(place.get(own)!, read)),
      ) && parts.every(({ next }) => this.#ownReads(next).every((read) => isLocal(last, read)));
    return fits ? sorted : undefined;
  }

  #ownReads(body: Expr): Stage[] {
    const own = new Set<unknown>(this.#stage.inner);
    return loadsOf(body).flatMap(({ source }) => (own.has(source) ? [source as Stage] : []));
  }

  /** True when the state and what the step computes are read at the element itself. */
  #isElementwise(axes: readonly Axis[], body: Expr): boolean {
    const { state, inner } = this.#stage;
    const own = new Set<unknown>(inner);
    return loadsOf(body).every(({ source, index, guard }) => {
      if (source === state) return !guard && isConstant(index[0]) && isAt(index.slice(1), axes);
      return !own.has(source) || (!guard && isAt(index, axes));
    });
  }

  /** What a sum of products with weights sums up; undefined for other reductions. */
  #valuesOf({ op, axes, over, body }: ReduceStage): Values | undefined {
    const units = this.#sizes[this.#sizes.length - 1];
    if (op !== 'sum' || over.length !== 1 || !over[0].size.equals(units) || axes.length !== this.#sizes.length)
      return undefined;
    if (body.kind !== 'binary' || body.op !== 'mul') return undefined;
    const { state, inner, step } = this.#stage;
    const own = new Set<unknown>([state, ...inner]);
    const place = [...axes.slice(0, -1), over[0]];
    for (const [values, weights] of [
      [body.a, body.b],
      [body.b, body.a],
    ]) {
      if (values.kind !== 'load' || values.guard || !own.has(values.source)) continue;
      const inWeights = axesIn([weights]);
      if (inWeights.has(axes[axes.length - 2]) || inWeights.has(step)) continue;
      if (loadsOf(weights).some(({ source }) => source.kind !== 'tensor' || own.has(source))) continue;
      const isState = values.source === state;
      const [part, ...index] = isState ? values.index : [undefined, ...values.index];
      if (!isAt(index as Expr[], place) || (part && !isConstant(part))) continue;
      if (isState) return { statePart: (part as Extract<Expr, { kind: 'dim' }>).dim.constant! };
      if ((values.source as Stage).kind === 'map') return { map: values.source as MapStage };
    }
    return undefined;
  }
}

function sameValues(a: Values, b: Values): boolean {
  return 'map' in a ? 'map' in b && a.map === b.map : 'statePart' in b && a.statePart === b.statePart;
}

function isConstant(index: Expr): boolean {
  return index.kind === 'dim' && index.dim.constant !== undefined;
}

function isAt(index: readonly Expr[], axes: readonly Axis[]): boolean {
  return (
    index.length === axes.length &&
    index.every(
      (e, at) => (e.kind === 'axis' && e.axis === axes[at]) || (axes[at].size.is(1) && e.kind === 'dim' && e.dim.is(0)),
    )
  );
}

/** The factor of a product that is not computed in the step. */
function weightsOf({ state, inner }: RecurrenceStage, { body }: ReduceStage): Expr {
  const { a, b } = body as Extract<Expr, { kind: 'binary' }>;
  const own = new Set<unknown>([state, ...inner]);
  return loadsOf(a).some(({ source }) => own.has(source)) ? b : a;
}

/** panels[batch…, block, panel, product, k, unit], zero for units that do not exist. */
function packWeights(
  kernel: Kernel,
  recurrence: RecurrenceStage,
  products: readonly ReduceStage[],
  units: number,
  blockUnits: number,
): Kernel {
  const [first] = products;
  const name = `${first.name}.panels`;
  const batch = first.axes.slice(0, -2);
  const perBlock = blockUnits / panelColumns;
  const sizes = [...batch.map(({ size }) => size), Dim.constant(Math.ceil(units / blockUnits)), Dim.constant(perBlock)];
  const tail = [Dim.constant(units), Dim.constant(panelColumns)];
  const along = sizes.length;
  const segments = products.map((head, at) => {
    const outer = sizes.map((size) => newAxis('p', size));
    const axes = [...outer, newAxis('g', 1), ...tail.map((size) => newAxis('k', size))];
    const [block, panel] = outer.slice(batch.length);
    const [k, lane] = axes.slice(-2);
    const unit = add(mul(toIndex(block), blockUnits), add(mul(toIndex(panel), panelColumns), toIndex(lane)));
    const values = new Map<Axis, Expr>(head.axes.slice(0, -2).map((axis, which) => [axis, toIndex(outer[which])]));
    values.set(head.axes[head.axes.length - 1], unit);
    values.set(head.over[0], toIndex(k));
    const body = substituteAxes(cast('float32', weightsOf(recurrence, head)), values);
    return {
      axes,
      body: units % blockUnits === 0 ? body : zeroBeyond(body, unit, Dim.constant(units)),
      offset: Dim.constant(at),
    };
  });
  const shape = [...sizes, Dim.constant(products.length), ...tail];
  const { origin } = first;
  const stage: SegmentsStage = {
    kind: 'segments',
    id: -1,
    name,
    dtype: 'float32',
    shape,
    along,
    segments,
    ...(origin !== undefined && { origin }),
  };
  const params = [...new Set(segments.flatMap(({ body }) => loadsOf(body)).map(({ source }) => source as TensorRef))];
  const isConstantWeight = params.every((param) => param.isConstant) && symbolsOfStage(stage).size === 0;
  const tensor = newTensorRef(name, 'float32', shape, { isConstant: isConstantWeight });
  return {
    name,
    class: 'pointwise',
    params,
    stages: [stage],
    outputs: [{ stage, tensor }],
    origins: kernel.origins.slice(0, 1),
    rowRank: 0,
  };
}
