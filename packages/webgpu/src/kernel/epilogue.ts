// What follows a sum of products: maps of its results, at the point of each result.

import {
  type Axis,
  type Kernel,
  type Load,
  loadsOf,
  type MapStage,
  type ReduceStage,
  type Stage,
} from '@onnx-ts/tensor-ir';
import type { Scope } from '../emit/scope.ts';

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
