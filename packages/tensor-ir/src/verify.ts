// Checks programs and kernels of level 2. Every rewrite is followed by one of these in tests.

import { Dim, productOf, shapeText } from './dim.ts';
import { isFloat, isNumeric } from './dtype.ts';
import { type Axis, dimension, type Expr, substituteAxes, walk } from './expr.ts';
import type { Kernel } from './kernel.ts';
import { printStage } from './print.ts';
import type {
  MapStage,
  Program,
  RecurrenceStage,
  ReduceStage,
  ScatterStage,
  SegmentsStage,
  Source,
  Stage,
} from './stage.ts';
import { bodiesOf, sourcesOf } from './stage.ts';
import { reusesOperands } from './structure.ts';
import type { TensorRef } from './tensor-ref.ts';
import { verifyExpr } from './verify-expr.ts';

/** @throws Error that names the first problem and shows the stage it is in */
export function verifyProgram(program: Program): void {
  const known = new Set<Source>();
  for (const input of program.inputs) {
    if (known.has(input)) throw new Error(`input ${input.name} is listed twice`);
    known.add(input);
  }
  for (const stage of program.stages) {
    verifyStage(stage, known);
    known.add(stage);
  }
  const tensors = new Set<TensorRef>();
  for (const { tensor, source } of program.outputs) {
    if (!known.has(source))
      throw new Error(`output ${tensor.name} comes from ${source.name}, which is not in the program`);
    verifyOutput(tensor, source, tensors);
  }
}

/**
 * Checks a kernel's stages and the rules of its class.
 * @throws Error that names the first problem and shows the stage it is in
 */
export function verifyKernel(kernel: Kernel): void {
  const known = new Set<Source>();
  for (const param of kernel.params) {
    if (known.has(param)) throw new Error(`kernel ${kernel.name}: param ${param.name} is listed twice`);
    known.add(param);
  }
  if (kernel.stages.length === 0) throw new Error(`kernel ${kernel.name} has no stages`);
  for (const stage of kernel.stages) {
    verifyStage(stage, known);
    known.add(stage);
  }
  if (kernel.outputs.length === 0) throw new Error(`kernel ${kernel.name} has no outputs`);
  const tensors = new Set<TensorRef>();
  for (const { tensor, stage } of kernel.outputs) {
    if (!kernel.stages.includes(stage))
      throw new Error(`kernel ${kernel.name}: output ${tensor.name} is no stage of it`);
    verifyOutput(tensor, stage, tensors);
  }
  verifyClass(kernel);
}

function verifyOutput(tensor: TensorRef, source: Source, before: Set<TensorRef>): void {
  if (before.has(tensor)) throw new Error(`output ${tensor.name} is written twice`);
  before.add(tensor);
  if (tensor.dtype !== source.dtype || !sameShape(tensor.shape, source.shape)) {
    throw new Error(
      `output ${tensor.name} is ${tensor.dtype}${shapeText(tensor.shape)}, ${source.name} ${source.dtype}${shapeText(source.shape)}`,
    );
  }
}

function sameShape(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim.equals(b[axis]));
}

function fail(stage: Stage, problem: string): never {
  throw new Error(`stage ${stage.name || stage.kind}: ${problem}\n${textOf(stage)}`);
}

/** What is wrong with a stage may also keep it from being printed. */
function textOf(stage: Stage): string {
  try {
    return printStage(stage);
  } catch (error) {
    return `(it cannot be printed: ${error instanceof Error ? error.message : error})`;
  }
}

/**
 * Checks one stage.
 * @param sources what it may read; absent to allow everything
 * @throws Error that names the first problem and shows the stage
 */
export function verifyStage(stage: Stage, sources?: ReadonlySet<Source>): void {
  switch (stage.kind) {
    case 'map':
      verifyAxes(stage, stage.axes);
      verifyBody(stage, stage.axes, 'body', stage.body, sources);
      break;
    case 'reduce':
      verifyReduce(stage, sources);
      break;
    case 'scan':
      verifyAxes(stage, stage.axes);
      if (!(stage.along in stage.axes)) fail(stage, `there is no axis ${stage.along}`);
      if (!isNumeric(stage.dtype)) fail(stage, `no running ${stage.op} of ${stage.dtype}`);
      verifyBody(stage, stage.axes, 'body', stage.body, sources);
      break;
    case 'segments':
      verifySegments(stage, sources);
      break;
    case 'scatter':
      verifyScatter(stage, sources);
      break;
    case 'recurrence':
      verifyRecurrence(stage, sources);
      break;
    case 'view':
      verifyView(stage, stage.source, sources);
      break;
  }
}

function verifyAxes(stage: Stage, axes: readonly Axis[], shape: readonly Dim[] = stage.shape): void {
  const sizes = axes.map((axis) => axis.size);
  if (!sameShape(sizes, shape)) fail(stage, `axes of sizes ${shapeText(sizes)} for a shape of ${shapeText(shape)}`);
  verifyDistinct(stage, axes);
}

