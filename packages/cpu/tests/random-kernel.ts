// Random kernels of each class.

import {
  type Axis,
  add,
  allocateBuffer,
  axesFor,
  binary,
  boundedIndex,
  cast,
  type DType,
  dimension,
  type Expr,
  elementAt,
  type Kernel,
  lt,
  type MapStage,
  mul,
  newTensorRef,
  type ReduceStage,
  type Stage,
  StageBuilder,
  sub,
  substituteAxes,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { Random } from './random.ts';
import { ValueMaker } from './random-values.ts';

export interface RandomKernel {
  readonly kernel: Kernel;
  readonly maker: ValueMaker;
}

function kernelOf(
  maker: ValueMaker,
  kind: Kernel['class'],
  stages: readonly Stage[],
  outputs: readonly Stage[],
  rowRank = 0,
): RandomKernel {
  const kernel: Kernel = {
    name: kind,
    class: kind,
    params: maker.params,
    stages,
    outputs: outputs.map((stage, at) => ({
      stage,
      tensor: newTensorRef(`out${at}`, stage.dtype, stage.shape, maker.order(stage.shape.length)),
    })),
    rowRank,
    origins: [],
  };
  return { kernel, maker };
}

export function randomMap(random: Random, dtypes: readonly DType[]): RandomKernel {
  const maker = new ValueMaker(random);
  const dtype = random.pick(dtypes);
  const shape = maker.shape(random.int(5), 17);
  const axes = axesFor(shape);
  const body = maker.expression(dtype, axes, 1 + random.int(3));
  const { map } = bodyOf(new StageBuilder(), dtype);
  const stage = { ...map, shape, axes, body };
  return kernelOf(maker, 'pointwise', [stage], [stage]);
}

export function randomReduce(random: Random, dtypes: readonly DType[]): RandomKernel {
  const maker = new ValueMaker(random);
  const dtype = random.pick(dtypes);
  const shape = maker.shape(random.int(4), 17);
  const over = maker.shape(1 + random.int(2), 17);
  const isBool = dtype === 'bool';
  const op = random.pick(
    isBool ? (['and', 'or'] as const) : (['sum', 'max', 'min', 'prod', 'argmax', 'argmin'] as const),
  );
  const builder = new StageBuilder();
  maker.hasSpecials = op !== 'sum' && op !== 'prod' && random.chance(0.7);
  if (op === 'argmax' || op === 'argmin') {
    maker.allowEmpty = false;
    const size = [maker.size(70)];
    const axes = axesFor(shape);
    const inner = axesFor(size, 'r');
    const body = maker.access(dtype, [...axes, ...inner]);
    const stage = {
      ...builder.reduce(op, 'int64', shape, size, () => body, { selectLast: random.chance(0.5) }),
      axes,
      over: inner,
    };
    return kernelOf(maker, 'reduce', [stage], [stage]);
  }
  const axes = axesFor(shape);
  const inner = axesFor(over, 'r');
  const body =
    op === 'prod' || maker.hasSpecials
      ? maker.access(dtype, [...axes, ...inner])
      : maker.expression(dtype, [...axes, ...inner], random.int(2));
  const stage = { ...builder.reduce(op, dtype, shape, over, () => body), axes, over: inner };
  return kernelOf(maker, 'reduce', [stage], [stage]);
}

/** A map stage to copy the fixed parts of. */
function bodyOf(builder: StageBuilder, dtype: DType) {
  return {
    map: builder.map(dtype, [], () => ({
      kind: 'const',
      type: dtype,
      value: dtype === 'int64' || dtype === 'uint64' ? 0n : 0,
    })),
  };
}

/** Stages that share their rows, each reading params and earlier stages. */
export function randomRows(random: Random, dtypes: readonly DType[]): RandomKernel {
  const maker = new ValueMaker(random);
  // A stage that nobody reads is not computed, and so finds no errors.
  maker.allowErrors = false;
  const builder = new StageBuilder();
  const rowRank = random.int(3);
  const rows = maker.shape(rowRank, 17);
  const lanes = maker.shape(1 + random.int(2), random.chance(0.3) ? 70 : 17);
  const stages: (MapStage | ReduceStage)[] = [];
  const count = 2 + random.int(4);
  for (let at = 0; at < count; at++) {
    const dtype = random.pick(dtypes);
    const isRow = random.chance(0.2);
    const kept = [...rows, ...(isRow || random.chance(0.3) ? [] : lanes)];
    if (random.chance(0.5)) {
      const axes = axesFor(kept);
      const leaf = leafOf(maker, stages, rowRank, axes);
      const { map } = bodyOf(builder, dtype);
      stages.push({
        ...map,
        id: map.id,
        shape: kept,
        axes,
        body: maker.expression(dtype, axes, 1 + random.int(2), leaf),
      });
    } else {
      const shape = random.chance(0.85) ? rows : [...rows, ...lanes.slice(1)];
      const over = random.chance(0.8) ? lanes.slice(shape.length - rowRank) : maker.shape(1, 17);
      if (over.length === 0) continue;
      const axes = axesFor(shape);
      const inner = axesFor(over, 'r');
      const op = random.pick(dtype === 'bool' ? (['and', 'or'] as const) : (['sum', 'max', 'min'] as const));
      // Sums of products of sums would differ by rounding alone.
      const leaf = leafOf(maker, stages, rowRank, [...axes, ...inner]);
      const body = maker.expression(dtype, [...axes, ...inner], random.int(2), leaf);
      stages.push({ ...builder.reduce(op, dtype, shape, over, () => body), axes, over: inner });
    }
  }
  if (stages.length === 0) return randomRows(random, dtypes);
  const outputs = stages.filter((_, at) => at === stages.length - 1 || random.chance(0.3));
  return kernelOf(maker, 'row', stages, outputs, rowRank);
}

/** Elements of earlier stages of the same row. */
function leafOf(
  maker: ValueMaker,
  stages: readonly (MapStage | ReduceStage)[],
  rowRank: number,
  axes: readonly Axis[],
) {
  return (dtype: DType): Expr | undefined => {
    const { random } = maker;
    const candidates = stages.filter((stage) => stage.dtype === dtype);
    if (candidates.length === 0) return undefined;
    const stage = random.pick(candidates);
    const free = axes.slice(rowRank);
    const index: Expr[] = axes.slice(0, rowRank).map(toIndex);
    for (const size of stage.shape.slice(rowRank)) {
      const axis = free.find(
        (candidate) => candidate.size.equals(size) && !index.some((e) => e.kind === 'axis' && e.axis === candidate),
      );
      if (axis) index.push(random.chance(0.8) ? toIndex(axis) : sub(dimension(size.sub(1)), toIndex(axis)));
      else if (maker.valueOf(size) > 0) index.push(dimension(random.int(maker.valueOf(size))));
      else return undefined;
    }
    return elementAt(stage, index);
  };
}

export function randomSegments(random: Random, dtypes: readonly DType[]): RandomKernel {
  const maker = new ValueMaker(random);
  const dtype = random.pick(dtypes);
  const shape = maker.shape(1 + random.int(3), 17);
  const along = random.int(shape.length);
  const lengths = Array.from({ length: 1 + random.int(3) }, () => maker.size(17));
  const total = lengths.reduce((sum, length) => sum.add(length));
  const parts = lengths.map((length) => {
    const axes = axesFor(shape.map((size, at) => (at === along ? length : size)));
    return { length, axes, value: maker.expression(dtype, axes, random.int(2)) };
  });
  const stage = new StageBuilder().segments(
    dtype,
    shape.map((size, at) => (at === along ? total : size)),
    along,
    parts.map(({ length, axes, value }) => ({
      length,
      body: (index) => substituteAxes(value, new Map(axes.map((axis, at) => [axis, index[at]]))),
    })),
  );
  return kernelOf(maker, 'pointwise', [stage], [stage]);
}

export function randomScan(random: Random, dtypes: readonly DType[]): RandomKernel {
  const maker = new ValueMaker(random);
  const dtype = random.pick(dtypes.filter((type) => type !== 'bool'));
  const shape = maker.shape(1 + random.int(3), 17);
  const axes = axesFor(shape);
  const body = maker.expression(dtype, axes, random.int(2));
  const options = { exclusive: random.chance(0.4), reverse: random.chance(0.4) };
  const op = random.chance(0.7) ? 'sum' : 'prod';
  const built = new StageBuilder().scan(op, dtype, shape, random.int(shape.length), () => body, options);
  const stage = { ...built, axes };
  return kernelOf(maker, 'scan', [stage], [stage]);
}

export function randomScatter(random: Random, dtypes: readonly DType[]): RandomKernel {
  const maker = new ValueMaker(random);
  const dtype = random.pick(dtypes.filter((type) => type !== 'bool'));
  const shape = maker.shape(1 + random.int(3), 17).map((size) => (maker.valueOf(size) === 0 ? maker.symbol(2) : size));
  const initialAxes = axesFor(shape);
  const points = maker.shape(random.int(2), 9);
  const axes = axesFor(points, 'u');
  // Some places are named by data, the others are axes of their own.
  const all: Axis[] = [...axes];
  const destination = shape.map((size): Expr => {
    if (random.chance(0.5)) {
      const count = maker.valueOf(size);
      const chosen = all.slice(0, points.length).filter(() => random.chance(0.8));
      const places = maker.tensor(
        'int64',
        chosen.map((axis) => axis.size),
        () => random.int(2 * count) - count,
      );
      return boundedIndex(cast('index', elementAt(places, chosen)), size);
    }
    const axis = axesFor([size], `d${all.length}`)[0];
    all.push(axis);
    return random.chance(0.2) ? sub(dimension(size.sub(1)), toIndex(axis)) : toIndex(axis);
  });
  const body = maker.expression(dtype, all, random.int(2));
  const initial = random.chance(0.7)
    ? elementAt(maker.tensor(dtype, shape), initialAxes)
    : maker.expression(dtype, initialAxes, random.int(2));
  const guard = random.chance(0.2) && all.length > 0 ? lt(toIndex(random.pick(all)), 3) : undefined;
  const combine = random.pick(['set', 'set', 'sum', 'max', 'min', 'prod'] as const);
  const built = new StageBuilder().scatter(
    dtype,
    shape,
    () => initial,
    all.map((axis) => axis.size),
    () => ({ destination, value: body, ...(guard && { guard }) }),
    combine,
  );
  const stage = { ...built, initialAxes, axes: all };
  return kernelOf(maker, 'scatter', [stage], [stage]);
}

export function randomContraction(random: Random, dtypes: readonly DType[]): RandomKernel {
  const maker = new ValueMaker(random);
  maker.allowErrors = false;
  const dtype = random.pick(dtypes.filter((type) => type !== 'bool'));
  const builder = new StageBuilder();
  const [batch, m, n, k] = [maker.size(3), maker.size(17), maker.size(33), maker.size(33)];
  const axes = axesFor([batch, m, n]);
  const [inner] = axesFor([k], 'r');
  const operand = (chosen: readonly Axis[]): Expr => {
    const order = random.shuffled(chosen);
    return elementAt(
      maker.tensor(
        dtype,
        order.map((axis) => axis.size),
      ),
      order,
    );
  };
  const isBatched = random.chance(0.5);
  const left = operand([...(isBatched ? [axes[0]] : []), axes[1], inner]);
  const right = operand([...(random.chance(0.5) ? [axes[0]] : []), axes[2], inner]);
  const head = { ...builder.reduce('sum', dtype, [batch, m, n], [k], () => mul(left, right)), axes, over: [inner] };
  const stages: (MapStage | ReduceStage)[] = [head];
  for (let count = random.int(3); count > 0; count--) {
    const source = stages[stages.length - 1];
    const order = random.chance(0.3) ? random.shuffled([0, 1, 2]) : [0, 1, 2];
    const own = axesFor(order.map((at) => source.shape[at]));
    // A size of 1 is read at 0; every other axis by itself.
    const index = source.shape.map((_, at) => toIndex(own[order.indexOf(at)]));
    const value = add(elementAt(source, index), maker.access(dtype, own));
    const { map } = bodyOf(builder, dtype);
    stages.push({
      ...map,
      shape: own.map((axis) => axis.size),
      axes: own,
      body: random.chance(0.5) ? binary('max', value, elementAt(source, index)) : value,
    });
  }
  const outputs = stages.filter((_, at) => at === stages.length - 1 || random.chance(0.2));
  return kernelOf(maker, 'contraction', stages, outputs);
}

/** Elements of less than a byte, read and written. */
export function randomPacked(random: Random): RandomKernel {
  const maker = new ValueMaker(random);
  const types = ['int4', 'uint4', 'int2', 'uint2', 'float6e2m3', 'float6e3m2', 'float4e2m1'] as const;
  const [from, to] = [random.pick(types), random.pick<DType>([...types, 'float32', 'int32', 'int8'])];
  const shape = maker.shape(1 + random.int(3), 17);
  const axes = axesFor(shape);
  const table = newTensorRef('packed', from, shape);
  const buffer = allocateBuffer(
    from,
    shape.map((dim) => maker.valueOf(dim)),
  );
  for (let i = 0; i < buffer.data.length; i++) buffer.data[i] = random.int(256) as never;
  maker.inputs.set(table, buffer);
  const element = elementAt(
    table,
    axes.map((axis, at) => (at === 0 ? sub(dimension(axis.size.sub(1)), toIndex(axis)) : toIndex(axis))),
  );
  const wide = random.pick<DType>(['int32', 'float32', 'int64']);
  const value = add(cast(wide, element), maker.access(wide, axes));
  const body = random.chance(0.3) && from === to ? element : cast(to, value);
  const { map } = bodyOf(new StageBuilder(), to);
  const stage = { ...map, shape, axes, body };
  const kernel: Kernel = {
    name: 'packed',
    class: 'pointwise',
    params: maker.params,
    stages: [stage],
    outputs: [{ stage, tensor: newTensorRef('out', to, shape) }],
    rowRank: 0,
    origins: [],
  };
  return { kernel, maker };
}
