// What a plan knows while it runs, and what its steps have in common.

import { OnnxTsError } from '../errors.ts';
import type { GraphNode, Value } from '../graph/graph.ts';
import type { RunContext } from '../provider/contract.ts';
import { tensorOfContents } from '../session/host-value.ts';
import { bindShape, concreteDims, RuntimeValue } from './runtime-value.ts';

/** What a plan knows while it runs. */
export class RunState {
  readonly values = new Map<Value, RuntimeValue>();
  readonly binding: Map<string, number>;
  readonly context: RunContext;
  /** Outputs that stay on their device and may grow there, with the positions to make room for at least. */
  readonly kept: ReadonlyMap<Value, number> | undefined;
  /** Inputs whose elements may be overwritten by the step that reads them. */
  readonly yielded: ReadonlySet<Value> | undefined;

  constructor(
    binding: Map<string, number>,
    context: RunContext,
    kept?: ReadonlyMap<Value, number>,
    yielded?: ReadonlySet<Value>,
  ) {
    this.binding = binding;
    this.context = context;
    this.kept = kept;
    this.yielded = yielded;
  }

  /** Value of an operand: computed, constant, or made from sizes. */
  get(value: Value): RuntimeValue {
    let found = this.values.get(value);
    if (found) return found;
    if (value.constant) found = RuntimeValue.ofHost(value.constant);
    else if (value.contents && value.type?.kind === 'tensor' && value.type.dtype !== 'string') {
      const dims = concreteDims(value.type, this.binding, `"${value.name}"`);
      found = RuntimeValue.ofHost(tensorOfContents(value.type.dtype, dims, value.contents, this.binding));
    }
    if (!found)
      throw new OnnxTsError('INTERNAL', 'a value was used before it was computed.', { place: { value: value.name } });
    this.values.set(value, found);
    return found;
  }

  /** Records an output and learns the sizes that only the run could tell. */
  set(value: Value, result: RuntimeValue): void {
    const { type } = value;
    if (type?.kind === 'tensor' && type.shape && result.dims) {
      bindShape(type.shape, result.dims, this.binding, (what) => {
        throw new OnnxTsError('INTERNAL', `its result has an unexpected shape: ${what}`, {
          place: { value: value.name },
        });
      });
    }
    this.values.set(value, result);
  }
}

export interface Step {
  readonly nodes: readonly GraphNode[];
  readonly operands: readonly Value[];
  /** Values that a run of the step records. */
  readonly results: readonly Value[];
  run(state: RunState): Promise<void>;
  dispose(): void;
}

export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new OnnxTsError('ABORTED', 'the run was aborted.', { cause: signal.reason });
}

/** Outputs of a node that has a step of its own. */
export function resultsOf(node: GraphNode): readonly Value[] {
  return node.outputs.filter((output) => output !== undefined);
}
