// What a node's attributes say, worked out once instead of in every run: tables of trees, maps of categories.

import type { AttributeValue } from '../../graph/graph.ts';
import type { NodeContext } from '../define.ts';

/** A function that remembers its result for as long as the attributes of the node live. */
export function oncePerNode<C extends NodeContext, R extends object>(build: (context: C) => R): (context: C) => R {
  const results = new WeakMap<ReadonlyMap<string, AttributeValue>, R>();
  return (context) => {
    const { attributes } = context.node;
    const known = results.get(attributes);
    if (known) return known;
    const result = build(context);
    results.set(attributes, result);
    return result;
  };
}
