// Caches that grow: an output that is an input with something behind it shares the input's memory, which has room for more
// than it holds. What was there is not moved, and the kernel that joined the two writes only what is new.

import { Dim, productOf } from './dim.ts';
import { bitsOf } from './dtype.ts';
import type { FusedProgram } from './fuse.ts';
import type { Kernel } from './kernel.ts';
import type { SegmentsStage } from './stage.ts';
import { sourcesOf } from './stage.ts';
import type { TensorRef } from './tensor-ref.ts';

/** `output` begins with all elements of `input` along `axis`; one buffer is both. */
export interface AppendedTensor {
  readonly input: TensorRef;
  readonly output: TensorRef;
  readonly axis: number;
  /** The symbol of the axis' size in memory: at least that of `output`. Outputs of one length have one symbol. */
  readonly capacity: string;
}

interface Candidate {
  readonly kernel: Kernel;
  readonly stage: SegmentsStage;
  readonly input: TensorRef;
  readonly output: TensorRef;
}

/**
 * Finds the pairs, gives their tensors and the views of them room, in place, and leaves out what is there already.
 * @param inputs tensors that may share their buffer: none that is constant
 * @param outputs those of the program
 */
export function appendInPlace(
  fused: FusedProgram,
  inputs: ReadonlySet<TensorRef>,
  outputs: ReadonlySet<TensorRef>,
): { readonly fused: FusedProgram; readonly appends: readonly AppendedTensor[] } {
  const appends: AppendedTensor[] = [];
  const taken = new Set<TensorRef>();
  const kernels = fused.kernels.map((kernel) => {
    const found = readAppend(kernel, inputs, outputs);
    if (!found || taken.has(found.input)) return kernel;
    const { input, output, stage } = found;
    const capacity = `capacity#${output.shape[stage.along]}`;
    if (!giveRoom(fused, [input, output], stage.along, Dim.symbol(capacity))) return kernel;
    taken.add(input);
    appends.push({ input, output, axis: stage.along, capacity });
    return withoutFirst(found);
  });
  return { fused: { ...fused, kernels }, appends };
}

function readAppend(
  kernel: Kernel,
  inputs: ReadonlySet<TensorRef>,
  outputs: ReadonlySet<TensorRef>,
): Candidate | undefined {
  const [stage] = kernel.stages;
  const [{ tensor: output }] = kernel.outputs;
  if (stage.kind !== 'segments' || kernel.outputs.length !== 1 || !outputs.has(output) || output.order)
    return undefined;
  if (stage.begin || stage.segments.length < 2) return undefined;
  const { body, axes, offset } = stage.segments[0];
  if (!offset.is(0)) return undefined;
  if (body.kind !== 'load' || body.guard || body.source.kind !== 'tensor') return undefined;
  const input = body.source;
  if (!inputs.has(input) || input.order || bitsOf(input.dtype) < 8 || input.shape.length !== axes.length) {
    return undefined;
  }
  const isWhole = axes.every((axis, at) => {
    const index = body.index[at];
    if (!axis.size.equals(input.shape[at])) return false;
    return (index.kind === 'axis' && index.axis === axis) || axis.size.is(1);
  });
  return isWhole ? { kernel, stage, input, output } : undefined;
}

/** False when a view of one of them cannot be said with room; then nothing has changed. */
function giveRoom(fused: FusedProgram, tensors: readonly TensorRef[], axis: number, capacity: Dim): boolean {
  const axes = new Map<TensorRef, number>(tensors.map((tensor) => [tensor, axis]));
  // Views of views come after what they view.
  for (const [view, below] of fused.aliases) {
    const at = axes.get(below);
    if (at === undefined) continue;
    const same = sameAxis(view.shape, below.shape, at);
    if (same === undefined) return false;
    axes.set(view, same);
  }
  for (const [tensor, at] of axes) tensor.room = tensor.shape.with(at, capacity);
  return true;
}

/** The axis of a view that is one axis of what lies below it, with the same elements before and behind it. */
function sameAxis(view: readonly Dim[], below: readonly Dim[], axis: number): number | undefined {
  const before = productOf(below.slice(0, axis));
  const at = view.findIndex(
    (size, candidate) => size.equals(below[axis]) && productOf(view.slice(0, candidate)).equals(before),
  );
  return at < 0 ? undefined : at;
}

function withoutFirst({ kernel, stage }: Candidate): Kernel {
  const [first, ...segments] = stage.segments;
  const rest: SegmentsStage = { ...stage, segments, begin: first.axes[stage.along].size };
  const read = sourcesOf(rest);
  return {
    ...kernel,
    params: kernel.params.filter((param) => read.has(param)),
    stages: [rest],
    outputs: [{ ...kernel.outputs[0], stage: rest }],
  };
}