function verifyDistinct(stage: Stage, axes: readonly Axis[]): void {
  if (new Set(axes).size !== axes.length) fail(stage, 'an axis is used twice');
}

/** Checks an expression and its type. `type` null allows any. */
function verifyBody(
  stage: Stage,
  axes: readonly Axis[],
  path: string,
  body: Expr,
  sources: ReadonlySet<Source> | undefined,
  type: Expr['type'] | null = stage.dtype,
): void {
  if (type !== null && body.type !== type) fail(stage, `${path}: it is ${body.type} instead of ${type}`);
  verifyExpr(body, path, {
    axes: new Set(axes),
    ...(sources && { sources }),
    fail: (at, problem) => fail(stage, `${at}: ${problem}`),
  });
}

function verifyReduce(stage: ReduceStage, sources: ReadonlySet<Source> | undefined): void {
  verifyAxes(stage, stage.axes);
  verifyDistinct(stage, [...stage.axes, ...stage.over]);
  const axes = [...stage.axes, ...stage.over];
  const { op, dtype } = stage;
  if (op === 'argmax' || op === 'argmin') {
    if (stage.over.length !== 1) fail(stage, `${op} runs over ${stage.over.length} axes instead of one`);
    if (dtype !== 'int64') fail(stage, `${op} gives int64, not ${dtype}`);
    const type = stage.body.type;
    if (!isNumeric(type) && type !== 'bool') fail(stage, `${op} of ${type}`);
    verifyBody(stage, axes, 'body', stage.body, sources, null);
    return;
  }
  const isFolded =
    op === 'and' || op === 'or'
      ? dtype === 'bool' || (isNumeric(dtype) && !dtype.includes('float'))
      : isNumeric(dtype) || (dtype === 'bool' && (op === 'max' || op === 'min'));
  if (!isFolded) fail(stage, `no ${op} of ${dtype}`);
  verifyBody(stage, axes, 'body', stage.body, sources);
}

function verifySegments(stage: SegmentsStage, sources: ReadonlySet<Source> | undefined): void {
  const { along, segments, shape } = stage;
  if (!(along in shape)) fail(stage, `there is no axis ${along}`);
  let end = stage.begin ?? Dim.constant(0);
  for (const [at, { axes, body, offset }] of segments.entries()) {
    const length = axes[along]?.size ?? Dim.constant(0);
    verifyAxes(
      stage,
      axes,
      shape.map((size, axis) => (axis === along ? length : size)),
    );
    if (!offset.equals(end)) fail(stage, `segments[${at}] starts at ${offset} instead of ${end}`);
    end = end.add(length);
    verifyBody(stage, axes, `segments[${at}].body`, body, sources);
  }
  if (!end.equals(shape[along])) fail(stage, `the segments end at ${end}, the size is ${shape[along]}`);
}

function verifyScatter(stage: ScatterStage, sources: ReadonlySet<Source> | undefined): void {
  const { kept, shape } = stage;
  const initial = kept ? shape.with(kept.along, shape[kept.along].sub(kept.length)) : shape;
  verifyAxes(stage, stage.initialAxes, initial);
  verifyBody(stage, stage.initialAxes, 'initial', stage.initial, sources);
  const { axes, destination, combine, dtype } = stage;
  verifyDistinct(stage, axes);
  if (destination.length !== stage.shape.length) {
    fail(stage, `${destination.length} destination indices for rank ${stage.shape.length}`);
  }
  destination.forEach((index, axis) => {
    verifyBody(stage, axes, `destination[${axis}]`, index, sources, 'index');
  });
  verifyBody(stage, axes, 'body', stage.body, sources);
  if (stage.guard) verifyBody(stage, axes, 'guard', stage.guard, sources, 'bool');
  const isCombined =
    combine === 'set' || isNumeric(dtype) || (dtype === 'bool' && (combine === 'max' || combine === 'min'));
  if (!isCombined) fail(stage, `no ${combine} of ${dtype}`);
}

function verifyRecurrence(stage: RecurrenceStage, sources: ReadonlySet<Source> | undefined): void {
  const { step, state, inner, parts, shape } = stage;
  if (!isFloat(stage.dtype)) fail(stage, `a state of ${stage.dtype}`);
  const steps = step.size.add(1);
  if (shape.length < 2 || !shape[0].equals(steps) || !shape[1].is(parts.length)) {
    fail(stage, `${parts.length} parts and ${steps} states for a shape of ${shapeText(shape)}`);
  }
  if (state.dtype !== stage.dtype || !sameShape(state.shape, shape.slice(1))) {
    fail(stage, `its state is ${state.dtype}${shapeText(state.shape)}`);
  }
  for (const { axes, initial } of parts) {
    verifyAxes(stage, axes, shape.slice(2));
    verifyBody(stage, axes, 'initial', initial, sources);
  }
  const known = sources && new Set<Source>([...sources, state]);
  for (const own of inner) {
    // The step is one more axis of what is computed in it.
    const held = substituteStep(own, step);
    verifyStage(held, known);
    known?.add(own);
  }
  for (const { axes, next } of parts) verifyBody(stage, [...axes, step], 'next', next, known);
}

