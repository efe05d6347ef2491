// A copy of an image of few channels with its border, for windows: a row of the window is then one run of the copy.

import {
  type Axis,
  add,
  and,
  axesIn,
  cast,
  constant,
  Dim,
  dimension,
  type Expr,
  elementAt,
  ge,
  IndexAnalysis,
  type Kernel,
  type Load,
  loadsOf,
  lt,
  newAxis,
  type ReduceStage,
  rewrite,
  sub,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { mapKernel, zeroBeyond } from './operand-kernels.ts';

/** A as the micro-kernel reads it. */
export interface Rows {
  readonly a: Load;
  readonly run: readonly Axis[];
  readonly before: readonly Kernel[];
}

/** Integers are read two at a time. */
export function paddedAxis(axis: Axis): Axis {
  return newAxis(axis.name, axis.size.isMultipleOf(2) ? axis.size : axis.size.ceilDiv(2).mul(2));
}

/** Whether A is 0 where its load is outside the image: the fill is the zero point that is subtracted, or there is none. */
export function isZeroOutside(a: Expr, load: Load): boolean {
  const strip = (e: Expr): Expr => (e.kind === 'cast' ? strip(e.x) : e);
  const fill = strip(load.fill!);
  if (a.kind !== 'binary') return strip(a) === load && fill.kind === 'const' && Number(fill.value) === 0;
  if (a.op !== 'sub' || strip(a.a) !== load) return false;
  const zero = strip(a.b);
  if (fill.kind === 'const' && zero.kind === 'const') return Number(fill.value) === Number(zero.value);
  const { numbers } = new IndexAnalysis();
  return numbers.of(fill) === numbers.of(zero);
}

/**
 * The image that A's windows slide over, channels last, with zeros where windows reach beyond its edges. Only where the
 * channels alone are too short a run, and one step of the window's last axis moves by one pixel.
 */
export function borderedImage(
  { kernel, head }: { readonly kernel: Kernel; readonly head: ReduceStage },
  a: Expr,
  { dtype, shortestRun }: { readonly dtype: 'int16' | 'float32'; readonly shortestRun: number },
): Rows | undefined {
  const loads = loadsOf(a).filter((load) => axesIn(load.index).size > 0);
  if (loads.length !== 1) return undefined;
  const [load] = loads;
  const { source } = load;
  if (source.kind !== 'tensor' || (load.guard && !isZeroOutside(a, load))) return undefined;
  const marker = constant(load.type, 0);
  if (axesIn([rewrite(a, (e) => (e === load ? marker : undefined))]).size > 0) return undefined;
  const place = windowOf(load, head);
  if (!place || (load.guard && !isInsideTest(load.guard, load, source.shape))) return undefined;
  const { channelAt, stepAt, channel, step } = place;
  const channels = dtype === 'int16' ? paddedAxis(channel).size : channel.size;
  const length = channels.mul(step.size).constant;
  if (length === undefined || length < shortestRun || (channel.size.constant ?? shortestRun) >= shortestRun)
    return undefined;
  // Every position that some window looks at.
  const analysis = new IndexAnalysis();
  const firsts: Dim[] = [];
  const axes: Axis[] = [];
  for (const [at, e] of load.index.entries()) {
    const isWhole = e.kind === 'axis' && e.axis.size.equals(source.shape[at]);
    const form = analysis.formOf(e);
    const [least, most] = isWhole
      ? [Dim.constant(0), source.shape[at].sub(1)]
      : [analysis.minimum(form), analysis.maximum(form)];
    if (!least || !most || (!isWhole && (least.constant === undefined || most.constant === undefined)))
      return undefined;
    firsts.push(least);
    axes.push(newAxis(`d${at}`, at === channelAt ? channels : most.sub(least).add(1)));
  }
  const places = axes.map((axis, at) => (firsts[at].is(0) ? toIndex(axis) : add(toIndex(axis), dimension(firsts[at]))));
  let inside: Expr | undefined;
  for (const [at, e] of places.entries()) {
    if (at === channelAt) continue;
    const size = dimension(source.shape[at]);
    const tests = [
      ...(firsts[at].constant === undefined || firsts[at].constant < 0 ? [ge(e, dimension(0))] : []),
      ...(axes[at].size.add(firsts[at]).equals(source.shape[at]) ? [] : [lt(e, size)]),
    ];
    for (const test of tests) inside = inside ? and(inside, test) : test;
  }
  if (inside && !load.guard) return undefined;
  const element: Expr = inside ? { ...load, index: places, guard: inside } : (elementAt(source, places) as Expr);
  let body = cast(
    dtype,
    rewrite(a, (e) => (e === load ? element : undefined)),
  );
  if (!channels.equals(channel.size)) body = zeroBeyond(body, toIndex(axes[channelAt]), channel.size);
  const inner = [stepAt, channelAt];
  const order = [...axes.keys()].filter((at) => !inner.includes(at)).concat(inner);
  const isOrdered = order.every((axis, at) => axis === at);
  const copy = mapKernel(kernel, `${head.name}.bordered`, axes, body, isOrdered ? {} : { order });
  const index = load.index.map((e, at) => (firsts[at].is(0) ? e : sub(e, dimension(firsts[at]))));
  const left = elementAt(copy.outputs[0].tensor, index) as Load;
  const { terms } = analysis.offsetOf(left.source, left.index);
  return terms.every((term) => term.atom.kind === 'axis')
    ? { a: left, run: [step, channel], before: [copy] }
    : undefined;
}

/** Whether a guard asks for nothing but positions inside the image. */
function isInsideTest(guard: Expr, load: Load, shape: readonly Dim[]): boolean {
  if (guard.kind === 'binary' && guard.op === 'and')
    return isInsideTest(guard.a, load, shape) && isInsideTest(guard.b, load, shape);
  if (guard.kind !== 'compare' || (guard.op !== 'ge' && guard.op !== 'lt')) return false;
  const analysis = new IndexAnalysis();
  const difference = analysis.sum(analysis.formOf(guard.a), analysis.scale(analysis.formOf(guard.b), -1));
  return load.index.some((e, at) => {
    const { terms, base } = analysis.sum(difference, analysis.scale(analysis.formOf(e), -1));
    return terms.length === 0 && (guard.op === 'ge' ? base.is(0) : base.add(shape[at]).is(0));
  });
}

interface Window {
  /** Dimension of the image that one reduction axis walks alone, all of it. */
  readonly channelAt: number;
  readonly channel: Axis;
  /** The last other dimension that a reduction axis moves along, by one for each step. */
  readonly stepAt: number;
  readonly step: Axis;
}

function windowOf(load: Load, head: ReduceStage): Window | undefined {
  const analysis = new IndexAnalysis();
  const forms = load.index.map((e) => analysis.affine(e));
  const over = head.over.filter((axis) => !axis.size.is(1));
  const placesOf = (axis: Axis): number[] => [...forms.keys()].filter((at) => forms[at]?.coefficients.has(axis));
  const guarded = load.guard ? axesIn([load.guard]) : new Set<Axis>();
  let window: Partial<Window> = {};
  if (forms.some((form) => !form)) return undefined;
  for (const axis of over) {
    const [at, ...others] = placesOf(axis);
    if (at === undefined || others.length > 0) return undefined;
    const e = load.index[at];
    const isChannel =
      e.kind === 'axis' && !guarded.has(axis) && axis.size.equals((load.source.shape as readonly Dim[])[at]);
    if (isChannel) {
      if (window.channel) return undefined;
      window = { ...window, channelAt: at, channel: axis };
    } else if (forms[at]!.coefficients.get(axis)!.is(1) && at > (window.stepAt ?? -1)) {
      window = { ...window, stepAt: at, step: axis };
    }
  }
  return window.channel && window.step ? (window as Window) : undefined;
}
