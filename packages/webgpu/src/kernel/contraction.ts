// Sums of products with the maps of their results: in tiles where the factors have axes of their own, otherwise one
// invocation for each result.

import type { Axis, Kernel, Load, MapStage, ReduceStage, Stage } from '@onnx-ts/tensor-ir';
import { loadsOf } from '@onnx-ts/tensor-ir';
import type { Scope, StageReader } from '../emit/scope.ts';
import { countOf, type Dispatch, perInvocation, unravel } from './dispatch.ts';
import { reduceSerially } from './reduction.ts';
import { dispatchTiles, readTiling } from './tiled-contraction.ts';

export function dispatchContraction(kernel: Kernel): Dispatch[] {
  const tiling = readTiling(kernel);
  if (tiling) return [dispatchTiles(kernel, tiling)];
  const [head, ...maps] = kernel.stages as readonly [ReduceStage, ...MapStage[]];
  const values = new Map<Stage, string>();
  const read: StageReader = (load) => values.get(load.source)!;
  const body = (scope: Scope, point: string): void => {
    unravel(scope, head.axes, point);
    values.set(head, reduceSerially(scope, head));
    emitEpilogue(scope, kernel, head, maps, values);
  };
  return [perInvocation(countOf(head.axes), body, read, head.origin, kernel.outputs.length)];
}

/** Stores the results of the first stage and of the maps after it at the point whose axes have their values. */
export function emitEpilogue(
  scope: Scope,
  kernel: Kernel,
  head: ReduceStage,
  maps: readonly MapStage[],
  values: Map<Stage, string>,
): void {
  store(scope, kernel, head, head.axes, values);
  for (const map of maps) {
    bindFromReads(scope, map);
    scope.origin = map.origin;
    values.set(map, scope.value(map.body));
    store(scope, kernel, map, map.axes, values);
  }
}

function store(scope: Scope, kernel: Kernel, stage: Stage, axes: readonly Axis[], values: Map<Stage, string>): void {
  for (const output of kernel.outputs) {
    if (output.stage !== stage) continue;
    const offset = scope.offsetOf(
      stage.shape,
      axes.map((axis) => scope.axis(axis)),
    );
    scope.write(output.tensor, offset, values.get(stage)!);
  }
}

/** The axes of a map of another stage's elements, from those of the stage that it reads. */
function bindFromReads(scope: Scope, map: MapStage): void {
  for (const axis of map.axes) if (axis.size.is(1)) scope.bindAxis(axis, '0i');
  const load = loadsOf(map.body).find((e): e is Load & { source: Stage } => e.source.kind !== 'tensor')!;
  const source = load.source as ReduceStage | MapStage;
  for (const [at, index] of load.index.entries()) {
    if (index.kind === 'axis') scope.bindAxis(index.axis, scope.axis(source.axes[at]));
  }
}
