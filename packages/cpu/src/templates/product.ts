// Recognises sums of products (matrix products and convolutions) in float32 and prepares their operands.
//
// The result's axes are sorted by the operands that they move through: `rows` only through A, one `column` only through B,
// `batch` through both or neither. B is packed into panels (at load, when it is a weight); A is read where it is, as long
// as some reduction axis is contiguous in it, and copied otherwise. Both copies are ordinary kernels in front.

import {
  add,
  childrenOf,
  type Axis,
  axesIn,
  Dim,
  dimension,
  div,
  elementAt,
  type Expr,
  guardLoads,
  IndexAnalysis,
  type Kernel,
  lt,
  type MapStage,
  mod,
  mul,
  newAxis,
  newTensorRef,
  productOf,
  productOfLoads,
  type ReduceStage,
  rewrite,
  select,
  constant,
  substituteAxes,
  symbolsOfStage,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { BlockShape } from './block-phases.ts';
import { fastestAxis } from './block-phases.ts';
import { panelWidth } from './micro-kernel.ts';

type Load = Extract<Expr, { kind: 'load' }>;

/** What the template needs to know about a kernel it takes. All axes are the reduce stage's. */
export interface Product extends BlockShape {
  /** The kernel with prepared operands: its head is Σ a · packed. */
  readonly kernel: Kernel;
  /** Reduction axes that select a run of A; the runs themselves. */
  readonly taps: readonly Axis[];
  readonly run: readonly Axis[];
  readonly a: Load;
  readonly packed: TensorRef;
  /** Batch axes that B moves along, as the leading axes of `packed`. */
  readonly packedBatch: readonly Axis[];
  /** A run of zeros, for taps outside the image. */
  readonly zeros: TensorRef | undefined;
}

export interface PreparedProduct {
  readonly product: Product;
  /** Kernels that must run before, in order. */
  readonly before: readonly Kernel[];
  /** Their results. */
  readonly locals: readonly TensorRef[];
}

/** Runs of A shorter than this are not worth a turn of the micro-kernel's outer loop: A is copied into longer ones. */
const shortestRun = 8;

/** Products with fewer rows than this gain nothing from packing a B that is no weight. */
const fewRows = 4;

export function prepareProduct(kernel: Kernel): PreparedProduct | undefined {
  const [head, epilogue] = kernel.stages;
  if (kernel.class !== 'contraction' || kernel.stages.length > 2 || kernel.outputs.length !== 1) return undefined;
  if (head.kind !== 'reduce' || head.dtype !== 'float32' || head.body.type !== 'float32') return undefined;
  if (!productOfLoads(head) || head.body.kind !== 'binary') return undefined;
  if (epilogue !== undefined && epilogue.kind !== 'map') return undefined;
  const output = kernel.outputs[0].tensor;
  if (kernel.outputs[0].stage !== (epilogue ?? head)) return undefined;
  const column = fastestAxis(head, epilogue, output);
  if (!column) return undefined;
  const inLeft = axesOfFactor(head.body.a);
  const inRight = axesOfFactor(head.body.b);
  if (inLeft.has(column) === inRight.has(column)) return undefined;
  const [a, b] = inRight.has(column) ? [head.body.a, head.body.b] : [head.body.b, head.body.a];
  const [inA, inB] = inRight.has(column) ? [inLeft, inRight] : [inRight, inLeft];
  const others = head.axes.filter((axis) => axis !== column);
  const rows = others.filter((axis) => inA.has(axis) && !inB.has(axis) && !axis.size.is(1));
  const batch = others.filter((axis) => !rows.includes(axis));
  const rowCount = productOf(rows.map((axis) => axis.size)).constant;
  const weight = loadIn(b)?.source;
  const isWeight = weight?.kind === 'tensor' && weight.isConstant;
  if (!isWeight && rowCount !== undefined && rowCount < fewRows) return undefined;
  if ((column.size.constant ?? panelWidth) < 2) return undefined;
  const parts = { kernel, head, epilogue, output, batch, rows, column };
  return assemble(parts, readableRuns(a, head), a, b, inA, inB);
}

function loadIn(factor: Expr): Load | undefined {
  if (factor.kind === 'cast') return loadIn(factor.x);
  return factor.kind === 'load' ? factor : undefined;
}

function axesOfFactor(factor: Expr): Set<Axis> {
  return axesIn([factor]);
}

/** Reduction axes along which A is one contiguous run where it lies; undefined when it has to be copied. */
function readableRuns(a: Expr, head: ReduceStage): readonly Axis[] | undefined {
  if (a.kind !== 'load' || a.source.kind !== 'tensor' || a.source.dtype !== 'float32') return undefined;
  if (a.guard && !(a.fill?.kind === 'const' && a.fill.value === 0)) return undefined;
  const analysis = new IndexAnalysis();
  const { terms } = analysis.offsetOf(a.source, a.index);
  if (!terms.every((term) => term.atom.kind === 'axis')) return undefined;
  const guarded = a.guard ? axesIn([a.guard]) : new Set<Axis>();
  const strideOf = (axis: Axis): Dim =>
    terms.find((term) => term.atom.kind === 'axis' && term.atom.axis === axis)?.coefficient ?? Dim.constant(0);
  const run: Axis[] = [];
  let length = Dim.constant(1);
  for (let found = true; found; ) {
    found = false;
    for (const axis of head.over) {
      if (run.includes(axis) || guarded.has(axis) || axis.size.is(1) || !strideOf(axis).equals(length)) continue;
      run.unshift(axis);
      length = length.mul(axis.size);
      found = true;
      break;
    }
  }
  const total = productOf(head.over.map((axis) => axis.size)).constant;
  const runLength = length.constant;
  if (run.length === 0 && total !== 1) return undefined;
  if (runLength !== undefined && runLength < shortestRun && total !== runLength) return undefined;
  return run;
}

type Parts = Pick<Product, 'kernel' | 'head' | 'epilogue' | 'output' | 'batch' | 'rows' | 'column'>;

function assemble(
  parts: Parts,
  run: readonly Axis[] | undefined,
  a: Expr,
  b: Expr,
  inA: ReadonlySet<Axis>,
  inB: ReadonlySet<Axis>,
): PreparedProduct | undefined {
  const { kernel, head, batch, rows, column } = parts;
  const before: Kernel[] = [];
  const locals: TensorRef[] = [];
  const add = (made: Kernel): TensorRef => {
    before.push(made);
    locals.push(made.outputs[0].tensor);
    return made.outputs[0].tensor;
  };
  const over = head.over;
  let left = a as Load;
  let runs = run;
  if (!runs) {
    const axes = [...batch.filter((axis) => inA.has(axis)), ...rows, ...over];
    left = elementAt(add(copyKernel(kernel, `${head.name}.rows`, axes, a)), axes) as Load;
    runs = over;
  }
  const taps = over.filter((axis) => !runs.includes(axis));
  const packedBatch = batch.filter((axis) => inB.has(axis) && !axis.size.is(1));
  const packed = add(packKernel(kernel, `${head.name}.panels`, packedBatch, column, [...taps, ...runs], b));
  const columnIndex = toIndex(column);
  const right = elementAt(packed, [
    ...packedBatch,
    div(columnIndex, panelWidth),
    ...taps,
    ...runs,
    mod(columnIndex, panelWidth),
  ]);
  const zeros = left.guard ? add(zerosKernel(kernel, runs)) : undefined;
  const newHead: ReduceStage = { ...head, body: mul(left, right) };
  const epilogue = parts.epilogue && { ...parts.epilogue, body: replaceHead(parts.epilogue.body, head, newHead) };
  const params = new Set(kernel.params);
  for (const factor of [a, b]) {
    const source = loadIn(factor)!.source as TensorRef;
    if (!stillRead(epilogue, source)) params.delete(source);
  }
  for (const tensor of [left.source as TensorRef, packed, ...(zeros ? [zeros] : [])]) params.add(tensor);
  const stages = epilogue ? [newHead, epilogue] : [newHead];
  const main: Kernel = {
    ...kernel,
    params: [...params],
    stages,
    outputs: [{ stage: stages[stages.length - 1], tensor: parts.output }],
  };
  const product: Product = { ...parts, kernel: main, head: newHead, epilogue, taps, run: runs, a: left, packed, packedBatch, zeros };
  return { product, before, locals };
}

function stillRead(epilogue: MapStage | undefined, tensor: TensorRef): boolean {
  if (!epilogue) return false;
  const visit = (e: Expr): boolean => (e.kind === 'load' && e.source === tensor) || childrenOf(e).some(visit);
  return visit(epilogue.body);
}

function replaceHead(root: Expr, from: ReduceStage, to: ReduceStage): Expr {
  return rewriteLoads(root, (load) => (load.source === from ? { ...load, source: to } : undefined));
}

function rewriteLoads(root: Expr, replace: (load: Load) => Expr | undefined): Expr {
  return rewrite(root, (e) => (e.kind === 'load' ? replace(e) : undefined));
}

function mapKernel(kernel: Kernel, name: string, axes: readonly Axis[], body: Expr, params: readonly TensorRef[]): Kernel {
  const fresh = axes.map((axis) => newAxis(axis.name, axis.size));
  const values = new Map(axes.map((axis, at) => [axis, toIndex(fresh[at])]));
  const shape = axes.map((axis) => axis.size);
  const stage: MapStage = {
    kind: 'map',
    id: -1,
    name,
    dtype: 'float32',
    shape,
    axes: fresh,
    body: substituteAxes(body, values),
    ...(kernel.stages[0].origin !== undefined && { origin: kernel.stages[0].origin }),
  };
  const isConstant = params.every((param) => param.isConstant) && symbolsOfStage(stage).size === 0;
  const tensor = newTensorRef(name, 'float32', shape, { isConstant });
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

function copyKernel(kernel: Kernel, name: string, axes: readonly Axis[], factor: Expr): Kernel {
  return mapKernel(kernel, name, axes, factor, [loadIn(factor)!.source as TensorRef]);
}

/** panels[batch…, p, k…, j] = B at column 8p + j, zero beyond the last column. */
function packKernel(
  kernel: Kernel,
  name: string,
  batch: readonly Axis[],
  column: Axis,
  over: readonly Axis[],
  factor: Expr,
): Kernel {
  const panel = newAxis('p', column.size.ceilDiv(panelWidth));
  const lane = newAxis('c', panelWidth);
  const at = add(mul(toIndex(panel), panelWidth), toIndex(lane));
  let body = substituteAxes(factor, new Map([[column, at]]));
  if (!column.size.isMultipleOf(panelWidth)) {
    const isInside = lt(at, dimension(column.size));
    body = select(isInside, guardLoads(body, isInside), constant('float32', 0));
  }
  return mapKernel(kernel, name, [...batch, panel, ...over, lane], body, [loadIn(factor)!.source as TensorRef]);
}

function zerosKernel(kernel: Kernel, run: readonly Axis[]): Kernel {
  const axis = newAxis('z', productOf(run.map(({ size }) => size)));
  return mapKernel(kernel, `${kernel.stages[0].name}.zeros`, [axis], constant('float32', 0), []);
}
