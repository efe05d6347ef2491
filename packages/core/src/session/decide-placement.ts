// Which of the providers that are open run what, for one session: measures devices where that can matter.

import type { Graph } from '../graph/graph.ts';
import type { PlannedDevice } from '../partition/build-problem.ts';
import type { FusionCluster } from '../partition/fusion-clusters.ts';
import { type ModelPlacement, type PlacementRequest, placeModel } from '../partition/place-model.ts';
import { host } from '../partition/problem.ts';
import type { ExecutionProvider } from '../provider/contract.ts';
import { profileOf } from './device-profiles.ts';
import { budgetOf, placementOf, type SessionOptions } from './options.ts';

/** @throws OnnxTsError for pins that cannot be */
export async function decidePlacement(
  graph: Graph,
  providers: readonly ExecutionProvider[],
  options: SessionOptions,
  outputs: Pick<PlacementRequest, 'outputNames' | 'kept'>,
): Promise<ModelPlacement> {
  const { strategy, pins, sizes } = placementOf(options);
  const request: PlacementRequest = { strategy, pins, sizes, ...outputs };
  const devices = providers.map(
    (provider): PlannedDevice => ({
      provider,
      profile: provider.profile,
      budget: budgetOf(options, provider.id) ?? Infinity,
    }),
  );
  const known = new Map<Graph, readonly FusionCluster[]>();
  const usual = placeModel(graph, devices, request, known);
  if (strategy !== 'auto' || providers.length < 2 || isClear(usual)) return usual;
  const measured: PlannedDevice[] = [];
  // One after the other: a probe wants the machine for itself.
  for (const device of devices) {
    measured.push({ ...device, profile: await profileOf(device.provider, options.artifacts) });
  }
  return placeModel(graph, measured, request, known);
}

/** Whether one device finishes before any other has been handed its work, so that measuring cannot change the plan. */
function isClear({ graphs }: ModelPlacement): boolean {
  for (const { planning } of graphs.values()) {
    if (!planning) continue;
    const { places } = planning.problem;
    const { alone, assignment } = planning.plan;
    const used = new Set(assignment);
    used.delete(host);
    if (used.size === 0) continue;
    const [place] = used;
    const seconds = alone.find((plan) => plan.place === place)?.seconds ?? Infinity;
    const least = (other: number): number => 2 * places[other].latency + places[other].sync;
    if (used.size > 1 || places.some((_, other) => other !== host && other !== place && least(other) < 2 * seconds)) {
      return false;
    }
  }
  return true;
}
