// Recognises products with a weight of 1 to 8 bits in blocks that share a scale (MatMulNBits), and prepares them.
//
// The weight keeps its bytes, each of one or more fields, lowest bits first; they are reordered once so that groups of
// columns are read in one stream. The rows of A are put into the order of the fields, [block][field][byte], so that one
// vector of bytes gives vectors of factors that meet theirs; where less accuracy is allowed and fields are smaller than a
// byte they are also rounded to 8 bits with a scale for each block. The zero points cost little in the loop:
// Σ a (q − z) s = Σ a q s − Σ over blocks of (z s) Σ a.

import {
  type Axis,
  abs,
  add,
  axesIn,
  cast,
  constant,
  type DType,
  div,
  type Expr,
  elementAt,
  type Kernel,
  type KernelOutput,
  type Load,
  loadsOf,
  type MapStage,
  mod,
  mul,
  newAxis,
  newTensorRef,
  productOf,
  type ReduceStage,
  rewrite,
  round,
  type Stage,
  sub,
  substituteAxes,
  symbolsOfStage,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { BlockShape } from './block-phases.ts';
import { columnBytes, groupColumns } from './dot-kernel.ts';
import { mapKernel, zeroBeyond } from './operand-kernels.ts';
import { replaceHead } from './product.ts';

/** All axes are the reduce stage's. */
export interface PackedProduct extends BlockShape {
  readonly kernel: Kernel;
  /** [rows…, block, field, byte], int8 or float32. */
  readonly a: TensorRef;
  /** [rows…, block], when A is int8. */
  readonly aScale: TensorRef | undefined;
  /** −Σ over each block of A, times the zero point when there is one for all: [rows…, block]. */
  readonly aSum: TensorRef;
  /** [group, block, step, column of the group, byte of the step] */
  readonly weight: TensorRef;
  /** [group, block, column of the group], float32. */
  readonly scale: TensorRef;
  /** The zero point of all blocks, or their zero points times their scales like `scale`. */
  readonly zero: number | TensorRef;
  readonly block: Axis;
  readonly byte: Axis;
  /** Bits of a field: 1, 2, 4 or 8. */
  readonly bits: number;
}

export interface PreparedPackedProduct {
  readonly product: PackedProduct;
  readonly before: readonly Kernel[];
  readonly locals: readonly TensorRef[];
}

/** Fields of a weight and what turns them into numbers. */
interface Weight {
  readonly load: Load;
  readonly block: Axis;
  readonly byte: Axis;
  readonly field: Axis;
  readonly bits: number;
  /** Its number, as float32. */
  readonly field32: Expr;
  readonly zero: Expr;
  readonly scale: Expr;
}

/** @param allowsBytes whether A may be rounded to 8 bits for each block */
export function preparePackedProduct(kernel: Kernel, allowsBytes: boolean): PreparedPackedProduct | undefined {
  const [head, epilogue] = kernel.stages;
  if (kernel.class !== 'contraction' || kernel.stages.length > 2 || kernel.outputs.length !== 1) return undefined;
  if (head.kind !== 'reduce' || head.op !== 'sum' || (head.dtype !== 'float32' && head.dtype !== 'float16'))
    return undefined;
  if (head.body.kind !== 'binary' || head.body.op !== 'mul' || head.over.length !== 3) return undefined;
  if (epilogue !== undefined && epilogue.kind !== 'map') return undefined;
  const output = kernel.outputs[0].tensor;
  if (kernel.outputs[0].stage !== (epilogue ?? head)) return undefined;
  const { a, b } = head.body;
  const weight = weightOf(b, head);
  const column = weight && axisOf(weight.load.index[0]);
  if (!weight || !column) return undefined;
  const inA = axesIn([a]);
  if (inA.has(column) || loadsOf(a).some(({ source }) => source.kind !== 'tensor')) return undefined;
  const rows = head.axes.filter((axis) => axis !== column && inA.has(axis) && !axis.size.is(1));
  const batch = head.axes.filter((axis) => axis !== column && !rows.includes(axis));
  if (batch.some((axis) => !axis.size.is(1))) return undefined;
  if (weight.zero.kind === 'const' && !isField(Number(weight.zero.value), weight.bits)) return undefined;
  const parts = { head, epilogue, output, batch, rows, column };
  const { block, field, byte, bits } = weight;
  const before: Kernel[] = [];
  const grouped = (e: Expr, name: string, inner: readonly Axis[], at: ReadonlyMap<Axis, Expr>): TensorRef => {
    const group = newAxis('g', column.size.ceilDiv(groupColumns));
    const lane = newAxis('c', groupColumns);
    const columnAt = add(mul(toIndex(group), groupColumns), toIndex(lane));
    let body = substituteAxes(e, new Map([...at, [column, columnAt]]));
    if (!column.size.isMultipleOf(groupColumns)) body = zeroBeyond(body, columnAt, column.size);
    const [step, ...rest] = inner;
    const axes = [group, block, ...(step ? [step] : []), lane, ...rest];
    const made = mapKernel(kernel, `${head.name}.${name}`, axes, body);
    before.push(made);
    return made.outputs[0].tensor;
  };
  const step = newAxis('s', byte.size.floorDiv(columnBytes));
  const inStep = newAxis('e', columnBytes);
  const byteAt = add(mul(toIndex(step), columnBytes), toIndex(inStep));
  const bytes = grouped(weight.load, 'groups', [step, inStep], new Map([[byte, byteAt]]));
  const none = new Map<Axis, Expr>();
  const scale = grouped(cast('float32', weight.scale), 'scales', [], none);
  const isShared = weight.zero.kind === 'const';
  const zero = isShared
    ? Number((weight.zero as { value: number }).value)
    : grouped(mul(cast('float32', weight.zero), cast('float32', weight.scale)), 'zeros', [], none);
  const prepared = rowsKernel(
    kernel,
    a,
    rows,
    { block, field, byte },
    allowsBytes && bits < 8,
    typeof zero === 'number' ? zero : 1,
  );
  before.push(prepared.kernel);
  const index = [...rows, block, field, byte];
  const number = cast('float32', elementAt(prepared.a, index));
  const left = prepared.aScale ? mul(number, elementAt(prepared.aScale, [...rows, block])) : number;
  const [groupAt, laneAt] = [div(toIndex(column), groupColumns), mod(toIndex(column), groupColumns)];
  const byteOf = elementAt(bytes, [
    groupAt,
    block,
    div(toIndex(byte), columnBytes),
    laneAt,
    mod(toIndex(byte), columnBytes),
  ]);
  const scaleOf = elementAt(scale, [groupAt, block, laneAt]);
  const field32 = rewrite(weight.field32, (e) => (e === weight.load ? byteOf : undefined));
  const zeroOf = typeof zero === 'number' ? mul(scaleOf, zero) : elementAt(zero, [groupAt, block, laneAt]);
  const right = sub(mul(field32, scaleOf), zeroOf);
  const { head: newHead, epilogue: newEpilogue } = replaceHead(parts, () => mul(left, right));
  const params = new Set<TensorRef>([prepared.aSum]);
  for (const load of [...loadsOf(newHead.body), ...(newEpilogue ? loadsOf(newEpilogue.body) : [])]) {
    if (load.source.kind === 'tensor') params.add(load.source);
  }
  const stages: Stage[] = newEpilogue ? [newHead, newEpilogue] : [newHead];
  const main: Kernel = {
    ...kernel,
    params: [...params],
    stages,
    outputs: [{ stage: stages[stages.length - 1], tensor: output }],
  };
  const product: PackedProduct = {
    ...parts,
    kernel: main,
    head: newHead,
    epilogue: newEpilogue,
    a: prepared.a,
    aScale: prepared.aScale,
    aSum: prepared.aSum,
    weight: bytes,
    scale,
    zero,
    block,
    byte,
    bits,
  };
  return { product, before, locals: before.flatMap((made) => made.outputs.map(({ tensor }) => tensor)) };
}

const axisOf = (e: Expr): Axis | undefined => (e.kind === 'axis' ? e.axis : undefined);

const strip = (e: Expr): Expr => (e.kind === 'cast' ? strip(e.x) : e);

/** (field of byte − zero point) · scale, where neither zero point nor scale changes within a block. */
function weightOf(e: Expr, head: ReduceStage): Weight | undefined {
  if (e.kind !== 'binary' || e.op !== 'mul' || e.a.kind !== 'binary' || e.a.op !== 'sub') return undefined;
  const { b: scale } = e;
  const { b: zero } = e.a;
  const value = strip(e.a.a);
  const fields = fieldsOf(value, head);
  if (!fields) return undefined;
  const { load, field, bits } = fields;
  if (load.kind !== 'load' || load.source.kind !== 'tensor' || load.guard || load.type !== 'uint8') return undefined;
  if (load.source.order || load.index.length !== 3 || !load.source.isConstant) return undefined;
  const [block, byte] = [axisOf(load.index[1]), axisOf(load.index[2])];
  const column = axisOf(load.index[0]);
  if (!block || !byte || !column || !head.axes.includes(column) || !field.size.is(8 / bits)) return undefined;
  if (![block, byte, field].every((axis) => head.over.includes(axis))) return undefined;
  const bytes = byte.size.constant;
  if (bytes === undefined || bytes % columnBytes !== 0 || block.size.constant === undefined) return undefined;
  if (!byte.size.equals(load.source.shape[2]) || !block.size.equals(load.source.shape[1])) return undefined;
  const inTables = axesIn([scale, zero]);
  for (const axis of inTables) if (axis !== column && axis !== block) return undefined;
  if (
    loadsOf(scale)
      .concat(loadsOf(zero))
      .some(({ source }) => source.kind !== 'tensor')
  )
    return undefined;
  return {
    load,
    block,
    byte,
    field,
    bits,
    field32: cast('float32', value),
    zero: zero.kind === 'cast' ? constantOf(zero) : zero,
    scale,
  };
}

/** Field `field` of a byte, or the byte itself where the axis of fields has one element. */
function fieldsOf(value: Expr, head: ReduceStage): (Pick<Weight, 'field' | 'bits'> & { load: Expr }) | undefined {
  if (value.kind === 'load') {
    const read = axesIn([value]);
    const field = head.over.find((axis) => !read.has(axis));
    return field && { load: value, field, bits: 8 };
  }
  if (value.kind !== 'binary' || value.op !== 'and' || value.a.kind !== 'binary' || value.a.op !== 'shr')
    return undefined;
  const shift = strip(value.a.b);
  const field = shift.kind === 'binary' && shift.op === 'mul' ? axisOf(shift.a) : axisOf(shift);
  const bits = [1, 2, 4].find((count) => isNumber(value.b, (1 << count) - 1));
  if (!field || !bits) return undefined;
  if (shift.kind === 'binary' ? !isNumber(shift.b, bits) : bits !== 1) return undefined;
  return { load: value.a.a, field, bits };
}

function isNumber(e: Expr, value: number): boolean {
  return (e.kind === 'const' && Number(e.value) === value) || (e.kind === 'dim' && e.dim.is(value));
}

function isField(value: number, bits: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 1 << bits;
}

function constantOf(e: Expr): Expr {
  const inner = strip(e);
  return inner.kind === 'const' ? constant('float32', Number(inner.value)) : e;
}

/** A in the order of the fields, with the sums of its blocks times −zero. */
function rowsKernel(
  kernel: Kernel,
  a: Expr,
  rows: readonly Axis[],
  { block, field, byte }: Pick<Weight, 'block' | 'field' | 'byte'>,
  asBytes: boolean,
  zero: number,
): { kernel: Kernel; a: TensorRef; aScale: TensorRef | undefined; aSum: TensorRef } {
  const { name, origin } = kernel.stages[0];
  const base = { id: -1, ...(origin !== undefined && { origin }) };
  const axesLike = (list: readonly Axis[]) => list.map((axis) => newAxis(axis.name, axis.size));
  const head = [...rows, block];
  const lane = [field, byte];
  const at = (axes: readonly Axis[], e: Expr): Expr =>
    substituteAxes(e, new Map([...head, ...lane].flatMap((axis, n) => (axes[n] ? [[axis, toIndex(axes[n])]] : []))));
  const mapOf = (suffix: string, dtype: DType, list: readonly Axis[], body: Expr): MapStage => {
    const axes = axesLike(list);
    return {
      ...base,
      kind: 'map',
      name: `${name}.${suffix}`,
      dtype,
      shape: axes.map(({ size }) => size),
      axes,
      body: at(axes, body),
    };
  };
  const reduceOf = (suffix: string, op: 'max' | 'sum', body: Expr): ReduceStage => {
    const axes = axesLike([...head, ...lane]);
    const kept = axes.slice(0, head.length);
    return {
      ...base,
      kind: 'reduce',
      op,
      name: `${name}.${suffix}`,
      dtype: 'float32',
      shape: kept.map(({ size }) => size),
      axes: kept,
      over: axes.slice(head.length),
      body: at(axes, body),
    };
  };
  const value = cast('float32', a);
  const stages: Stage[] = [];
  const append = <T extends Stage>(stage: T): T => {
    stages.push(stage);
    return stage;
  };
  let factors: Stage;
  let scaled: Stage | undefined;
  let sums: Stage;
  if (asBytes) {
    const peak = append(reduceOf('peak', 'max', abs(value)));
    scaled = append(mapOf('scale', 'float32', head, div(elementAt(peak, head), 127)));
    // A block of zeros has no scale: the quotients are NaN, which becomes 0.
    const inverse = append(mapOf('inverse', 'float32', head, div(constant('float32', 127), elementAt(peak, head))));
    const rounded = cast('int8', round(mul(value, elementAt(inverse, head))), { saturate: true });
    factors = append(mapOf('bytes', 'int8', [...head, ...lane], rounded));
    const total = append(reduceOf('total', 'sum', cast('float32', elementAt(factors, [...head, ...lane]))));
    sums = append(mapOf('sums', 'float32', head, mul(mul(elementAt(total, head), elementAt(scaled, head)), -zero)));
  } else {
    factors = append(mapOf('fields', 'float32', [...head, ...lane], value));
    const total = append(reduceOf('total', 'sum', elementAt(factors, [...head, ...lane])));
    sums = append(mapOf('sums', 'float32', head, mul(elementAt(total, head), -zero)));
  }
  const params = new Set<TensorRef>();
  for (const { source } of loadsOf(a)) params.add(source as TensorRef);
  const outputs: KernelOutput[] = [];
  const output = (stage: Stage): TensorRef => {
    const isConstant = [...params].every((param) => param.isConstant) && symbolsOfStage(stage).size === 0;
    const tensor = newTensorRef(stage.name, stage.dtype, stage.shape, { isConstant });
    outputs.push({ stage, tensor });
    return tensor;
  };
  const aRef = output(factors);
  const aScale = scaled && output(scaled);
  const aSum = output(sums);
  const made: Kernel = {
    name: `${name}.rows`,
    class: 'row',
    params: [...params],
    stages,
    outputs,
    origins: kernel.origins.slice(0, 1),
    rowRank: head.length,
  };
  return { kernel: made, a: aRef, aScale, aSum };
}

/** Rows of A. */
export function rowCountOf({ rows }: Pick<PackedProduct, 'rows'>) {
  return productOf(rows.map((axis) => axis.size));
}
