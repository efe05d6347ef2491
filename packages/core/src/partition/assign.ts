// Placement: which nodes vanish into sizes, which run on the host, and which provider takes the rest.

import { type DType, productOf } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from '../graph/graph.ts';
import { operandsOf } from '../graph/traverse.ts';
import { collectSymbols, isNumberTensor } from '../graph/types.ts';
import { contentsOf, placeOf } from '../ops/context.ts';
import type { ExecutionProvider } from '../provider/contract.ts';
import { SupportTable } from './support.ts';

/**
 * Why a node runs on the host: the operator is one of the host, its types are, the work is too small for a device, or no
 * provider takes it.
 */
export type HostCause = 'operator' | 'types' | 'small' | 'unsupported';

export interface AssignOptions {
  /** Small integer work goes to providers too: for testing them. */
  readonly everythingOnProviders?: boolean;
}

/**
 * - `none`: every output is known from sizes alone;
 * - `host`: a host operator, or small integer work that is not worth a device;
 * - `control`: core drives the bodies;
 * - `late`: shapes depend on values: compiled when they are there;
 * - otherwise the provider with that index.
 */
export type Placement =
  | { readonly kind: 'none' }
  | { readonly kind: 'host'; readonly cause: HostCause; readonly reason: string }
  | { readonly kind: 'control' }
  | { readonly kind: 'late'; readonly reason: string }
  | { readonly kind: 'provider'; readonly provider: number };

/** Elements up to which integer work stays on the host when its inputs are there. */
const smallCount = 64;

const sizeTypes = new Set<DType>(['int64', 'int32', 'bool']);

function isKnown(value: Value | undefined): boolean {
  return value === undefined || value.constant !== undefined || value.contents !== undefined;
}

function hasShape(value: Value | undefined): boolean {
  return value === undefined || (value.type?.kind === 'tensor' && value.type.shape !== undefined);
}

/** Known to be something that lives on the host only. Complex numbers are left to those who can. */
function isHostValue(value: Value | undefined): boolean {
  const type = value?.type;
  return type !== undefined && (type.kind !== 'tensor' || type.dtype === 'string');
}

function isComplex(value: Value | undefined): boolean {
  return value?.type?.kind === 'tensor' && !isNumberTensor(value.type);
}

function isSmallInteger(value: Value | undefined): boolean {
  if (value === undefined) return true;
  if (value.type?.kind !== 'tensor' || !value.type.shape || !sizeTypes.has(value.type.dtype)) return false;
  const count = productOf(value.type.shape).constant;
  return count !== undefined && count <= smallCount;
}

/**
 * Placement of every node of a graph whose types are inferred and whose composites are expanded: on the first provider
 * that takes it. See place-graph.ts for better choices.
 */
export function assignNodes(
  graph: Graph,
  providers: readonly ExecutionProvider[] | SupportTable,
  options: AssignOptions = {},
): Map<GraphNode, Placement> {
  const supports = providers instanceof SupportTable ? providers : new SupportTable(providers);
  const placements = new Map<GraphNode, Placement>();
  const onHost = new Set<Value>(graph.inputs);
  /** Sizes that have a value before the node runs. */
  const bound = new Set<string>();
  for (const value of [...graph.inputs, ...graph.captures]) addSymbols(value, bound);
  for (const node of graph.nodes) {
    let placement = placeNode(node, supports, onHost, options);
    // Providers are told all sizes; they cannot find one out.
    const isNew = (name: string): boolean => name.includes('#') && !bound.has(name);
    if (placement.kind === 'provider' && [...outputSymbols(node)].some(isNew)) {
      placement = { kind: 'late', reason: 'the sizes of its results depend on values' };
    }
    placements.set(node, placement);
    if (placement.kind === 'provider') continue;
    for (const output of node.outputs) {
      if (!output) continue;
      onHost.add(output);
      if (placement.kind !== 'none') addSymbols(output, bound);
    }
  }
  return placements;
}

