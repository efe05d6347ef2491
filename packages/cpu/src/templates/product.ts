// Recognises sums of products (matrix products and convolutions) and prepares their operands: float32, and integers whose
// factors fit 16 bits, which are multiplied two at a time into int32 sums.
//
// The result's axes are sorted by the operands that they move through: `rows` only through A, one `column` only through B,
// `batch` through both or neither. B is packed into panels (at load, when it is a weight). A is read where it is, as long
// as some reduction axis is contiguous in it, and copied otherwise. Integers are read as 16-bit numbers with their zero
// point subtracted, so that no sum has to be corrected for it. Copies are ordinary kernels in front.

import {
  type Axis,
  axesFor,
  axesIn,
  cast,
  constant,
  Dim,
  type DType,
  div,
  type Expr,
  elementAt,
  IndexAnalysis,
  type Kernel,
  type Load,
  loadsOf,
  mod,
  mul,
  newAxis,
  productOf,
  productOfLoads,
  type ReduceStage,
  rewrite,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { holds, type KnownValues, valueRange } from '../kernel/value-range.ts';
import { type BlockShape, fastestAxis } from './block-phases.ts';
import { borderedImage, isZeroOutside, paddedAxis, type Rows } from './bordered-image.ts';
import { type Arithmetic, panelWidth as narrowPanel, widePanelWidth } from './micro-kernel.ts';
import { mapKernel, packKernel, zeroBeyond, zerosKernel } from './operand-kernels.ts';

/** What the template needs to know about a kernel it takes. All axes are the reduce stage's. */
export interface Product extends BlockShape {
  /** The kernel with prepared operands: its head is Σ a · packed. */
  readonly kernel: Kernel;
  readonly arithmetic: Arithmetic;
  /** Reduction axes that select a run of A; the runs themselves. */
  readonly taps: readonly Axis[];
  readonly run: readonly Axis[];
  readonly a: Load;
  readonly packed: TensorRef;
  /** Columns of a panel. */
  readonly panelWidth: number;
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

const nothingKnown: KnownValues = () => undefined;

/** What the engine can do that decides about panels. */
export interface PanelEngine {
  readonly relaxedSimd: boolean;
  /** Whether it computes with pairs of vectors. */
  readonly wideVectors: boolean;
}

const plainEngine: PanelEngine = { relaxedSimd: false, wideVectors: false };

export function prepareProduct(
  kernel: Kernel,
  known: KnownValues = nothingKnown,
  engine: PanelEngine = plainEngine,
): PreparedProduct | undefined {
  const [head, epilogue] = kernel.stages;
  if (kernel.class !== 'contraction' || kernel.stages.length > 2 || kernel.outputs.length !== 1) return undefined;
  if (head.kind !== 'reduce' || head.op !== 'sum' || head.body.kind !== 'binary' || head.body.op !== 'mul')
    return undefined;
  const arithmetic = arithmeticOf(head, known);
  if (!arithmetic) return undefined;
  if (epilogue !== undefined && epilogue.kind !== 'map') return undefined;
  const output = kernel.outputs[0].tensor;
  if (kernel.outputs[0].stage !== (epilogue ?? head)) return undefined;
  const column = fastestAxis(head, epilogue, output);
  if (!column) return undefined;
  const inLeft = axesIn([head.body.a]);
  const inRight = axesIn([head.body.b]);
  if (inLeft.has(column) === inRight.has(column)) return undefined;
  const [a, b] = inRight.has(column) ? [head.body.a, head.body.b] : [head.body.b, head.body.a];
  const [inA, inB] = inRight.has(column) ? [inLeft, inRight] : [inRight, inLeft];
  const others = head.axes.filter((axis) => axis !== column);
  const rows = others.filter((axis) => inA.has(axis) && !inB.has(axis) && !axis.size.is(1));
  const batch = others.filter((axis) => !rows.includes(axis));
  const rowCount = productOf(rows.map((axis) => axis.size)).constant;
  const isWeight = loadsOf(b).every(({ source }) => source.kind === 'tensor' && source.isConstant);
  if (!isWeight && rowCount !== undefined && rowCount < fewRows) return undefined;
  if ((column.size.constant ?? narrowPanel) < 2) return undefined;
  // Without fused additions the products of floats take the registers that wide panels need.
  const isWide = engine.wideVectors && (engine.relaxedSimd || arithmetic === 'int16');
  const panelWidth = isWide && (column.size.constant ?? widePanelWidth) > narrowPanel ? widePanelWidth : narrowPanel;
  const parts = { kernel, arithmetic, head, epilogue, output, batch, rows, column, panelWidth };
  const left = arithmetic === 'float32' ? floatRows(parts, a, inA) : integerRows(parts, a, inA);
  return left && assemble(parts, left, b, inB, known);
}

type Parts = Pick<
  Product,
  'kernel' | 'arithmetic' | 'head' | 'epilogue' | 'output' | 'batch' | 'rows' | 'column' | 'panelWidth'
>;

/** Types whose products are computed in float32. */
const singleFloats: ReadonlySet<DType> = new Set<DType>(['float32', 'float16', 'bfloat16']);

/** How the factors can be multiplied without changing the result; undefined when the template cannot. */
function arithmeticOf(head: ReduceStage, known: KnownValues): Arithmetic | undefined {
  if (head.dtype !== head.body.type || head.body.kind !== 'binary') return undefined;
  if (singleFloats.has(head.dtype)) return productOfLoads(head) ? 'float32' : undefined;
  if (head.dtype !== 'int32' || head.over.length === 0) return undefined;
  const factors = [head.body.a, head.body.b];
  const fits = factors.every((factor) => {
    if (loadsOf(factor).some((load) => load.source.kind !== 'tensor')) return false;
    const range = valueRange(factor, known);
    return range !== undefined && holds('int16', range);
  });
  return fits ? 'int16' : undefined;
}

function floatRows({ kernel, head, batch, rows }: Parts, a: Expr, inA: ReadonlySet<Axis>): Rows {
  const run =
    a.kind === 'load' && a.source.kind === 'tensor' && a.source.dtype === 'float32' ? readableRuns(a, head) : undefined;
  if (run) return { a: a as Load, run, before: [] };
  const image =
    (a.type === 'float32' ? undefined : imageCopy({ kernel, head }, a, 'float32')) ??
    borderedImage({ kernel, head }, a, { dtype: 'float32', shortestRun });
  if (image) return image;
  const axes = [...batch.filter((axis) => inA.has(axis)), ...rows, ...head.over];
  const copy = mapKernel(kernel, `${head.name}.rows`, axes, cast('float32', a));
  return { a: elementAt(copy.outputs[0].tensor, axes) as Load, run: head.over, before: [copy] };
}

/** Reduction axes along which A is one contiguous run where it lies; undefined when it has to be copied. */
function readableRuns(a: Load, head: ReduceStage): readonly Axis[] | undefined {
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
  return isWorthwhile(run, head) ? run : undefined;
}

function isWorthwhile(run: readonly Axis[], head: ReduceStage): boolean {
  const total = productOf(head.over.map((axis) => axis.size)).constant;
  const length = productOf(run.map((axis) => axis.size)).constant;
  if (run.length === 0) return total === 1;
  return length === undefined || length >= shortestRun || length === total;
}

/**
 * A as int16, runs padded with zeros to an even length. When windows slide over it, the copy is one of the image, channels
 * last; otherwise one of each row.
 */
function integerRows(parts: Parts, a: Expr, inA: ReadonlySet<Axis>): Rows | undefined {
  const { kernel, head, batch, rows } = parts;
  const inPlace = integersInPlace(a, head);
  if (inPlace) return inPlace;
  const image = imageCopy(parts, a, 'int16') ?? borderedImage(parts, a, { dtype: 'int16', shortestRun });
  if (image) return image;
  const axes = [...batch.filter((axis) => inA.has(axis)), ...rows, ...head.over];
  const last = head.over[head.over.length - 1];
  const padded = paddedAxis(last);
  const atPadded = toIndex(padded);
  let body = cast(
    'int16',
    rewrite(a, (e) => (e.kind === 'axis' && e.axis === last ? atPadded : undefined)),
  );
  if (padded.size !== last.size) body = zeroBeyond(body, atPadded, last.size);
  const copy = mapKernel(kernel, `${head.name}.rows`, [...axes.slice(0, -1), padded], body);
  return { a: elementAt(copy.outputs[0].tensor, axes) as Load, run: head.over, before: [copy] };
}

/** int16 that is there already, in runs of an even length. */
function integersInPlace(a: Expr, head: ReduceStage): Rows | undefined {
  const load = a.kind === 'cast' ? a.x : a;
  if (load.kind !== 'load' || load.type !== 'int16' || load.source.kind !== 'tensor') return undefined;
  const run = readableRuns(load, head);
  const isEven = run?.at(-1)?.size.isMultipleOf(2) ?? false;
  return run && isEven ? { a: load, run, before: [] } : undefined;
}

/**
 * The tensor that A loads, with what A computes from each element, in an order that makes runs of its own axes; runs of
 * int16 are padded to an even length.
 */
function imageCopy(
  { kernel, head }: Pick<Parts, 'kernel' | 'head'>,
  a: Expr,
  dtype: 'int16' | 'float32',
): Rows | undefined {
  const loads = loadsOf(a).filter((load) => axesIn(load.index).size > 0);
  if (loads.length !== 1) return undefined;
  const [load] = loads;
  if (load.source.kind !== 'tensor' || (load.guard && !isZeroOutside(a, load))) return undefined;
  const { source } = load;
  // Whatever else depends on the position would have to be in the copy too.
  const inLoad = axesIn(load.guard ? [...load.index, load.guard] : load.index);
  const marker = constant(load.type, 0);
  if (axesIn([rewrite(a, (e) => (e === load ? marker : undefined))]).size > 0) return undefined;
  const over = new Set(head.over);
  if (head.over.some((axis) => !axis.size.is(1) && !inLoad.has(axis))) return undefined;
  const runDims = load.index.flatMap((e, at) => {
    if (e.kind !== 'axis' || !over.has(e.axis) || !e.axis.size.equals(source.shape[at])) return [];
    const isAlone = load.index.every((other, elsewhere) => elsewhere === at || !axesIn([other]).has(e.axis));
    const isGuarded = load.guard !== undefined && axesIn([load.guard]).has(e.axis);
    return isAlone && !isGuarded ? [at] : [];
  });
  const run = runDims.map((at) => (load.index[at] as Extract<Expr, { kind: 'axis' }>).axis);
  if (run.length === 0 || !isWorthwhile(run, head)) return undefined;
  const last = runDims[runDims.length - 1];
  const axes = source.shape.map((size, at) => newAxis(`d${at}`, size));
  if (dtype === 'int16') axes[last] = paddedAxis(axes[last]);
  const element = elementAt(source, axes);
  let body = cast(
    dtype,
    rewrite(a, (e) => (e === load ? element : undefined)),
  );
  if (!axes[last].size.equals(source.shape[last])) body = zeroBeyond(body, toIndex(axes[last]), source.shape[last]);
  const order = [...axes.keys()].filter((at) => !runDims.includes(at)).concat(runDims);
  const isOrdered = order.every((axis, at) => axis === at);
  const copy = mapKernel(kernel, `${head.name}.image`, axes, body, isOrdered ? {} : { order });
  const { tensor } = copy.outputs[0];
  const left = elementAt(tensor, load.index, load.guard && { when: load.guard, otherwise: 0 }) as Load;
  const { terms } = new IndexAnalysis().offsetOf(tensor, left.index);
  return terms.every((term) => term.atom.kind === 'axis') ? { a: left, run, before: [copy] } : undefined;
}

function assemble(parts: Parts, left: Rows, b: Expr, inB: ReadonlySet<Axis>, known: KnownValues): PreparedProduct {
  const { kernel, arithmetic, head, batch, column, panelWidth } = parts;
  const before = [...left.before];
  const { a, run } = left;
  const taps = head.over.filter((axis) => !run.includes(axis));
  const packedBatch = batch.filter((axis) => inB.has(axis) && !axis.size.is(1));
  const group = arithmetic === 'float32' ? 1 : 2;
  const panels = packKernel(kernel, `${head.name}.panels`, packedBatch, column, [...taps, ...run], b, {
    dtype: arithmetic === 'float32' ? 'float32' : narrowType(b, known),
    width: panelWidth,
    group,
  });
  before.push(panels);
  const packed = panels.outputs[0].tensor;
  let zeros: TensorRef | undefined;
  if (a.guard) {
    const made = zerosKernel(kernel, run, a.type as 'float32' | 'int16');
    before.push(made);
    zeros = made.outputs[0].tensor;
  }
  const columnIndex = toIndex(column);
  const inner = run.map(toIndex);
  const last = inner[inner.length - 1];
  const right = elementAt(packed, [
    ...packedBatch,
    div(columnIndex, panelWidth),
    ...taps,
    ...(group === 1 ? inner : [...inner.slice(0, -1), div(last, group)]),
    mod(columnIndex, panelWidth),
    ...(group === 1 ? [] : [mod(last, group)]),
  ]);
  const { head: newHead, epilogue } = replaceHead(parts, (type) => mul(cast(type, a), cast(type, right)));
  const params = new Set<TensorRef>();
  for (const load of [a, right, ...(epilogue ? loadsOf(epilogue.body) : [])]) {
    if ((load as Load).source.kind === 'tensor') params.add((load as Load).source as TensorRef);
  }
  if (zeros) params.add(zeros);
  const stages = epilogue ? [newHead, epilogue] : [newHead];
  const main: Kernel = {
    ...kernel,
    params: [...params],
    stages,
    outputs: [{ stage: stages[stages.length - 1], tensor: parts.output }],
  };
  const product: Product = {
    ...parts,
    kernel: main,
    head: newHead,
    epilogue,
    taps,
    run,
    a,
    packed,
    packedBatch,
    zeros,
  };
  return { product, before, locals: before.map((made) => made.outputs[0].tensor) };
}

/** Bytes where they hold the values: panels are read more often than they are widened. */
function narrowType(factor: Expr, known: KnownValues): 'int8' | 'int16' {
  const range = valueRange(factor, known);
  return range && holds('int8', range) ? 'int8' : 'int16';
}

/**
 * The stages with other factors in the head. Sums of narrow floats are float32 until the epilogue rounds them; there is one
 * whenever that is needed.
 */
export function replaceHead(
  { head, epilogue }: Pick<BlockShape, 'head' | 'epilogue'>,
  body: (type: DType) => Expr,
): Pick<BlockShape, 'head' | 'epilogue'> {
  const dtype = singleFloats.has(head.dtype) ? 'float32' : head.dtype;
  const newHead: ReduceStage = { ...head, dtype, body: body(dtype) };
  if (epilogue) {
    const replaced = rewrite(epilogue.body, (e) =>
      e.kind === 'load' && e.source === head ? cast(head.dtype, { ...e, type: dtype, source: newHead }) : undefined,
    );
    return { head: newHead, epilogue: { ...epilogue, body: replaced } };
  }
  if (dtype === head.dtype) return { head: newHead, epilogue };
  const axes = axesFor(head.shape);
  const { over: _over, op: _op, selectLast: _last, ...base } = head;
  return { head: newHead, epilogue: { ...base, kind: 'map', axes, body: cast(head.dtype, elementAt(newHead, axes)) } };
}
