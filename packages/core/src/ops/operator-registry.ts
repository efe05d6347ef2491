// Finds the definition that holds for an operator at an operator-set version.

import { OnnxTsError } from '../errors.ts';
import type { GraphNode } from '../graph/graph.ts';
import type { OperatorDefinition } from './define.ts';

export class OperatorRegistry {
  readonly #versions = new Map<string, OperatorDefinition[]>();

  constructor(definitions: Iterable<OperatorDefinition>) {
    for (const definition of definitions) this.add(definition);
  }

  /** @throws TypeError when the same operator and version is there already, unless the definition says that it overrides */
  add(definition: OperatorDefinition): void {
    const key = `${definition.domain}:${definition.name}`;
    const all = this.#versions.get(key) ?? [];
    const versions = definition.overrides ? all.filter((other) => other.since !== definition.since) : all;
    if (versions.some((other) => other.since === definition.since)) {
      throw new TypeError(`${key} version ${definition.since} is defined twice`);
    }
    versions.push(definition);
    versions.sort((a, b) => b.since - a.since);
    this.#versions.set(key, versions);
  }

  find(domain: string, name: string, opset: number): OperatorDefinition | undefined {
    return this.#versions.get(`${domain}:${name}`)?.find((definition) => definition.since <= opset);
  }

  /** @throws OnnxTsError UNKNOWN_OPERATOR */
  resolve(node: GraphNode): OperatorDefinition {
    const found = this.find(node.domain, node.op, node.opset);
    if (found) return found;
    const place = { node: node.name, op: node.op, domain: node.domain, opset: node.opset };
    const other = this.#versions.get(`${node.domain}:${node.op}`);
    throw other
      ? new OnnxTsError('UNKNOWN_OPERATOR', `this operator exists only since version ${other.at(-1)?.since}.`, {
          place,
        })
      : new OnnxTsError('UNKNOWN_OPERATOR', `no operator of this name is known.`, {
          place,
          hint: 'Register it as a custom operator (option `operators`), or export the model without it.',
        });
  }

  /** Names by domain, for reports. */
  names(): { readonly domain: string; readonly name: string; readonly versions: readonly number[] }[] {
    return [...this.#versions.values()].map((versions) => ({
      domain: versions[0].domain,
      name: versions[0].name,
      versions: versions.map((definition) => definition.since).reverse(),
    }));
  }
}
