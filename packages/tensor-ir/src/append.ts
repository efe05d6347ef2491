// Caches that grow: an output that is an input with something behind it shares the input's memory, which has room for more
// than it holds. What was there is not moved, and the kernel that joined the two writes only what is new.

import { Dim, productOf } from './dim.ts';
import { bitsOf } from './dtype.ts';
import type { Axis, Expr } from './expr.ts';
import type { FusedProgram } from './fuse.ts';
import type { Kernel } from './kernel.ts';
import { axesFor, type ScatterStage, type SegmentsStage, sourcesOf } from './stage.ts';
import type { TensorRef } from './tensor-ref.ts';

/** `output` begins with all elements of `input` along `axis`; one buffer is both. */
export interface AppendedTensor {
  readonly input: TensorRef;
  readonly output: TensorRef;
  readonly axis: number;
  /** The symbol of the axis' size in memory: at least that of `output`. Outputs of one length have one symbol. */
  readonly capacity: string;
  /** Elements of the input may be written, too. Then nobody else reads it. */
  readonly overwrites: boolean;
}

interface Candidate {
  readonly kernel: Kernel;
  readonly input: TensorRef;
  readonly output: TensorRef;
  readonly along: number;
  /** The kernel's stage without what is in place. */
  readonly rest: SegmentsStage | ScatterStage;
}

/** What a provider may know of a pair before it is made one. */
export interface AppendCandidate {
  readonly input: TensorRef;
  readonly axis: number;
  /** The kernel that writes what is new reads the input, too, or views of it. */
  readonly readsInput: boolean;
  /** The kernel may write elements of the input. */
  readonly overwrites: boolean;
}

/**
 * Finds the pairs, gives their tensors and the views of them room, in place, and leaves out what is there already.
 * @param inputs tensors that may share their buffer: none that is constant
 * @param outputs those of the program
 * @param accepts leaves out pairs that a provider cannot have in one buffer
 */
export function appendInPlace(
  fused: FusedProgram,
  inputs: ReadonlySet<TensorRef>,
  outputs: ReadonlySet<TensorRef>,
  accepts: (candidate: AppendCandidate) => boolean = () => true,
): { readonly fused: FusedProgram; readonly appends: readonly AppendedTensor[] } {
  const appends: AppendedTensor[] = [];
  const taken = new Set<TensorRef>();
  const kernels = fused.kernels.map((kernel) => {
    const found = readAppend(kernel, inputs, outputs);
    if (!found || taken.has(found.input)) return kernel;
    const { input, output, along } = found;
    const rest = withoutKept(found);
    const reads = ({ params }: Kernel): boolean => params.some((param) => storageOf(fused, param) === input);
    const readsInput = reads(rest);
    const overwrites = found.rest.kind === 'scatter';
    if (overwrites && (readsInput || fused.kernels.some((other) => other !== kernel && reads(other)))) return kernel;
    if (!accepts({ input, axis: along, readsInput, overwrites })) return kernel;
    const capacity = `capacity#${output.shape[along]}`;
    if (!giveRoom(fused, [input, output], along, Dim.symbol(capacity))) return kernel;
    taken.add(input);
    appends.push({ input, output, axis: along, capacity, overwrites });
    return rest;
  });
  return { fused: { ...fused, kernels }, appends };
}

/** What a view is a view of. */
function storageOf(fused: FusedProgram, tensor: TensorRef): TensorRef {
  const below = fused.aliases.get(tensor);
  return below ? storageOf(fused, below) : tensor;
}

function readAppend(
  kernel: Kernel,
  inputs: ReadonlySet<TensorRef>,
  outputs: ReadonlySet<TensorRef>,
): Candidate | undefined {
  const [stage] = kernel.stages;
  const [{ tensor: output }] = kernel.outputs;
  if (kernel.outputs.length !== 1 || !outputs.has(output) || output.order) return undefined;
  const found =
    stage.kind === 'segments'
      ? readSegments(stage)
      : stage.kind === 'scatter' && kernel.stages.length === 1
        ? readScatter(stage)
        : undefined;
  const input = found?.input;
  return input && inputs.has(input) && !input.order && bitsOf(input.dtype) >= 8
    ? { kernel, output, ...found }
    : undefined;
}

type Found = Pick<Candidate, 'input' | 'along' | 'rest'>;

/** A first segment that is all of a tensor. */
function readSegments(stage: SegmentsStage): Found | undefined {
  const { along, begin } = stage;
  const [first, ...segments] = stage.segments;
  if (begin || segments.length === 0 || !first.offset.is(0)) return undefined;
  const { body, axes } = first;
  if (body.kind !== 'load' || body.guard || body.source.kind !== 'tensor') return undefined;
  const input = body.source;
  if (input.shape.length !== axes.length) return undefined;
  const isWhole = axes.every(
    (axis, at) => axis.size.equals(input.shape[at]) && (isAxis(body.index[at], axis) || axis.size.is(1)),
  );
  return isWhole ? { input, along, rest: { ...stage, segments, begin: axes[along].size } } : undefined;
}

/** A scatter into a tensor that was made longer along an axis: out[…, i, …] = in[…, i, …] where i < its size, else fill. */
function readScatter(stage: ScatterStage): Found | undefined {
  const { initial, initialAxes: axes, kept, shape } = stage;
  if (kept || initial.kind !== 'load' || initial.source.kind !== 'tensor') return undefined;
  const { source: input, guard, fill } = initial;
  if (guard?.kind !== 'compare' || guard.op !== 'lt' || fill?.kind !== 'const') return undefined;
  const along = axes.findIndex((axis) => isAxis(guard.a, axis));
  if (along < 0 || input.shape.length !== axes.length) return undefined;
  const length = input.shape[along];
  if (guard.b.kind !== 'dim' || !guard.b.dim.equals(length)) return undefined;
  const isWhole = axes.every(
    (axis, at) =>
      (at === along || axis.size.equals(input.shape[at])) && (isAxis(initial.index[at], axis) || axis.size.is(1)),
  );
  if (!isWhole || !isAxis(initial.index[along], axes[along])) return undefined;
  const initialAxes = axesFor(shape.with(along, shape[along].sub(length)));
  return { input, along, rest: { ...stage, kept: { along, length }, initialAxes, initial: fill } };
}

function isAxis(index: Expr, axis: Axis): boolean {
  return index.kind === 'axis' && index.axis === axis;
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

function withoutKept({ kernel, rest }: Candidate): Kernel {
  const read = sourcesOf(rest);
  return {
    ...kernel,
    params: kernel.params.filter((param) => read.has(param)),
    stages: [rest],
    outputs: [{ ...kernel.outputs[0], stage: rest }],
  };
}
