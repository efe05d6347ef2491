// Kernels that run before a template's kernel: they copy its operands into the order in which it reads them.

import {
  type Axis,
  add,
  cast,
  constant,
  type DType,
  dimension,
  type Expr,
  guardLoads,
  type Kernel,
  loadsOf,
  lt,
  type MapStage,
  mul,
  newAxis,
  newTensorRef,
  productOf,
  select,
  substituteAxes,
  symbolsOfStage,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';

/** One map over fresh copies of `axes`, in the type of the body. Constant when all that it reads is. */
export function mapKernel(
  kernel: Kernel,
  name: string,
  axes: readonly Axis[],
  body: Expr,
  options: { readonly order?: readonly number[] } = {},
): Kernel {
  const fresh = axes.map((axis) => newAxis(axis.name, axis.size));
  const values = new Map(axes.map((axis, at) => [axis, toIndex(fresh[at])]));
  const shape = axes.map((axis) => axis.size);
  const params = new Set<TensorRef>();
  for (const { source } of loadsOf(body)) if (source.kind === 'tensor') params.add(source);
  const stage: MapStage = {
    kind: 'map',
    id: -1,
    name,
    dtype: body.type as DType,
    shape,
    axes: fresh,
    body: substituteAxes(body, values),
    ...(kernel.stages[0].origin !== undefined && { origin: kernel.stages[0].origin }),
  };
  const isConstant = [...params].every((param) => param.isConstant) && symbolsOfStage(stage).size === 0;
  const tensor = newTensorRef(name, stage.dtype, shape, { isConstant, ...options });
  return {
    name,
    class: 'pointwise',
    params: [...params],
    stages: [stage],
    outputs: [{ stage, tensor }],
    origins: kernel.origins.slice(0, 1),
    rowRank: 0,
  };
}

/** The value where `axis` is below `limit`, zero elsewhere. */
export function zeroBeyond(value: Expr, at: Expr, limit: Axis['size']): Expr {
  const isInside = lt(at, dimension(limit));
  return select(isInside, guardLoads(value, isInside), constant(value.type, 0));
}

/** How the panels of B are laid out. */
export interface PanelShape {
  readonly dtype: DType;
  readonly width: number;
  /** Consecutive elements along the last reduction axis that lie side by side for each column. */
  readonly group: number;
}

/**
 * panels[batch…, p, k…, g, j, e] = B at column width · p + j and, on the last reduction axis, group · g + e; zero beyond
 * the edges. With groups of 1 there is no axis e and g is the last reduction axis itself.
 */
export function packKernel(
  kernel: Kernel,
  name: string,
  batch: readonly Axis[],
  column: Axis,
  over: readonly Axis[],
  factor: Expr,
  { dtype, width, group }: PanelShape,
): Kernel {
  const panel = newAxis('p', column.size.ceilDiv(width));
  const lane = newAxis('c', width);
  const columnAt = add(mul(toIndex(panel), width), toIndex(lane));
  const values = new Map<Axis, Expr>([[column, columnAt]]);
  const axes = [...batch, panel, ...over, lane];
  let body = cast(dtype, factor);
  const last = over[over.length - 1];
  if (group > 1) {
    const groups = newAxis('g', last.size.ceilDiv(group));
    const element = newAxis('e', group);
    const at = add(mul(toIndex(groups), group), toIndex(element));
    values.set(last, at);
    axes.splice(axes.indexOf(last), 1, groups);
    axes.push(element);
    body = substituteAxes(body, values);
    if (!last.size.isMultipleOf(group)) body = zeroBeyond(body, at, last.size);
  } else body = substituteAxes(body, values);
  if (!column.size.isMultipleOf(width)) body = zeroBeyond(body, columnAt, column.size);
  return mapKernel(kernel, name, axes, body);
}

/** A run of zeros in the type of A, for what lies outside of it. */
export function zerosKernel(kernel: Kernel, run: readonly Axis[], dtype: DType): Kernel {
  const axis = newAxis('z', productOf(run.map(({ size }) => size)).add(3));
  return mapKernel(kernel, `${kernel.stages[0].name}.zeros`, [axis], constant(dtype, 0));
}
