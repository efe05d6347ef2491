// Grouped convolutions: an output channel reads the inputs of its group, whose number is a quotient of the channel's. With the
// channel taken apart into group and member, each group is a product of its own, and templates can take all of them.

import {
  type Axis,
  add,
  childrenOf,
  type Expr,
  epilogueAxes,
  IndexAnalysis,
  type Kernel,
  type MapStage,
  mul,
  newAxis,
  newTensorRef,
  type ReduceStage,
  rewrite,
  substituteAxes,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { CompiledKernel } from '../kernel/compile-kernel.ts';

export interface GroupedKernel {
  /** The kernel in terms of groups and members. Its result is another view of the original's memory. */
  readonly kernel: Kernel;
  /** What a template made of it, with the original result. */
  readonly restoreKernel: (kernel: Kernel) => Kernel;
  readonly restoreCode: (compiled: CompiledKernel) => CompiledKernel;
}

/** Products of fewer columns leave most of a panel empty. */
const fewestMembers = 8;

/** Undefined for kernels without groups, or with small ones. */
export function splitGroups(kernel: Kernel): GroupedKernel | undefined {
  const [head, epilogue, ...more] = kernel.stages;
  if (kernel.class !== 'contraction' || head.kind !== 'reduce' || more.length > 0) return undefined;
  if ((epilogue && epilogue.kind !== 'map') || kernel.outputs.length !== 1) return undefined;
  const [{ tensor: output, stage }] = kernel.outputs;
  const channel = stage === (epilogue ?? head) && !output.room ? groupedAxis(head) : undefined;
  if (!channel) return undefined;
  const last = epilogue ? epilogueAxes({ head, epilogue }).get(channel.axis) : channel.axis;
  const at = last ? (epilogue ?? head).axes.indexOf(last) : -1;
  if (!last || at < 0) return undefined;
  const newHead = splitHead(head, channel);
  const newEpilogue = epilogue && splitEpilogue(epilogue, head, newHead, { axis: last, members: channel.members });
  const result = newEpilogue ?? newHead;
  const shape = result.shape;
  const order = output.order?.flatMap((axis) => (axis === at ? [at, at + 1] : [axis > at ? axis + 1 : axis]));
  const view = newTensorRef(output.name, output.dtype, shape, order && { order });
  const swap = (tensor: TensorRef): TensorRef => (tensor === view ? output : tensor);
  return {
    kernel: {
      ...kernel,
      stages: newEpilogue ? [newHead, newEpilogue] : [newHead],
      outputs: [{ stage: result, tensor: view }],
    },
    restoreKernel: (made) => ({
      ...made,
      outputs: made.outputs.map(({ stage: of, tensor }) => ({ stage: of, tensor: swap(tensor) })),
    }),
    restoreCode: (compiled) => ({
      ...compiled,
      words: compiled.words.map((word) => (word.kind === 'tensor' ? { ...word, tensor: swap(word.tensor) } : word)),
    }),
  };
}

interface Channel {
  readonly axis: Axis;
  /** Channels of a group. */
  readonly members: number;
}

/** An axis of the result of which a quotient is taken, by a divisor of its size. */
function groupedAxis({ axes, body }: ReduceStage): Channel | undefined {
  let found: Channel | undefined;
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (found || seen.has(e)) return;
    seen.add(e);
    if (e.kind === 'binary' && e.op === 'div' && e.a.kind === 'axis' && e.b.kind === 'dim' && axes.includes(e.a.axis)) {
      const [size, members] = [e.a.axis.size.constant, e.b.dim.constant];
      if (size && members && members >= fewestMembers && members < size && size % members === 0)
        found = { axis: e.a.axis, members };
    }
    childrenOf(e).forEach(visit);
  };
  visit(body);
  return found;
}

/** Group and member of a channel, with the channel in terms of them. */
function splitAxis({ axis, members }: Channel): { readonly parts: readonly [Axis, Axis]; readonly whole: Expr } {
  const group = newAxis(`${axis.name}g`, axis.size.floorDiv(members));
  const member = newAxis(`${axis.name}m`, members);
  return { parts: [group, member], whole: add(mul(toIndex(group), members), toIndex(member)) };
}

function splitHead(head: ReduceStage, channel: Channel): ReduceStage {
  const { parts, whole } = splitAxis(channel);
  const axes = head.axes.flatMap((axis) => (axis === channel.axis ? parts : [axis]));
  const body = new IndexAnalysis().simplify(substituteAxes(head.body, new Map([[channel.axis, whole]])));
  return { ...head, axes, shape: axes.map(({ size }) => size), body };
}

function splitEpilogue(epilogue: MapStage, head: ReduceStage, newHead: ReduceStage, channel: Channel): MapStage {
  const { parts, whole } = splitAxis(channel);
  const at = head.axes.findIndex((axis) => !newHead.axes.includes(axis));
  const axes = epilogue.axes.flatMap((axis) => (axis === channel.axis ? parts : [axis]));
  // Loads of the head first: their index has the parts in the channel's place.
  const ofParts = rewrite(epilogue.body, (e) => {
    if (e.kind !== 'load' || e.source !== head) return undefined;
    const index = e.index.flatMap((x, place) => (place === at ? parts.map(toIndex) : [x]));
    return { ...e, source: newHead, index };
  });
  const body = new IndexAnalysis().simplify(substituteAxes(ofParts, new Map([[channel.axis, whole]])));
  return { ...epilogue, axes, shape: axes.map(({ size }) => size), body };
}