function placeNode(
  node: GraphNode,
  supports: SupportTable,
  onHost: ReadonlySet<Value>,
  options: AssignOptions,
): Placement {
  const definition = node.operator!;
  if (definition.control) return { kind: 'control' };
  if (!definition.nondeterministic && node.outputs.every(isKnown)) return { kind: 'none' };
  const operands = operandsOf(node);
  const values = [...operands, ...node.outputs];
  const hasShapes = node.inputs.every(hasShape) && node.outputs.every(hasShape);
  // A kernel written for an operator comes before what the operator means in general.
  const special = definition.lower ? undefined : hasShapes && supports.first(node);
  if (special !== undefined && special !== false) return { kind: 'provider', provider: special };
  if (definition.evaluate) return { kind: 'host', cause: 'operator', reason: 'this operator runs on the host' };
  if (values.some(isHostValue)) {
    return { kind: 'host', cause: 'types', reason: 'strings, sequences and optionals stay on the host' };
  }
  if (definition.evaluateOnHost && values.some(isComplex)) {
    return { kind: 'host', cause: 'types', reason: 'complex numbers are computed on the host' };
  }
  if (definition.providerOnly) {
    throw new OnnxTsError(
      'UNSUPPORTED',
      'only a provider with a kernel for this operator can run it, and none was given.',
      {
        place: placeOf(node),
      },
    );
  }
  if (!hasShapes) return { kind: 'late', reason: 'its shapes depend on values' };
  if (definition.expand) return { kind: 'late', reason: 'it could not be expanded before the run' };
  for (const at of definition.valueInputs ?? []) {
    if (node.inputs[at] && !contentsOf(node.inputs[at]) && !node.inputs[at].constant) {
      return { kind: 'late', reason: `input ${at} is known only when the model runs` };
    }
  }
  const isOnHost = (value: Value): boolean => isKnown(value) || onHost.has(value);
  if (
    !options.everythingOnProviders &&
    node.outputs.every(isSmallInteger) &&
    operands.every(isSmallInteger) &&
    operands.every(isOnHost)
  ) {
    return { kind: 'host', cause: 'small', reason: 'a few integers that are on the host already' };
  }
  const found = supports.first(node);
  if (found !== undefined) return { kind: 'provider', provider: found };
  const reasons = supports.providers.map((provider, at) => {
    const support = supports.of(node, at);
    return `${provider.id}: ${support.ok ? '' : support.reason}`;
  });
  return { kind: 'host', cause: 'unsupported', reason: reasons.join('; ') || 'no provider is open' };
}

/** One step of a plan: nodes that run together, in an order that respects what they read. */
export interface Cluster {
  readonly placement: Exclude<Placement, { kind: 'none' }>;
  readonly nodes: readonly GraphNode[];
}

const keyOf = (placement: Placement): string =>
  placement.kind === 'provider' ? `provider ${placement.provider}` : placement.kind;

/**
 * Groups neighbours with the same placement, which is what partition/simulate.ts calls segments. Tasks join the first group
 * of their placement that comes after everything they read, so that host work in between does not cut a provider's
 * partition more than it must.
 * @param tasks all nodes that are placed, in parts that stay together, each after those that it reads from
 */
export function clusterNodes(
  graph: Graph,
  placements: ReadonlyMap<GraphNode, Placement>,
  tasks: readonly (readonly GraphNode[])[] = graph.nodes.map((node) => [node]),
): Cluster[] {
  const levels = new Map<Value, number>();
  /** First level at which a size has a value, for sizes that a run finds out. */
  const known = new Map<string, number>();
  const inputSymbols = new Set<string>();
  for (const value of [...graph.inputs, ...graph.captures]) addSymbols(value, inputSymbols);
  const groups: { key: string; placement: Cluster['placement']; nodes: GraphNode[] }[][] = [];
  for (const nodes of tasks) {
    const placement = placements.get(nodes[0])!;
    if (placement.kind === 'none') continue;
    const key = keyOf(placement);
    let level = 0;
    for (const node of nodes) {
      for (const operand of operandsOf(node)) {
        const producer = operand.producer && placements.get(operand.producer);
        if (!producer || producer.kind === 'none' || !levels.has(operand)) continue;
        // Reading from a group of the same kind is free; anything else needs a later level.
        const same = producer.kind === 'provider' && keyOf(producer) === key;
        level = Math.max(level, levels.get(operand)! + (same ? 0 : 1));
      }
      if (known.size > 0) for (const name of symbolsOf(node)) level = Math.max(level, known.get(name) ?? 0);
    }
    for (const node of nodes) {
      for (const output of node.outputs) if (output) levels.set(output, level);
      if (placement.kind === 'provider') continue;
      for (const name of outputSymbols(node)) {
        if (!known.has(name) && !inputSymbols.has(name)) known.set(name, level + 1);
      }
    }
    groups[level] ??= [];
    const group = groups[level].find((candidate) => candidate.key === key && placement.kind === 'provider');
    if (group) group.nodes.push(...nodes);
    else groups[level].push({ key, placement, nodes: [...nodes] });
  }
  return groups.flat();
}

function outputSymbols(node: GraphNode): Set<string> {
  const symbols = new Set<string>();
  for (const output of node.outputs) addSymbols(output, symbols);
  return symbols;
}

/** Sizes that a node's work depends on. */
function symbolsOf(node: GraphNode): Set<string> {
  const symbols = outputSymbols(node);
  for (const operand of operandsOf(node)) addSymbols(operand, symbols);
  return symbols;
}

function addSymbols(value: Value | undefined, into: Set<string>): void {
  collectSymbols(value?.type, into);
  for (const dim of value?.contents ?? []) dim.symbols(into);
}
