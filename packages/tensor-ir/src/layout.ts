// Layout assignment: images that convolutions and pools read and write are stored channels-last, so that a window's channels
// are contiguous; what lies between them follows. Nobody else notices: indices stay logical.

import { type Axis, childrenOf, type Expr, elementAt, rewrite } from './expr.ts';
import type { FusedProgram } from './fuse.ts';
import type { Kernel } from './kernel.ts';
import { writePermuted } from './permuted-results.ts';
import { axesFor, bodiesOf, type MapStage, type ReduceStage, type Stage } from './stage.ts';
import { axesIn, type Load, loadsOf } from './structure.ts';
import { rebuildStage } from './substitute-stages.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';

/** Batch, then space, then channels. */
function channelsLast(rank: number): readonly number[] {
  return [0, ...Array.from({ length: rank - 2 }, (_, at) => at + 2), 1];
}

/**
 * Sets `order` of intermediate tensors in place; adds kernels that reorder weights once, at load, and such that copy images
 * whose order is not free: views, and what the caller sees.
 */
export function assignLayouts(program: FusedProgram): FusedProgram {
  // Images come first: a transposed one may be what a window slides over.
  return writePermuted(orderImages(program));
}

function orderImages(program: FusedProgram): FusedProgram {
  const aliased = new Set<TensorRef>([...program.aliases.keys(), ...program.aliases.values()]);
  const isFree = (tensor: TensorRef): boolean => !aliased.has(tensor) && !tensor.isConstant;
  const before = new Set(program.locals.filter(isFree));
  const fused = copyImages(program, before);
  const free = new Set(fused.locals.filter(isFree));
  const isLast = new Set<TensorRef>();
  const give = (tensor: TensorRef, order = channelsLast(tensor.shape.length)): void => {
    if (!free.has(tensor) || tensor.shape.length < 3) return;
    // A transposed result may have its channels last as it is.
    if (order.every((axis, at) => axis === at)) return;
    tensor.order = order;
    isLast.add(tensor);
  };
  for (const kernel of fused.kernels) {
    const image = windowedImage(kernel);
    if (!image) continue;
    give(image);
    for (const { tensor, stage } of kernel.outputs) {
      const order = resultOrder(kernel.stages[0] as ReduceStage, stage, image.shape.length);
      if (order) give(tensor, order);
    }
  }
  for (const kernel of fused.kernels) {
    if (kernel.class !== 'pointwise') continue;
    const [{ tensor }] = kernel.outputs;
    const follows = kernel.params.some((param) => isLast.has(param) && readsAlike(kernel.stages[0], param, tensor));
    if (follows) give(tensor);
  }
  return reorderWeights(fused);
}

/** Convolutions with fewer channels than this read and write images as they are. */
const fewestChannels = 8;

/**
 * Puts copies around convolutions whose image or result is not in `free`. A copy reads and writes each element once; without
 * it each would be read as often as the window has taps, and gathered.
 */
function copyImages(fused: FusedProgram, free: ReadonlySet<TensorRef>): FusedProgram {
  const kernels: Kernel[] = [];
  const locals = [...fused.locals];
  const copies = new Map<TensorRef, TensorRef>();
  for (const kernel of fused.kernels) {
    const image = windowedImage(kernel);
    const [head] = kernel.stages;
    if (!image || head.kind !== 'reduce' || !isWideConvolution(head)) {
      kernels.push(kernel);
      continue;
    }
    let changed = kernel;
    const hasChannels = (image.shape[1].constant ?? 0) >= fewestChannels;
    if (!free.has(image) && hasChannels && !kernel.stages.slice(1).some((stage) => readsTensor(stage, image))) {
      let copy = copies.get(image);
      if (!copy) {
        copy = newTensorRef(`${image.name}.image`, image.dtype, image.shape);
        copies.set(image, copy);
        locals.push(copy);
        kernels.push(copyKernel(image, copy, kernel));
      }
      changed = withParam(changed, image, copy);
    }
    const [{ tensor }] = changed.outputs;
    const isImage = resultOrder(head, kernel.outputs[0].stage, image.shape.length) !== undefined;
    if (
      kernel.outputs.length > 1 ||
      free.has(tensor) ||
      !isImage ||
      (head.axes[1].size.constant ?? 0) < fewestChannels
    ) {
      kernels.push(changed);
      continue;
    }
    const result = newTensorRef(`${tensor.name}.image`, tensor.dtype, tensor.shape);
    locals.push(result);
    kernels.push({ ...changed, outputs: [{ ...changed.outputs[0], tensor: result }] });
    kernels.push(copyKernel(result, tensor, kernel));
  }
  return { ...fused, kernels, locals };
}

