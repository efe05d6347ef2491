// Sums of products with the maps of their results: scheduled where the factors have axes of their own, otherwise one
// invocation for each result.

import type { Kernel, MapStage, ReduceStage, Stage } from '@onnx-ts/tensor-ir';
import type { Scope, StageReader } from '../emit/scope.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { countOf, type Dispatch, perInvocation, unravel } from './dispatch.ts';
import { emitEpilogue } from './epilogue.ts';
import { dispatchSharedSums } from './product/emit-shared-sums.ts';
import { dispatchWorkgroupTiles } from './product/emit-workgroup-tiles.ts';
import { readProduct } from './product/read-product.ts';
import { type ProductSchedule, scheduleProduct } from './product/schedule-product.ts';
import { reduceSerially } from './reduction.ts';
import { dispatchTiles, readTiling } from './tiled-contraction.ts';

export function dispatchContraction(kernel: Kernel, target: ShaderTarget): Dispatch[] {
  if (target.isSoftware) {
    const tiling = readTiling(kernel);
    return [tiling ? dispatchTiles(kernel, tiling, target) : dispatchEach(kernel, target)];
  }
  const product = readProduct(kernel);
  if (!product || (product.rows.length === 0 && product.columns.length === 0)) return [dispatchEach(kernel, target)];
  const emit = (schedule: ProductSchedule): Dispatch =>
    schedule.kind === 'sums'
      ? dispatchSharedSums(kernel, product, schedule, target)
      : dispatchWorkgroupTiles(kernel, product, schedule, target);
  return scheduleProduct(product).map(({ schedule, applies }) => {
    const dispatch = emit(schedule);
    return applies ? { ...dispatch, workgroups: dispatch.workgroups.mul(applies) } : dispatch;
  });
}

function dispatchEach(kernel: Kernel, target: ShaderTarget): Dispatch {
  const [head, ...maps] = kernel.stages as readonly [ReduceStage, ...MapStage[]];
  const values = new Map<Stage, string>();
  const read: StageReader = (load) => values.get(load.source)!;
  const body = (scope: Scope, point: string): void => {
    unravel(scope, head.axes, point);
    values.set(head, reduceSerially(scope, head));
    emitEpilogue(scope, kernel, head, maps, values);
  };
  const generic = { ...target, genericSizes: true };
  return perInvocation(generic, countOf(head.axes), body, read, head.origin, kernel.outputs.length);
}
