// Groups hold what they say, and a model that needs a group gets it with all that it expands to.

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Graph, GraphNode } from '../graph/graph.ts';
import { Tensor } from '../session/tensor.ts';
import { model, node } from '../testing/build-model.ts';
import { open } from '../testing/open-session.ts';
import * as basic from './groups/basic.ts';
import { allOperators } from './index.ts';
import { definitionsOf, groupsOf, loadOperators, type OperatorGroupName, operatorGroups } from './load-operators.ts';

const names = Object.keys(operatorGroups) as OperatorGroupName[];

function graphOf(domain: string, op: string): Graph {
  const only: GraphNode = { name: '', domain, op, opset: 1, inputs: [], outputs: [], attributes: new Map() };
  const none = { inputs: [], outputs: [], initializers: [], captures: [] };
  return { name: '', opsets: new Map(), nodes: [only], ...none };
}

/** Files of families that a group lists, without those that they import. */
function sourcesOf(name: string): string[] {
  const group = readFileSync(new URL(`./groups/${name}.ts`, import.meta.url), 'utf8');
  return [...group.matchAll(/from '\.\.\/([^']+)'/g)].map(([, file]) => file);
}

/** Those and all operator files that they import, directly or not. */
function allSourcesOf(name: string): Set<string> {
  const found = new Set<string>();
  const visit = (file: URL): void => {
    if (found.has(file.href) || !existsSync(file)) return;
    found.add(file.href);
    for (const [, path] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)'/g)) {
      const next = new URL(path, file);
      if (next.href.startsWith(new URL('.', import.meta.url).href)) visit(next);
    }
  };
  for (const file of sourcesOf(name)) visit(new URL(`./${file}`, import.meta.url));
  return found;
}

describe('operator groups', () => {
  it.each(names)('%s lists its operators', async (name) => {
    const definitions = definitionsOf(await operatorGroups[name].load());
    const own = new Set(definitions.filter(({ domain }) => domain === '').map((definition) => definition.name));
    expect([...own].sort()).toEqual([...(operatorGroups[name].operators ?? [])].sort());
    for (const { domain, name: op } of definitions) expect([...groupsOf(graphOf(domain, op))]).toContain(name);
  });

  it('share nothing, and are all operators together', async () => {
    const parts = [definitionsOf(basic)];
    for (const name of names) parts.push(definitionsOf(await operatorGroups[name].load()));
    const together = parts.flat();
    expect(new Set(together).size).toBe(together.length);
    expect(new Set(allOperators())).toEqual(new Set(together));
  });

  // An operator may expand to any other whose name is in its source.
  it.each([...names, 'basic'])('%s expands to what is there when it is', async (name) => {
    const here = new Set<string>([name]);
    const add = (needed: OperatorGroupName): void => {
      here.add(needed);
      operatorGroups[needed].needs?.forEach(add);
    };
    if (name !== 'basic') add(name as OperatorGroupName);
    const elsewhere = new Map<string, string>();
    for (const other of names) {
      if (here.has(other)) continue;
      for (const operator of operatorGroups[other].operators ?? []) elsewhere.set(operator, other);
    }
    const missing: string[] = [];
    for (const file of allSourcesOf(name)) {
      // What a file defines under a name in one domain is no use of the name in another.
      const source = readFileSync(new URL(file), 'utf8').replaceAll(/\bname: '\w+'/g, '');
      for (const [, word] of source.matchAll(/'([A-Z]\w*)'/g)) {
        const group = elsewhere.get(word);
        if (group) missing.push(`${file} mentions ${word} of the group ${group}`);
      }
    }
    expect(missing).toEqual([]);
  });
});

describe('loadOperators', () => {
  it('fetches nothing for basic operators', () => {
    expect([...groupsOf(graphOf('', 'MatMul'))]).toEqual([]);
    expect([...groupsOf(graphOf('', 'NoSuchOperator'))]).toEqual([]);
  });

  it('fetches a group with those that it needs, once', async () => {
    const graph = graphOf('com.microsoft', 'QAttention');
    expect([...groupsOf(graph)]).toEqual([...operatorGroups.microsoft.needs!, 'microsoft']);
    const registry = await loadOperators(graph);
    expect(registry.find('com.microsoft', 'QAttention', 1)).toBeDefined();
    expect(registry.find('', 'DequantizeLinear', 21)).toBeDefined();
    expect(await loadOperators(graph)).toBe(registry);
  });

  it('looks into bodies', async () => {
    const bytes = model({
      inputs: {},
      initializers: { yes: new Tensor('bool', [true], []), x: new Tensor('string', ['a'], [1]) },
      nodes: [
        node('If', 'yes', 'y', {
          then_branch: { body: { nodes: [node('StringConcat', ['x', 'x'], 'a')], outputs: ['a'] } },
          else_branch: { body: { nodes: [node('Identity', 'x', 'b')], outputs: ['b'] } },
        }),
      ],
      outputs: ['y'],
    });
    await using session = await open(bytes);
    expect((await session.run({})).y.data).toEqual(['aa']);
  });

  it('has all of them beside operators of the caller, who may expand to any', async () => {
    const [own] = definitionsOf(basic);
    const registry = await loadOperators(graphOf('', 'Relu'), [{ ...own, domain: 'mine' }]);
    expect(registry.find('mine', own.name, own.since)).toBeDefined();
    expect(registry.find('ai.onnx.ml', 'SVMClassifier', 1)).toBeDefined();
  });
});
