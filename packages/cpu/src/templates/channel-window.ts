// Recognises windows that work channel by channel on channels-last images in float32: depthwise convolutions and pools.

import {
  type Axis,
  axesIn,
  constant,
  type Expr,
  IndexAnalysis,
  type Kernel,
  type MapStage,
  newAxis,
  newTensorRef,
  type ReduceStage,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { type BlockShape, fastestAxis } from './block-phases.ts';

type Load = Extract<Expr, { kind: 'load' }>;

/** out[row][channel] = op over taps of image[…][channel] (· weight[tap][channel]). */
export interface ChannelWindow extends BlockShape {
  readonly kernel: Kernel;
  readonly op: 'sum' | 'max' | 'min';
  readonly taps: readonly Axis[];
  readonly image: Load;
  /** Its fastest axis is the channel, the others are the taps in order. */
  readonly weight: TensorRef | undefined;
  /** As many fill values as there are channels, for taps outside the image. */
  readonly fill: TensorRef | undefined;
}

export interface PreparedWindow {
  readonly window: ChannelWindow;
  readonly before: readonly Kernel[];
  readonly locals: readonly TensorRef[];
}

export function prepareChannelWindow(kernel: Kernel): PreparedWindow | undefined {
  const [head, epilogue] = kernel.stages;
  if (kernel.class !== 'contraction' || kernel.stages.length > 2 || kernel.outputs.length !== 1) return undefined;
  if (head.kind !== 'reduce' || head.dtype !== 'float32') return undefined;
  if (head.op !== 'sum' && head.op !== 'max' && head.op !== 'min') return undefined;
  if (epilogue !== undefined && epilogue.kind !== 'map') return undefined;
  if (kernel.outputs[0].stage !== (epilogue ?? head)) return undefined;
  const output = kernel.outputs[0].tensor;
  const channel = fastestAxis(head, epilogue, output);
  const factors = channel && factorsOf(head, channel);
  if (!channel || !factors) return undefined;
  const { image, weight } = factors;
  const taps = head.over;
  const rows = head.axes.filter((axis) => axis !== channel);
  const guarded = image.guard ? axesIn([image.guard]) : new Set<Axis>();
  if (guarded.has(channel) || strideAlong(image, channel) !== 1) return undefined;
  if (channel.size.constant === undefined || channel.size.constant < 4) return undefined;
  const shape = { head, epilogue, output, batch: [], rows, column: channel };
  const fill = image.guard ? fillKernel(kernel, channel, image.fill!) : undefined;
  const fillTensor = fill?.outputs[0].tensor;
  const main = fillTensor ? { ...kernel, params: [...kernel.params, fillTensor] } : kernel;
  return {
    window: { ...shape, kernel: main, op: head.op, taps, image, weight, fill: fillTensor },
    before: fill ? [fill] : [],
    locals: fillTensor ? [fillTensor] : [],
  };
}

/** The image, and the weight if there is one: its axes are the taps, then (in memory) the channel. */
function factorsOf(head: ReduceStage, channel: Axis): { image: Load; weight: TensorRef | undefined } | undefined {
  const { body } = head;
  if (body.kind === 'load') return isPlain(body) ? { image: body, weight: undefined } : undefined;
  if (head.op !== 'sum' || body.kind !== 'binary' || body.op !== 'mul') return undefined;
  for (const [image, weight] of [
    [body.a, body.b],
    [body.b, body.a],
  ]) {
    if (image.kind !== 'load' || weight.kind !== 'load' || !isPlain(image) || !isPlain(weight)) continue;
    if (weight.guard || weight.source.kind !== 'tensor' || strideAlong(weight, channel) !== 1) continue;
    if (isTapOrder(weight, head.over, channel)) return { image, weight: weight.source };
  }
  return undefined;
}

function isPlain(load: Load): boolean {
  if (load.source.kind !== 'tensor' || load.type !== 'float32') return false;
  return !load.guard || load.fill?.kind === 'const';
}

function strideAlong(load: Load, axis: Axis): number | undefined {
  const { terms } = new IndexAnalysis().offsetOf(load.source as TensorRef, load.index);
  if (!terms.every((term) => term.atom.kind === 'axis')) return undefined;
  return terms.find((term) => term.atom.kind === 'axis' && term.atom.axis === axis)?.coefficient.constant;
}

/** True when the weight lies as [taps in order][channel]. */
function isTapOrder(weight: Load, taps: readonly Axis[], channel: Axis): boolean {
  const { base, terms } = new IndexAnalysis().offsetOf(weight.source as TensorRef, weight.index);
  if (!base.is(0)) return false;
  let stride = channel.size;
  const expected = new Map<Axis, string>([[channel, '1']]);
  for (const tap of [...taps].reverse()) {
    if (tap.size.is(1)) continue;
    expected.set(tap, stride.key);
    stride = stride.mul(tap.size);
  }
  const sized = terms.filter(({ atom }) => !(atom.kind === 'axis' && atom.axis.size.is(1)));
  return (
    sized.length === expected.size &&
    sized.every(({ atom, coefficient }) => atom.kind === 'axis' && expected.get(atom.axis) === coefficient.key)
  );
}

function fillKernel(kernel: Kernel, channel: Axis, fill: Expr): Kernel {
  const axis = newAxis('c', channel.size);
  const value = fill.kind === 'const' ? fill.value : 0;
  const name = `${kernel.stages[0].name}.fill`;
  const stage: MapStage = {
    kind: 'map',
    id: -1,
    name,
    dtype: 'float32',
    shape: [channel.size],
    axes: [axis],
    body: constant('float32', value),
    ...(kernel.stages[0].origin !== undefined && { origin: kernel.stages[0].origin }),
  };
  const tensor = newTensorRef(name, 'float32', stage.shape, { isConstant: true });
  return {
    name,
    class: 'pointwise',
    params: [],
    stages: [stage],
    outputs: [{ stage, tensor }],
    origins: kernel.origins.slice(0, 1),
    rowRank: 0,
  };
}
