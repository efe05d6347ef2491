// Model-local functions are inlined at import, so that everything after sees operators only.

import type { AttributeProto, FunctionProto, GraphProto, NodeProto } from '@onnx-ts/onnx-proto';
import { OnnxTsError } from '../errors.ts';

export interface InlinedNode {
  readonly proto: NodeProto;
  /** Operator sets of the function the node comes from; undefined for the model's own. */
  readonly opsets?: ReadonlyMap<string, number>;
}

const deepest = 64;
const largest = 1_000_000;

const plainDomain = (domain: string | undefined): string =>
  domain === undefined || domain === 'ai.onnx' ? '' : domain;
const keyOf = (domain: string | undefined, name: string | undefined, overload: string | undefined): string =>
  `${plainDomain(domain)}:${name ?? ''}:${overload ?? ''}`;

/**
 * Makes sure that inlining ends, and with a graph of sensible size, before it begins.
 * @throws OnnxTsError INVALID_MODEL for functions that call themselves, or each other too often
 */
export function checkCalls(nodes: readonly NodeProto[], functions: readonly FunctionProto[]): void {
  const table = tableOf(functions);
  const sizes = new Map<FunctionProto, number>();
  const onPath = new Set<FunctionProto>();
  const sizeOf = (list: readonly NodeProto[]): number => {
    let size = 0;
    for (const node of list) {
      for (const { g, graphs } of node.attribute)
        for (const body of g ? [g, ...graphs] : graphs) size += sizeOf(body.node);
      const called = table.get(keyOf(node.domain, node.opType, node.overload));
      size += called ? sizeOfFunction(called) : 1;
    }
    return size;
  };
  const sizeOfFunction = (called: FunctionProto): number => {
    const before = sizes.get(called);
    if (before !== undefined) return before;
    if (onPath.has(called)) throw new OnnxTsError('INVALID_MODEL', `the function "${called.name}" calls itself.`);
    if (onPath.size >= deepest) throw new OnnxTsError('INVALID_MODEL', `calls of functions nest over ${deepest} deep.`);
    onPath.add(called);
    const size = sizeOf(called.node);
    onPath.delete(called);
    sizes.set(called, size);
    return size;
  };
  if (functions.length > 0 && sizeOf(nodes) > largest) {
    throw new OnnxTsError('INVALID_MODEL', `inlining the functions of the model gives over ${largest} nodes.`);
  }
}

function tableOf(functions: readonly FunctionProto[]): ReadonlyMap<string, FunctionProto> {
  return new Map(functions.map((item) => [keyOf(item.domain, item.name, item.overload), item]));
}

/**
 * Replaces every call of a model-local function by the function's nodes, with fresh value names.
 * `checkCalls` must have found nothing wrong with them.
 */
export function inlineFunctions(
  nodes: readonly NodeProto[],
  functions: readonly FunctionProto[],
  opsets: ReadonlyMap<string, number>,
): readonly InlinedNode[] {
  if (functions.length === 0) return nodes.map((proto) => ({ proto }));
  const table = tableOf(functions);
  const result: InlinedNode[] = [];
  let calls = 0;
  const visit = (node: NodeProto, scopeOpsets: ReadonlyMap<string, number> | undefined): void => {
    const called = table.get(keyOf(node.domain, node.opType, node.overload));
    if (!called) {
      result.push(scopeOpsets ? { proto: node, opsets: scopeOpsets } : { proto: node });
      return;
    }
    const prefix = `${node.name || node.opType}/${calls++}/`;
    const names = new Map<string, string>();
    for (const [at, name] of called.input.entries()) names.set(name, node.input[at] ?? '');
    for (const [at, name] of called.output.entries()) if (node.output[at]) names.set(name, node.output[at]);
    const given = new Map<string, AttributeProto>();
    for (const attribute of called.attributeProto) given.set(attribute.name ?? '', attribute);
    for (const attribute of node.attribute) given.set(attribute.name ?? '', attribute);
    const inner = new Map([
      ...(scopeOpsets ?? opsets),
      ...called.opsetImport.map((entry): [string, number] => [plainDomain(entry.domain), entry.version ?? 1]),
    ]);
    for (const body of called.node) visit(instantiate(body, prefix, names, given), inner);
    // An output that is an input of the function, or of an omitted one, still needs a producer of its own name.
    for (const [at, name] of called.output.entries()) {
      const target = node.output[at];
      if (target && called.input.includes(name)) {
        const source = node.input[called.input.indexOf(name)];
        result.push({
          proto: { ...emptyNode, opType: 'Identity', name: `${prefix}Identity`, input: [source], output: [target] },
        });
      }
    }
  };
  for (const node of nodes) visit(node, undefined);
  return result;
}

const emptyNode: NodeProto = { input: [], output: [], attribute: [], metadataProps: [], deviceConfigurations: [] };

function rename(name: string, prefix: string, names: Map<string, string>): string {
  if (name === '') return '';
  let renamed = names.get(name);
  if (renamed === undefined) {
    renamed = prefix + name;
    names.set(name, renamed);
  }
  return renamed;
}

function instantiate(
  node: NodeProto,
  prefix: string,
  names: Map<string, string>,
  given: ReadonlyMap<string, AttributeProto>,
): NodeProto {
  const attribute: AttributeProto[] = [];
  for (const item of node.attribute) {
    const resolved = instantiateAttribute(item, prefix, names, given);
    if (resolved) attribute.push(resolved);
  }
  return {
    ...node,
    name: prefix + (node.name || node.opType || ''),
    input: node.input.map((name) => rename(name, prefix, names)),
    output: node.output.map((name) => rename(name, prefix, names)),
    attribute,
  };
}

function instantiateAttribute(
  item: AttributeProto,
  prefix: string,
  names: Map<string, string>,
  given: ReadonlyMap<string, AttributeProto>,
): AttributeProto | undefined {
  if (item.refAttrName) {
    const value = given.get(item.refAttrName);
    return value && { ...value, name: item.name ?? '' };
  }
  const graph = (body: GraphProto): GraphProto => {
    const inner = new Map(names);
    for (const local of [...body.input, ...body.output]) if (local.name) inner.delete(local.name);
    for (const input of body.input) if (input.name) inner.set(input.name, prefix + input.name);
    for (const tensor of body.initializer) if (tensor.name) inner.set(tensor.name, prefix + tensor.name);
    const local = new Set(body.node.flatMap((node) => node.output));
    for (const name of local) if (name) inner.set(name, prefix + name);
    return {
      ...body,
      input: body.input.map((info) => ({ ...info, name: rename(info.name ?? '', prefix, inner) })),
      initializer: body.initializer.map((tensor) => ({ ...tensor, name: rename(tensor.name ?? '', prefix, inner) })),
      node: body.node.map((node) => instantiate(node, prefix, inner, given)),
      output: body.output.map((info) => ({
        ...info,
        name: local.has(info.name ?? '')
          ? prefix + info.name
          : (names.get(info.name ?? '') ?? rename(info.name ?? '', prefix, inner)),
      })),
    };
  };
  return {
    ...item,
    ...(item.g && { g: graph(item.g) }),
    ...(item.graphs.length > 0 && { graphs: item.graphs.map(graph) }),
  };
}