/** A sum of products with weights over windows of more than one pixel, not channel by channel. */
function isWideConvolution(head: ReduceStage): boolean {
  const taps = head.over.filter((axis) => !axis.size.is(1));
  const hasWeights = loadsOf(head.body).some(({ source }) => source.kind === 'tensor' && source.isConstant);
  return head.op === 'sum' && hasWeights && head.axes.length >= 4 && taps.length > 1;
}

function copyKernel(from: TensorRef, to: TensorRef, kernel: Kernel): Kernel {
  const axes = axesFor(from.shape);
  const [{ origin }] = kernel.stages;
  const stage: MapStage = {
    kind: 'map',
    id: -1,
    name: `${to.name}.copy`,
    dtype: from.dtype,
    shape: from.shape,
    axes,
    body: elementAt(from, axes),
    ...(origin !== undefined && { origin }),
  };
  return {
    name: stage.name,
    class: 'pointwise',
    params: [from],
    stages: [stage],
    outputs: [{ stage, tensor: to }],
    origins: kernel.origins.slice(0, 1),
    rowRank: 0,
  };
}

/** The kernel with its first stage reading another tensor. */
function withParam(kernel: Kernel, from: TensorRef, to: TensorRef): Kernel {
  const [head, ...rest] = kernel.stages;
  const newHead = replaceSource(head as ReduceStage, from, to);
  const others = rest.map((stage) =>
    rebuildStage(stage, (source) => (source === head ? { source: newHead } : undefined)),
  );
  const stages = [newHead, ...others];
  return {
    ...kernel,
    params: kernel.params.map((param) => (param === from ? to : param)),
    stages,
    outputs: kernel.outputs.map((output) => ({ ...output, stage: stages[kernel.stages.indexOf(output.stage)] })),
  };
}

/** The tensor that a kernel's windows slide over: all its axes but the first two mix result and window positions. */
function windowedImage(kernel: Kernel): TensorRef | undefined {
  const [head] = kernel.stages;
  if (kernel.class !== 'contraction' || head.kind !== 'reduce') return undefined;
  for (const load of loadsOf(head.body)) {
    if (load.source.kind !== 'tensor' || load.source.isConstant) continue;
    const isImage = (e: Expr, at: number): boolean =>
      at < 2 ? !mixes(e, head, true) || isOfGroup(e, head) : mixes(e, head, false);
    if (load.index.length >= 3 && load.index.every(isImage)) return load.source;
  }
  return undefined;
}

/** Channels-last order of a result whose axes may be those of the window in another order. */
function resultOrder(head: ReduceStage, stage: Stage, rank: number): readonly number[] | undefined {
  if (stage.shape.length !== rank || head.axes.length !== rank) return undefined;
  const order = channelsLast(rank);
  if (stage === head) return order;
  if (stage.kind !== 'map') return undefined;
  const load = loadsOf(stage.body).find(({ source }) => source === head);
  const places = order.map((axis) => {
    const index = load?.index[axis];
    return index?.kind === 'axis' ? stage.axes.indexOf(index.axis) : -1;
  });
  // Axes of size 1 are read as 0: they take the places that are left.
  const left = stage.axes.map((_, at) => at).filter((at) => !places.includes(at));
  return places.map((at) => (at >= 0 ? at : left.shift()!));
}

/** @param sized axes of size 1 do not count: a kernel of 1 × 1 is a window, a group of one channel is none */
function mixes(index: Expr, stage: ReduceStage, sized: boolean): boolean {
  const axes = axesIn([index]);
  const counts = (axis: Axis): boolean => axes.has(axis) && !(sized && axis.size.is(1));
  return stage.axes.some(counts) && stage.over.some(counts);
}

/**
 * True for the channels of a convolution in wide groups: of the result's channel only a quotient counts, its group. Narrow
 * groups are read as they are.
 */
