// Which operators a test case is about.

import type { GraphProto, ModelProto, NodeProto } from '@onnx-ts/onnx-proto';

/** An operator as a model uses it. */
export interface UsedOperator {
  /** Empty for the operators of ONNX itself. */
  readonly domain: string;
  readonly name: string;
  /** Version of the operator set that the model imports. */
  readonly opset: number;
}

/**
 * The operator of a model's only node; for graphs of several nodes, each operator once. Bodies of control flow do not
 * count: cases about an operator inside a loop are cases about the loop. Calls of a model's own functions stand for the
 * function's nodes.
 */
export function operatorsOf(model: ModelProto): UsedOperator[] {
  const functions = new Map(model.functions.map((item) => [`${normalDomain(item.domain)}:${item.name}`, item]));
  const found = new Map<string, UsedOperator>();
  const visited = new Set<string>();
  const visit = (nodes: readonly NodeProto[], opsets: ReadonlyMap<string, number>): void => {
    for (const node of nodes) {
      const domain = normalDomain(node.domain);
      const key = `${domain}:${node.opType}`;
      const body = functions.get(key);
      if (!body) found.set(key, { domain, name: node.opType ?? '', opset: opsets.get(domain) ?? 1 });
      else if (!visited.has(key)) {
        visited.add(key);
        visit(body.node, opsetsOf(body.opsetImport));
      }
    }
  };
  visit((model.graph as GraphProto | undefined)?.node ?? [], opsetsOf(model.opsetImport));
  return [...found.values()];
}

function opsetsOf(imports: ModelProto['opsetImport']): Map<string, number> {
  return new Map(imports.map(({ domain, version }) => [normalDomain(domain), Number(version ?? 1)]));
}

function normalDomain(domain: string | undefined): string {
  return domain === undefined || domain === 'ai.onnx' ? '' : domain;
}
