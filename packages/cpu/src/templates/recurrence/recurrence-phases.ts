// The parts of a recurrence that are generated from loops: the first state, and what follows from the products of a block
// of units while they are in the cache (gates, the next state).

import {
  type Axis,
  add,
  Dim,
  dimension,
  type Expr,
  elementAt,
  elementAtOffset,
  type IndexAnalysis,
  type LoopPhase,
  type MapStage,
  min,
  mod,
  mul,
  newAxis,
  newRowBuffer,
  newTensorRef,
  type ReduceStage,
  rewrite,
  type Stage,
  type Statement,
  sub,
  substituteAxes,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { flatten, offsetIn } from '../../schedule/flatten.ts';
import { mapPhase } from '../../schedule/map.ts';
import type { ScheduledPhase } from '../../schedule/scheduled.ts';
import type { RecurrentProduct, StepPart } from './recurrent-product.ts';

/** Rows of the state that a tile takes, at most. */
export const tileRows = 32;

/** State 0, one phase for each part of it. */
export function initialPhases({ stage, states }: RecurrentProduct, analysis: IndexAnalysis): ScheduledPhase[] {
  return stage.parts.map(({ axes, initial }, part) => {
    const offset = offsetIn(analysis, states, [dimension(0), dimension(part), ...axes.map(toIndex)]);
    const value = flatten(analysis, initial, noStage);
    const phase = mapPhase(analysis, stage, axes, [{ tensor: states, offset, value }]);
    return { ...phase, name: `${stage.name}.initial`, independent: part > 0 };
  });
}

/** Sums of a tile: [row, product, unit of the block]. */
export function newSums({ blockUnits, parts }: RecurrentProduct): TensorRef {
  const most = Math.max(...parts.map(({ products }) => products.length));
  return newTensorRef('sums', 'float32', [Dim.constant(tileRows * most * blockUnits)]);
}

/**
 * One tile for each row of a block of units: [step, batch…, block, row]. Each map has a loop of its own: functions such as tanh
 * are long chains of operations, of which a processor overlaps those of several short loops' turns, but not of long ones.
 */
export function cellPhase(
  product: RecurrentProduct,
  part: StepPart,
  analysis: IndexAnalysis,
  sums: TensorRef,
): LoopPhase & { readonly stage: Stage } {
  const { stage, states, parts, kept, batch, rows, units, blockUnits } = product;
  const outer = batch.map((size) => newAxis('b', size));
  const block = newAxis('block', Math.ceil(units / blockUnits));
  const row = newAxis('row', rows);
  const lane = newAxis('lane', Math.min(blockUnits, units));
  const first = mul(toIndex(block), blockUnits);
  const here = [...outer.map(toIndex), toIndex(row), add(first, toIndex(lane))];
  const buffers = new Map<Stage, TensorRef>();
  const value = (axes: readonly Axis[], body: Expr): Expr => {
    const held = rewrite(body, (e) =>
      e.kind === 'load' && e.source === stage.state ? elementAt(states, [toIndex(stage.step), ...e.index]) : undefined,
    );
    const placed = substituteAxes(held, new Map(axes.map((axis, at) => [axis, here[at]])));
    const flat = flatten(analysis, placed, ({ source }) => {
      const which = part.products.indexOf(source as ReduceStage);
      if (which >= 0) {
        const perRow = part.products.length * blockUnits;
        const at = add(mul(mod(toIndex(row), tileRows), perRow), add(dimension(which * blockUnits), toIndex(lane)));
        return elementAtOffset(sums, at);
      }
      const buffer = buffers.get(source);
      if (buffer) return elementAtOffset(buffer, toIndex(lane));
      const tensor = kept.get(source as MapStage);
      if (!tensor) throw new TypeError(`stage ${source.name} is not computed in this part of the step`);
      return elementAtOffset(tensor, offsetIn(analysis, tensor, here));
    });
    return analysis.simplify(flat);
  };
  const isWhole = units % blockUnits === 0;
  const end = isWhole ? undefined : min(dimension(blockUnits), sub(dimension(units), first));
  const loop = { axis: lane, mode: 'vector' as const, ...(end && { begin: dimension(0), end }) };
  const body: Statement[] = [];
  const each = (...inside: Statement[]): void => {
    body.push({ kind: 'for', loops: [loop], reductions: [], body: inside });
  };
  for (const map of part.maps) {
    const tensor = newRowBuffer(map.name, map.dtype, blockUnits);
    body.push({ kind: 'alloc', tensor, scope: 'row' });
    const memory = kept.get(map);
    const stored = value(map.axes, map.body);
    each(
      { kind: 'store', tensor, offset: toIndex(lane), value: stored },
      ...(memory
        ? [{ kind: 'store' as const, tensor: memory, offset: offsetIn(analysis, memory, here), value: stored }]
        : []),
    );
    buffers.set(map, tensor);
  }
  if (part === parts[parts.length - 1]) {
    each(
      ...stage.parts.map(({ axes, next }, at): Statement => {
        const offset = offsetIn(analysis, states, [add(toIndex(stage.step), 1), dimension(at), ...here]);
        return { kind: 'store', tensor: states, offset, value: value(axes, next) };
      }),
    );
  }
  return {
    name: `${stage.name}.cells`,
    stage,
    parallel: [stage.step, ...outer, block, row],
    body,
    independent: false,
  };
}

function noStage(): never {
  throw new TypeError('the first state reads no stage');
}
