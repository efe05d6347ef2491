// Which operators of the registry a provider takes, asked without a model: what it takes and no case runs is a finding.

import type { ProviderFactory } from '@onnx-ts/core';
import { defaultRegistry, type GraphNode, hostInfo, OperatorRegistry, type Value } from '@onnx-ts/core/internal';
import type { OperatorDefinition } from '@onnx-ts/core/operators';
import type { ExecutionProvider } from '@onnx-ts/core/provider';
import { Dim, type DType } from '@onnx-ts/tensor-ir';
import { type ConformanceCase, type Judgement, Skipped } from '../result.ts';
import { operatorName } from '../subject/watch.ts';

/** @param operators the caller's own */
export function claimCase(operators: readonly OperatorDefinition[]): ConformanceCase {
  return {
    suite: 'property',
    name: 'every operator is asked about',
    run: (provider) => askAboutAll(provider, operators),
  };
}

/** Newest version of each domain. */
const opsets: Readonly<Record<string, number>> = { '': 24, 'ai.onnx.ml': 5 };

const inputForms: readonly (readonly [dtype: DType, rank: number])[] = [
  ['float32', 2],
  ['float32', 4],
  ['int64', 1],
  ['bool', 2],
];

async function askAboutAll(factory: ProviderFactory, operators: readonly OperatorDefinition[]): Promise<Judgement> {
  const device = (await factory.discover(hostInfo())).find(({ usable }) => usable);
  if (!device) throw new Skipped('there is no device');
  const provider = await factory.open(device);
  const claimed = new Set<string>();
  try {
    const own = new OperatorRegistry(operators);
    // Those that core itself makes appear in no model.
    const names = [...defaultRegistry().names(), ...own.names()].filter(({ domain }) => !domain.startsWith('onnx-ts'));
    for (const { domain, name } of names) {
      for (const [dtype, rank] of inputForms) {
        for (const count of [1, 2, 3]) {
          const node = nodeOf(domain, name, dtype, rank, count);
          node.operator = own.find(domain, name, node.opset) ?? defaultRegistry().find(domain, name, node.opset);
          if (!node.operator) continue;
          if (!node.operator.control && isTaken(provider, node)) claimed.add(operatorName(node));
        }
      }
    }
  } finally {
    await provider.dispose();
  }
  return { outcome: 'pass', reason: '', claimed: [...claimed] };
}

/** Some of the nodes are no valid ones, which providers need not expect. */
function isTaken(provider: ExecutionProvider, node: GraphNode): boolean {
  try {
    return provider.supports(node).ok;
  } catch {
    return false;
  }
}

function nodeOf(domain: string, op: string, dtype: DType, rank: number, count: number): GraphNode {
  const value = (name: string): Value => ({
    name,
    type: { kind: 'tensor', dtype, shape: Array.from({ length: rank }, () => Dim.constant(4)) },
    producer: undefined,
  });
  return {
    name: `asked about ${op}`,
    domain,
    op,
    opset: opsets[domain] ?? 1,
    inputs: Array.from({ length: count }, (_, at) => value(`x${at}`)),
    outputs: [value('y')],
    attributes: new Map(),
  };
}