/** The stage at step 0: what it is does not depend on the step. */
function substituteStep<T extends MapStage | ReduceStage>(stage: T, step: Axis): T {
  return { ...stage, body: substituteAxes(stage.body, new Map([[step, dimension(0)]])) };
}

function verifyView(stage: Stage, source: Source, sources: ReadonlySet<Source> | undefined): void {
  if (sources && !sources.has(source)) fail(stage, `${source.name} cannot be read here`);
  if (source.dtype !== stage.dtype) fail(stage, `a view of ${source.dtype} as ${stage.dtype}`);
  const [before, after] = [productOf(source.shape).constant, productOf(stage.shape).constant];
  if (before !== undefined && after !== undefined && before !== after) {
    fail(stage, `a view of ${before} elements as ${after}`);
  }
}

function verifyClass(kernel: Kernel): void {
  const [first] = kernel.stages;
  const only = (...kinds: Stage['kind'][]): void => {
    if (kernel.stages.length !== 1)
      throw new Error(`${kernel.class} kernel ${kernel.name} has ${kernel.stages.length} stages`);
    if (!kinds.includes(first.kind)) fail(first, `a ${kernel.class} kernel cannot be of kind ${first.kind}`);
  };
  if (kernel.class !== 'row' && kernel.rowRank !== 0) {
    throw new Error(`kernel ${kernel.name}: row rank ${kernel.rowRank} in class ${kernel.class}`);
  }
  switch (kernel.class) {
    case 'pointwise':
      only('map', 'segments');
      break;
    case 'reduce':
    case 'scan':
    case 'scatter':
    case 'recurrence':
      only(kernel.class);
      break;
    case 'row':
      verifyRows(kernel);
      break;
    case 'contraction':
      verifyContraction(kernel);
      break;
  }
}

function verifyRows(kernel: Kernel): void {
  const { rowRank, stages } = kernel;
  const [first] = stages;
  for (const stage of stages) {
    if (stage.kind !== 'map' && stage.kind !== 'reduce') fail(stage, `a row kernel cannot have a ${stage.kind}`);
    if (!sameShape(stage.shape.slice(0, rowRank), first.shape.slice(0, rowRank)) || stage.shape.length < rowRank) {
      fail(stage, `its rows are not those of ${first.name}, ${shapeText(first.shape.slice(0, rowRank))}`);
    }
    forLoads(stage, stages, (source, index) => {
      for (let axis = 0; axis < rowRank; axis++) {
        if (!isAxis(index[axis], stage.axes[axis])) fail(stage, `it reads ${source.name} from another row`);
      }
    });
  }
}

function verifyContraction(kernel: Kernel): void {
  const [first, ...rest] = kernel.stages;
  if (first.kind !== 'reduce') fail(first, 'a contraction starts with a reduction');
  // Sliding windows (pools) are tiled like sums of products: what they read is used many times too.
  if (!isSumOfProducts(first) && !reusesOperands(first)) fail(first, 'a contraction sums products or slides a window');
  for (const stage of rest) {
    if (stage.kind !== 'map') fail(stage, `the epilogue of a contraction cannot have a ${stage.kind}`);
    forLoads(stage, kernel.stages, (source, index) => {
      const left = new Set(stage.axes.filter((axis) => !axis.size.is(1)));
      for (const x of index) {
        if (x.kind === 'axis' && (left.delete(x.axis) || x.axis.size.is(1))) continue;
        if (x.kind !== 'dim' || !x.dim.is(0)) fail(stage, `it reads ${source.name} other than once by each axis`);
      }
      if (left.size > 0) fail(stage, `it reads an element of ${source.name} more than once`);
    });
  }
}

/** Calls back for every load from one of the given stages. */
function forLoads(
  stage: MapStage | ReduceStage,
  stages: readonly Stage[],
  visit: (source: Stage, index: readonly Expr[]) => void,
): void {
  if (![...sourcesOf(stage)].some((source) => source.kind !== 'tensor' && stages.includes(source))) return;
  for (const { body } of bodiesOf(stage)) {
    walk(body, (e) => {
      if (e.kind === 'load' && e.source.kind !== 'tensor' && stages.includes(e.source)) visit(e.source, e.index);
    });
  }
}

/** The axis itself, or the constant 0 in place of an axis of size 1. */
function isAxis(index: Expr, axis: Axis): boolean {
  return (index.kind === 'axis' && index.axis === axis) || (axis.size.is(1) && index.kind === 'dim' && index.dim.is(0));
}

function isSumOfProducts(stage: ReduceStage): boolean {
  let { body } = stage;
  while (body.kind === 'cast') body = body.x;
  return stage.op === 'sum' && body.kind === 'binary' && body.op === 'mul';
}
