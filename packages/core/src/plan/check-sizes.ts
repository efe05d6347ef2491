// What types could only promise is checked when a run has given the symbols values, before anything is computed.

import { type DimBinding, DimProgram } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { GraphNode, SizeRequirement } from '../graph/graph.ts';
import { placeOf } from '../ops/context.ts';
import { elementCount } from '../session/tensor.ts';

type Shape = readonly SizeRequirement['a'][];

type SizeCheck =
  | { readonly node: GraphNode; readonly requirement: SizeRequirement }
  | { readonly node: GraphNode; readonly shape: Shape };

/** What the sizes of some nodes have to fulfil, each thing once: of nodes that ask the same, the first. */
export class SizeChecks {
  readonly #checks: readonly SizeCheck[];
  /** All sizes at once, to tell quickly that nothing is wrong. */
  readonly #program = new DimProgram();
  /** Positions of sizes that must agree, in pairs, or where the first may be 1. */
  readonly #equal: number[] = [];
  readonly #broadcast: number[] = [];
  readonly #shapes: readonly (readonly number[])[];

  /** @param nodes with inferred types */
  constructor(nodes: readonly GraphNode[]) {
    const checks = new Map<string, SizeCheck>();
    const add = (key: string, check: SizeCheck): void => {
      if (!checks.has(key)) checks.set(key, check);
    };
    for (const node of nodes) {
      for (const requirement of node.requirements ?? []) {
        const { a, b, broadcasts } = requirement;
        add(`${a.key} ${broadcasts ? 'broadcast' : 'equal'} ${b.key}`, { node, requirement });
      }
      for (const { type } of node.outputs.filter((output) => output !== undefined)) {
        if (type?.kind === 'tensor' && type.shape)
          add(type.shape.map(({ key }) => key).join(), { node, shape: type.shape });
      }
    }
    this.#checks = [...checks.values()];
    const shapes: number[][] = [];
    const position = (dim: SizeRequirement['a']): number => this.#program.position(dim);
    for (const check of this.#checks) {
      if ('shape' in check) shapes.push(check.shape.map(position));
      else {
        const { a, b, broadcasts } = check.requirement;
        (broadcasts ? this.#broadcast : this.#equal).push(position(a), position(b));
      }
    }
    this.#shapes = shapes;
  }

  /**
   * @throws OnnxTsError INVALID_INPUT that names the first node whose sizes do not fit, OUT_OF_MEMORY for sizes that
   *   nothing can address
   */
  check(binding: DimBinding): void {
    if (this.#isGood(binding)) return;
    for (const check of this.#checks) {
      if ('shape' in check) checkShape(check.node, check.shape, binding);
      else checkRequirement(check.node, check.requirement, binding);
    }
  }

  #isGood(binding: DimBinding): boolean {
    const sizes = evaluateAll(this.#program, binding);
    if (!sizes || sizes.some((size) => size < 0)) return false;
    const equal = this.#equal;
    for (let at = 0; at < equal.length; at += 2) if (sizes[equal[at]] !== sizes[equal[at + 1]]) return false;
    const broadcast = this.#broadcast;
    for (let at = 0; at < broadcast.length; at += 2) {
      const size = sizes[broadcast[at]];
      if (size !== 1 && size !== sizes[broadcast[at + 1]]) return false;
    }
    return this.#shapes.every((shape) => {
      let count = 1;
      for (const at of shape) count *= sizes[at];
      return Number.isSafeInteger(count);
    });
  }
}

function evaluateAll(program: DimProgram, binding: DimBinding): Float64Array | undefined {
  try {
    return program.evaluate(binding);
  } catch (error) {
    // A size is not known, or two do not fit: whoever asks says which.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function checkRequirement(node: GraphNode, { a, b, broadcasts, what }: SizeRequirement, binding: DimBinding): void {
  const [left, right] = [evaluate(node, a, binding), evaluate(node, b, binding)];
  if (left === right || (broadcasts && left === 1)) return;
  const rule = broadcasts ? 'must agree or be 1' : 'must agree';
  fail(node, `${what} ${rule}, but ${valueText(a, left)} and ${valueText(b, right)} differ.`, binding);
}

function checkShape(node: GraphNode, shape: Shape, binding: DimBinding): void {
  const dims = shape.map((dim) => evaluate(node, dim, binding));
  const negative = dims.findIndex((size) => size < 0);
  if (negative >= 0) {
    fail(
      node,
      `axis ${negative} of its result would have the size ${valueText(shape[negative], dims[negative])}.`,
      binding,
    );
  }
  if (Number.isSafeInteger(elementCount(dims))) return;
  throw new OnnxTsError(
    'OUT_OF_MEMORY',
    `its result of dims [${dims.join(', ')}] has more elements than can be counted.`,
    {
      place: placeOf(node),
    },
  );
}

function evaluate(node: GraphNode, dim: SizeRequirement['a'], binding: DimBinding): number {
  try {
    return dim.evaluate(binding);
  } catch (error) {
    return fail(node, `its sizes do not fit: ${(error as Error).message}.`, binding);
  }
}

function valueText(dim: SizeRequirement['a'], value: number): string {
  return dim.constant === undefined ? `${dim} = ${value}` : String(value);
}

function fail(node: GraphNode, what: string, binding: DimBinding): never {
  const named = [...binding].filter(([name]) => !name.includes('#')).map(([name, size]) => `${name} = ${size}`);
  throw new OnnxTsError('INVALID_INPUT', what, {
    place: placeOf(node),
    hint: named.length > 0 ? `The inputs give ${named.join(', ')}.` : 'Check the sizes of the inputs.',
  });
}
