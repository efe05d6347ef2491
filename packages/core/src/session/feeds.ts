// Checks what a caller feeds against what the model declares, before anything runs.

import type { DimBinding } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { typeText, type ValueType } from '../graph/types.ts';
import type { HostSequence, HostValue } from '../ops/define.ts';
import { bindShape, RuntimeValue } from '../plan/runtime-value.ts';
import { type Lease, lentValue } from './device-tensor.ts';
import type { SessionState } from './state.ts';
import { type GpuBuffer, Tensor, type TensorDataLike } from './tensor.ts';

/** A tensor of this or another library with the same shape of object, or a sequence, optional or map. */
export type Feed = HostValue | { readonly type: string; readonly data: unknown; readonly dims: readonly number[] };

/** @throws OnnxTsError INVALID_INPUT */
export function toHostValue(feed: Feed, name: string): HostValue {
  if (Tensor.is(feed)) return feed;
  if (typeof feed === 'object' && feed !== null && 'kind' in feed) return feed;
  if (typeof feed === 'object' && feed !== null && 'dims' in feed && 'type' in feed) return adopt(feed, name);
  throw new OnnxTsError('INVALID_INPUT', `a feed must be a tensor, not ${feed === null ? 'null' : typeof feed}.`, {
    place: { value: name },
    hint: 'Use new Tensor(type, data, dims).',
  });
}

/** A tensor of another library, on the same memory. */
function adopt(feed: Exclude<Feed, HostValue>, name: string): Tensor {
  try {
    const elsewhere = feed as { readonly location?: string; readonly gpuBuffer?: GpuBuffer };
    if (elsewhere.location === 'gpu-buffer') {
      return Tensor.fromGpuBuffer(elsewhere.gpuBuffer!, { dataType: feed.type as 'float32', dims: feed.dims });
    }
    return new Tensor(feed.type as 'float32', feed.data as TensorDataLike, feed.dims);
  } catch (cause) {
    // Its data may be elsewhere, for instance on a GPU; or type, data and dims do not fit.
    throw new OnnxTsError('INVALID_INPUT', `the tensor cannot be used: ${(cause as Error).message}`, {
      place: { value: name },
      cause,
    });
  }
}

/** Rejects a feed: says what the input declares. */
function reject(value: Value, what: string): never {
  throw new OnnxTsError('INVALID_INPUT', what, {
    place: { value: value.name },
    hint: `The input is ${typeText(value.type)}.`,
  });
}

/**
 * One value per graph input, its default where it has one and no feed; sizes are learned into `binding`.
 * @param state where inputs come from that are not fed
 * @param adopted values of feeds in memory that is not the session's, by name; they stay the caller's
 * @throws OnnxTsError INVALID_INPUT for unknown names, missing inputs, wrong element types or sizes
 */
export function bindFeeds(
  graph: Graph,
  feeds: Readonly<Record<string, Feed>>,
  binding: Map<string, number>,
  lease: Lease,
  state?: SessionState,
  adopted?: ReadonlyMap<string, RuntimeValue>,
): RuntimeValue[] {
  if (typeof feeds !== 'object' || feeds === null) {
    throw new OnnxTsError('INVALID_INPUT', 'the feeds must be an object from input names to tensors.');
  }
  const { names, shapes } = layoutOf(graph);
  for (const name of Object.keys(feeds)) {
    if (names.has(name)) continue;
    if (graph.initializers.some((value) => value.name === name)) {
      throw new OnnxTsError('INVALID_INPUT', 'this is a constant of the model.', {
        place: { value: name },
        hint: 'If the model lists it as an input, too, create the session with overridableInitializers: true.',
      });
    }
    throw new OnnxTsError('INVALID_INPUT', `the model has no input "${name}".`, {
      hint: `Its inputs are ${[...names].map((known) => `"${known}"`).join(', ')}.`,
    });
  }
  /** Dims that inputs of each shape had so far: the caches of all layers are of one size. */
  const learned = new Map<number, readonly number[]>();
  const learn = (value: Value, at: number, runtime: RuntimeValue): RuntimeValue => {
    const { dims } = runtime;
    if (value.type?.kind === 'tensor' && value.type.shape && dims) {
      const before = learned.get(shapes[at]);
      if (before?.length === dims.length && before.every((size, axis) => size === dims[axis])) return runtime;
      bindShape(value.type.shape, dims, binding, (what) => reject(value, what));
      learned.set(shapes[at], dims);
    }
    return runtime;
  };
  const known = graph.inputs.map((value, at) => {
    const feed = feeds[value.name];
    const held = feed === undefined ? state?.get(value.name)?.retain() : undefined;
    if (held) return learn(value, at, held);
    if (feed === undefined && !value.initial) return undefined;
    const host = feed === undefined ? value.initial! : toHostValue(feed, value.name);
    checkKind(value, host);
    return learn(value, at, adopted?.get(value.name)?.retain() ?? toRuntimeValue(host, lease));
  });
  return known.map((runtime, at) => {
    if (runtime) return runtime;
    const value = graph.inputs[at];
    const initial = state?.initial(value, binding);
    if (!initial) return reject(value, 'this input is missing from the feeds.');
    return learn(value, at, RuntimeValue.ofHost(initial));
  });
}

/** What the feeds of all runs of a graph are compared with. */
interface FeedLayout {
  readonly names: ReadonlySet<string>;
  /** Of each input the number of its shape: equal shapes have one number. */
  readonly shapes: readonly number[];
}

const layouts = new WeakMap<Graph, FeedLayout>();

function layoutOf(graph: Graph): FeedLayout {
  const known = layouts.get(graph);
  if (known) return known;
  const numbers = new Map<string, number>();
  const shapes = graph.inputs.map(({ type }) => {
    const key = type?.kind === 'tensor' ? (type.shape ?? []).map((dim) => dim.key).join() : '';
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return number;
  });
  const layout = { names: new Set(graph.inputs.map((input) => input.name)), shapes };
  layouts.set(graph, layout);
  return layout;
}

/** One user's part of a value. */
function toRuntimeValue(host: HostValue, lease: Lease): RuntimeValue {
  const lent = Tensor.is(host) ? lentValue(host, lease) : undefined;
  return lent ? lent.retain() : RuntimeValue.ofHost(host);
}

function checkKind(value: Value, host: HostValue): void {
  const { type } = value;
  if (!type) return;
  if (Tensor.is(host)) {
    if (type.kind === 'optional' && type.element.kind === 'tensor') return;
    if (type.kind !== 'tensor') reject(value, `a tensor was fed.`);
    else if (type.dtype !== host.type) reject(value, `a ${host.type} tensor was fed.`);
    return;
  }
  const inside = type.kind === 'optional' && host.kind !== 'optional' ? type.element : type;
  if (host.kind === inside.kind) {
    if (host.kind === 'sequence' && inside.kind === 'sequence') checkItems(value, host, inside.element);
    return;
  }
  reject(value, `a ${host.kind} was fed.`);
}

function checkItems(value: Value, { items }: HostSequence, element: ValueType): void {
  if (element.kind !== 'tensor') return;
  for (const [at, item] of items.entries()) {
    if (!Tensor.is(item)) reject(value, `item ${at} of the sequence is a ${item.kind}.`);
    else if (item.type !== element.dtype) reject(value, `item ${at} of the sequence is a ${item.type} tensor.`);
  }
}

/** Sizes of all inputs for a message. */
export function bindingText(binding: DimBinding): string {
  return [...binding].map(([name, size]) => `${name} = ${size}`).join(', ');
}
