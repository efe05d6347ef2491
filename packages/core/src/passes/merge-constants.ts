// Equal constants become one value, so that a provider keeps them once: exporters repeat small ones a thousand times, and
// some write a shared weight twice.

import type { Graph, Value } from '../graph/graph.ts';
import { GraphPatch } from '../graph/patch.ts';
import { forEachGraph } from '../graph/traverse.ts';
import { ConstantKeys, haveEqualBytes } from './constant-keys.ts';

/** A graph and its bodies, in place: constants need no capturing, so one value serves all of them. */
export function mergeEqualConstants(graph: Graph): void {
  const table = new ConstantTable();
  forEachGraph(graph, (part) => {
    const patch = new GraphPatch(part);
    for (const value of constantsOf(part)) {
      const same = table.find(value);
      if (same !== value) patch.replaceValue(value, same);
    }
    if (patch.isEmpty) return;
    patch.apply();
    const used = constantsOf(part);
    part.initializers.splice(0, Infinity, ...part.initializers.filter((value) => used.has(value)));
  });
}

function constantsOf(graph: Graph): Set<Value> {
  const constants = new Set<Value>();
  for (const node of graph.nodes) for (const input of node.inputs) if (input?.constant) constants.add(input);
  for (const output of graph.outputs) if (output.constant) constants.add(output);
  return constants;
}

class ConstantTable {
  readonly #keys = new ConstantKeys();
  readonly #small = new Map<string, Value>();
  readonly #large = new Map<string, Value[]>();

  /** The first value that was looked for with the same constant. */
  find(value: Value): Value {
    const constant = value.constant!;
    const key = this.#keys.of(constant);
    if (key !== undefined) {
      const same = this.#small.get(key);
      if (!same) this.#small.set(key, value);
      return same ?? value;
    }
    if (constant.type === 'string') return value;
    const sample = this.#keys.sampleOf(constant);
    const similar = this.#large.get(sample);
    const same = similar?.find((other) => haveEqualBytes(other.constant!, constant));
    if (!same) this.#large.set(sample, [...(similar ?? []), value]);
    return same ?? value;
  }
}
