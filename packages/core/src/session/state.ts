// What a model hands from one run to the next, such as the keys and values of a language model: it stays on the device and
// grows there.

import { OnnxTsError } from '../errors.ts';
import type { Graph, Value } from '../graph/graph.ts';
import { isPresentOf } from '../partition/state-values.ts';
import type { GraphPlan } from '../plan/graph-plan.ts';
import { PartitionStep } from '../plan/partition-step.ts';
import type { RuntimeValue } from '../plan/runtime-value.ts';
import type { Lease } from './device-tensor.ts';
import { arrayTypeOf, dataLength, elementCount, Tensor } from './tensor.ts';

export interface StateOptions {
  /**
   * Names of inputs, each with the output that is its value in the next run. By default those that the model joins with
   * new positions (`present = Concat(past, …)`), and those that exporters name alike: `past…` and `present…`.
   */
  readonly pairs?: Readonly<Record<string, string>>;
  /** Positions to make room for at the beginning. A state that has outgrown its room moves to one twice as large. */
  readonly capacity?: number;
}

/** An input and the output that it continues with. */
interface StatePair {
  readonly input: Value;
  readonly outputName: string;
  readonly output: Value;
  /** Of the output among those of the graph. */
  readonly position: number;
  /** Axes along which the output is longer than the input: a state begins with none. */
  readonly growing: readonly number[];
}

/**
 * Pass it to each `session.run(feeds, { state })`: the run takes the state's inputs from it and leaves their outputs in it.
 * A run that fails leaves it as it was. A session may have several states; each serves one sequence of runs.
 */
export class SessionState {
  /** @internal */
  readonly lease: Lease;
  /** @internal Outputs that stay on their device, with the positions to make room for. */
  readonly kept: ReadonlyMap<Value, number>;
  readonly #pairs: ReadonlyMap<string, StatePair>;
  readonly #outputNames: ReadonlySet<string>;
  readonly #values = new Map<string, RuntimeValue>();
  #isDisposed = false;

  /** @internal Use `session.createState`. */
  constructor(plan: GraphPlan, outputNames: readonly string[], options: StateOptions, lease: Lease) {
    const pairs = options.pairs ? givenPairs(plan.graph, outputNames, options.pairs) : findPairs(plan, outputNames);
    this.lease = lease;
    this.#pairs = new Map(pairs.map((pair) => [pair.input.name, pair]));
    this.#outputNames = new Set(pairs.map(({ outputName }) => outputName));
    const { capacity = 0 } = options;
    if (!(Number.isSafeInteger(capacity) && capacity >= 0)) {
      throw new OnnxTsError('INVALID_INPUT', `the capacity must be a number of positions, not ${capacity}.`);
    }
    this.kept = new Map(pairs.map(({ output }) => [output, capacity]));
  }

