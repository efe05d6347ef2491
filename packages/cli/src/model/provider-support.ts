// What each provider would take of a prepared graph, and why not the rest.

import type { ProviderFactory } from '@onnx-ts/core';
import { assignNodes, type Graph, hostInfo } from '@onnx-ts/core/internal';
import { loadProviders } from '../providers.ts';
import { operatorName } from './prepare-tolerantly.ts';

export interface ProviderSupport {
  readonly id: string;
  /** Undefined when it cannot be used here; then `reason` says why. */
  readonly device?: string;
  readonly reason?: string;
  /** Nodes by where they would run. */
  readonly nodes: {
    readonly provider: number;
    /** Operators that every provider leaves to the host, and control flow. */
    readonly host: number;
    /** Compiled when the model runs, because their shapes depend on values. */
    readonly late: number;
    /** Sizes: they cost nothing. */
    readonly vanished: number;
  };
  readonly refused: readonly { readonly op: string; readonly nodes: number; readonly reason: string }[];
}

export function providerSupport(graph: Graph, ids: readonly string[]): Promise<ProviderSupport[]> {
  return loadProviders(ids).then((factories) => Promise.all(factories.map((factory) => supportOf(graph, factory))));
}

async function supportOf(graph: Graph, factory: ProviderFactory): Promise<ProviderSupport> {
  const { id } = factory;
  const nodes = { provider: 0, host: 0, late: 0, vanished: 0 };
  const devices = await factory.discover(hostInfo());
  const device = devices.find((candidate) => candidate.usable);
  if (!device) {
    const reason = devices.map((candidate) => candidate.reason).join('; ') || 'there is no such device';
    return { id, reason, nodes, refused: [] };
  }
  const provider = await factory.open(device, { threads: 1 });
  const refused = new Map<string, { op: string; nodes: number; reason: string }>();
  try {
    const count = (part: Graph): void => {
      for (const [node, placement] of assignNodes(part, [provider])) {
        for (const { type, value } of node.attributes.values()) {
          if (type === 'graph') count(value as Graph);
          if (type === 'graphs') (value as readonly Graph[]).forEach(count);
        }
        switch (placement.kind) {
          case 'provider':
          case 'late':
            nodes[placement.kind]++;
            break;
          case 'none':
            nodes.vanished++;
            break;
          case 'control':
            nodes.host++;
            break;
          case 'host': {
            nodes.host++;
            const isRefused = placement.reason.startsWith(`${id}: `);
            if (!isRefused) break;
            const op = operatorName(node);
            const reason = placement.reason.slice(id.length + 2);
            const entry = refused.get(`${op}: ${reason}`) ?? { op, nodes: 0, reason };
            entry.nodes++;
            refused.set(`${op}: ${reason}`, entry);
          }
        }
      }
    };
    count(graph);
  } finally {
    await provider.dispose();
  }
  const byCount = [...refused.values()].sort((a, b) => b.nodes - a.nodes);
  return { id, device: device.name, ...(device.reason && { reason: device.reason }), nodes, refused: byCount };
}
