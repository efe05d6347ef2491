// Prepares a model for tests: every pass is followed by the verifier.

import type { Graph } from '../graph/graph.ts';
import { verifyGraph } from '../graph/verify.ts';
import { importModel } from '../onnx/import-model.ts';
import { defaultRegistry } from '../ops/registry.ts';
import { type PrepareOptions, prepareGraph } from '../passes/prepare-graph.ts';
import { HostEvaluator } from '../session/host-evaluator.ts';
import { decodedModel, type ModelSpec } from './build-model.ts';

export function importSpec(spec: ModelSpec) {
  const imported = importModel(decodedModel(spec));
  verifyGraph(imported.graph);
  return imported;
}

/** The graph that a session would place. */
export function prepared(spec: ModelSpec, options: Partial<PrepareOptions> = {}): Graph {
  const { graph, fresh } = importSpec(spec);
  const registry = defaultRegistry();
  prepareGraph(graph, {
    registry,
    fresh,
    evaluator: new HostEvaluator(registry),
    onPass: (_pass, part) => verifyGraph(part, { typed: true }),
    ...options,
  });
  return graph;
}