  /** Inputs that runs take from the state. */
  get inputNames(): readonly string[] {
    return [...this.#pairs.keys()];
  }

  /** Outputs that runs leave in the state; they are results only if they are asked for by name. */
  get outputNames(): readonly string[] {
    return [...this.#outputNames];
  }

  /** Positions that it holds: the size that grows from run to run. 0 at the beginning, and where nothing grows. */
  get length(): number {
    for (const [name, { growing }] of this.#pairs) {
      const value = this.#values.get(name);
      if (value && growing.length > 0) return value.dims![growing[0]];
    }
    return 0;
  }

  /** A copy of what the next run will take for an input; undefined before the first run. */
  async read(inputName: string): Promise<Tensor | undefined> {
    this.checkUse();
    return this.#values.get(inputName)?.copy();
  }

  /**
   * Forgets all but the first positions, for instance to continue in another way from there.
   * @throws OnnxTsError INVALID_INPUT when it holds fewer, or a part of it does not grow and thus cannot go back
   */
  truncate(length: number): void {
    this.checkUse();
    if (!(Number.isSafeInteger(length) && length >= 0 && length <= this.length)) {
      throw new OnnxTsError('INVALID_INPUT', `a state of ${this.length} positions cannot be cut to ${length}.`);
    }
    for (const name of this.#values.keys()) {
      const { growing } = this.#pairs.get(name)!;
      if (growing.length !== 1) {
        throw new OnnxTsError('INVALID_INPUT', `the state's input "${name}" does not grow, so it cannot be cut.`, {
          hint: 'Use reset() and run the first positions again.',
        });
      }
    }
    for (const [name, value] of this.#values) {
      this.#values.set(name, value.prefix(this.#pairs.get(name)!.growing[0], length));
    }
  }

  /** Makes it as it was before the first run, and frees its memory. */
  reset(): void {
    if (!this.lease.isOver) for (const value of this.#values.values()) value.release();
    this.#values.clear();
  }

  dispose(): void {
    this.reset();
    this.#isDisposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal @throws OnnxTsError DISPOSED, or PROVIDER when the device was lost */
  checkUse(): void {
    if (this.#isDisposed) throw new OnnxTsError('DISPOSED', 'this state was disposed.');
    this.lease.check('this state', {
      lost: 'The session goes on without it: use a new createState() and run the first positions again.',
    });
  }

  /** @internal Whether runs leave an output in the state. */
  holds(outputName: string): boolean {
    return this.#outputNames.has(outputName);
  }

  /** @internal The value of an input before a run, which stays the state's; undefined where it has none. */
  get(inputName: string): RuntimeValue | undefined {
    return this.#values.get(inputName);
  }

  /**
   * @internal What an input of the state begins with: zeros, or nothing along axes that grow.
   * @param binding the sizes that feeds tell
   * @throws OnnxTsError INVALID_INPUT when they do not tell all of its sizes
   */
  initial(input: Value, binding: ReadonlyMap<string, number>): Tensor | undefined {
    const pair = this.#pairs.get(input.name);
    const { type } = input;
    if (!pair || type?.kind !== 'tensor' || type.dtype === 'string' || !type.shape) return undefined;
    const dims = type.shape.map((dim, axis) => {
      if (pair.growing.includes(axis)) return 0;
      try {
        return dim.evaluate(binding);
      } catch (cause) {
        throw new OnnxTsError('INVALID_INPUT', `the feeds do not tell the size "${dim}" of this input.`, {
          place: { value: input.name },
          hint: 'Feed it in the first run.',
          cause,
        });
      }
    });
    const data = new (arrayTypeOf(type.dtype))(dataLength(type.dtype, elementCount(dims)));
    return new Tensor(type.dtype, data, dims);
  }

  /** @internal Inputs of a run whose values nobody has but this state and the run. */
  yielded(): Value[] {
    const yielded: Value[] = [];
    for (const [name, value] of this.#values) if (value.hasOnly(2)) yielded.push(this.#pairs.get(name)!.input);
    return yielded;
  }

  /** @internal Keeps what a run has left for the next one. @param outputs of the graph, in order */
  advance(outputs: readonly RuntimeValue[]): void {
    for (const [name, { position }] of this.#pairs) {
      const before = this.#values.get(name);
      this.#values.set(name, outputs[position].retain());
      before?.release();
    }
  }
}

function pairOf({ outputs }: Graph, input: Value, position: number, outputName: string): StatePair {
  const output = outputs[position];
  const [from, to] = [input.type, output.type];
  const fail = (what: string): never => {
    throw new OnnxTsError('INVALID_INPUT', `"${input.name}" cannot continue with "${outputName}": ${what}.`);
  };
  if (from?.kind !== 'tensor' || to?.kind !== 'tensor') return fail('both must be tensors');
  if (from.dtype !== to.dtype) return fail(`one is ${from.dtype}, the other ${to.dtype}`);
  const growing = (from.shape ?? []).flatMap((dim, axis) => {
    const after = to.shape?.[axis];
    return dim.constant === undefined && after && !after.equals(dim) ? [axis] : [];
  });
  return { input, output, position, outputName, growing };
}

function givenPairs(graph: Graph, outputNames: readonly string[], pairs: Readonly<Record<string, string>>) {
  return Object.entries(pairs).map(([inputName, outputName]) => {
    const input = graph.inputs.find(({ name }) => name === inputName);
    const position = outputNames.indexOf(outputName);
    if (input && position >= 0) return pairOf(graph, input, position, outputName);
    const what = input ? `output "${outputName}"` : `input "${inputName}"`;
    throw new OnnxTsError('INVALID_INPUT', `the model has no ${what}.`);
  });
}

/** @throws OnnxTsError INVALID_INPUT when there is none */
function findPairs({ graph, steps }: GraphPlan, outputNames: readonly string[]): StatePair[] {
  const outputOf = new Map<Value, Value>();
  for (const step of steps) {
    const appends = step instanceof PartitionStep ? step.executable.appends : undefined;
    for (const { input, output } of appends ?? []) outputOf.set(input, output);
  }
  const pairs: StatePair[] = [];
  for (const input of graph.inputs) {
    const appended = graph.outputs.indexOf(outputOf.get(input) as Value);
    const at = appended >= 0 ? appended : outputNames.findIndex((name) => isPresentOf(input.name, name));
    if (at >= 0) pairs.push(pairOf(graph, input, at, outputNames[at]));
  }
  if (pairs.length > 0) return pairs;
  throw new OnnxTsError('INVALID_INPUT', 'no output of this model is recognised as the next value of an input.', {
    hint: 'Name them: createState({ pairs: { input: "output" } }).',
  });
}