function isOfGroup(index: Expr, stage: ReduceStage): boolean {
  if (index.kind === 'axis') return !stage.axes.includes(index.axis);
  return (
    (index.kind === 'binary' && index.op === 'div' && isWideGroup(index.b)) ||
    childrenOf(index).every((e) => isOfGroup(e, stage))
  );
}

function isWideGroup(members: Expr): boolean {
  return members.kind === 'dim' && (members.dim.constant ?? 0) >= fewestChannels;
}

/** True when the reading stage moves through the tensor as through its result, one to one or shifted. */
function readsAlike(stage: Stage, source: TensorRef, result: TensorRef): boolean {
  if (source.shape.length !== result.shape.length) return false;
  return bodiesOf(stage).some(({ axes, body }) =>
    loadsOf(body).some((load) => load.source === source && load.index.every((e, at) => follows(e, axes[at]))),
  );
}

function follows(index: Expr, axis: Axis | undefined): boolean {
  const axes = axesIn([index]);
  return axes.size === 0 || (axis !== undefined && axes.has(axis));
}

/**
 * Weights of a window that works channel by channel (depthwise convolution): their channels become the fastest axis too.
 */
function reorderWeights(fused: FusedProgram): FusedProgram {
  const kernels: Kernel[] = [];
  const locals = [...fused.locals];
  for (const kernel of fused.kernels) {
    const swap = channelwiseWeight(kernel);
    if (!swap) {
      kernels.push(kernel);
      continue;
    }
    const ordered = orderedCopy(swap, kernel);
    kernels.push(ordered);
    const { tensor } = ordered.outputs[0];
    locals.push(tensor);
    kernels.push(withParam(kernel, swap, tensor));
  }
  return { ...fused, kernels, locals };
}

function channelwiseWeight(kernel: Kernel): TensorRef | undefined {
  const [head] = kernel.stages;
  if (kernel.class !== 'contraction' || head.kind !== 'reduce') return undefined;
  const loads = loadsOf(head.body);
  const image = loads.find(
    (load) => isFastest(load, head.axes[1]) && !load.index.some((e) => mixes(e, head, true) && isOfGroup(e, head)),
  );
  const weight = loads.find((load) => load.source.kind === 'tensor' && load.source.isConstant);
  if (!image || !weight || weight.source.kind !== 'tensor' || weight.index.length < 2) return undefined;
  if (kernel.stages.slice(1).some((stage) => readsTensor(stage, weight.source as TensorRef))) return undefined;
  const [channel] = weight.index;
  const isChannel = channel.kind === 'axis' && channel.axis === head.axes[1];
  return isChannel ? weight.source : undefined;
}

/** True when the load moves along the axis through neighbours in an image's memory. */
function isFastest({ source, index }: Load, axis: Axis): boolean {
  if (source.kind !== 'tensor' || source.isConstant) return false;
  const order = source.order ?? source.shape.map((_, at) => at);
  const fastest = [...order].reverse().find((at) => !source.shape[at].is(1));
  return fastest !== undefined && axesIn([index[fastest]]).has(axis);
}

function readsTensor(stage: Stage, tensor: TensorRef): boolean {
  return bodiesOf(stage).some(({ body }) => loadsOf(body).some((load) => load.source === tensor));
}

function orderedCopy(weight: TensorRef, kernel: Kernel): Kernel {
  const axes = axesFor(weight.shape);
  const stage: MapStage = {
    kind: 'map',
    id: -1,
    name: `${weight.name}.channels-last`,
    dtype: weight.dtype,
    shape: weight.shape,
    axes,
    body: elementAt(weight, axes),
    ...(kernel.stages[0].origin !== undefined && { origin: kernel.stages[0].origin }),
  };
  const order = [...weight.shape.map((_, at) => at).slice(1), 0];
  const tensor = newTensorRef(stage.name, weight.dtype, weight.shape, { isConstant: true, order });
  return {
    name: stage.name,
    class: 'pointwise',
    params: [weight],
    stages: [stage],
    outputs: [{ stage, tensor }],
    origins: kernel.origins.slice(0, 1),
    rowRank: 0,
  };
}

function replaceSource(stage: ReduceStage, from: TensorRef, to: TensorRef): ReduceStage {
  const body = rewrite(stage.body, (e) => (e.kind === 'load' && e.source === from ? { ...e, source: to } : undefined));
  return { ...stage, body };
}
