// Loops of scatter: fill the result, then write to the places that data names.

import {
  type Axis,
  add,
  axesOf,
  binary,
  constant,
  Dim,
  dimension,
  type Expr,
  elementAtOffset,
  type IndexAnalysis,
  type LoopHeader,
  type ScatterStage,
  type Statement,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { elementCost } from './cost.ts';
import { coefficientIn, LoopDomain } from './domain.ts';
import { flatten, offsetIn } from './flatten.ts';
import { inOrder, mapPhase, noStage } from './map.ts';
import type { ScheduledPhase } from './scheduled.ts';
import { serialLoops, sizeOfLoops } from './tiles.ts';

const combining = { sum: 'add', prod: 'mul', max: 'max', min: 'min' } as const;

export function scheduleScatter(analysis: IndexAnalysis, stage: ScatterStage, tensor: TensorRef): ScheduledPhase[] {
  const initial = flatten(analysis, stage.initial, noStage);
  const { kept } = stage;
  const index = stage.initialAxes.map((axis, at) =>
    kept?.along === at ? add(toIndex(axis), dimension(kept.length)) : toIndex(axis),
  );
  const offset = offsetIn(analysis, tensor, index);
  const fill = mapPhase(analysis, stage, inOrder(stage.initialAxes, tensor), [{ tensor, offset, value: initial }]);
  const copied = copiedTensor(analysis, initial, offset);
  return [{ ...fill, ...(copied && { copyOf: copied }) }, updates(analysis, stage, tensor)];
}

/** The tensor of which the result starts as an exact copy. */
function copiedTensor(analysis: IndexAnalysis, initial: Expr, offset: Expr): TensorRef | undefined {
  if (initial.kind !== 'load' || initial.guard || initial.source.kind !== 'tensor') return undefined;
  return analysis.numbers.of(initial.index[0]) === analysis.numbers.of(offset) ? initial.source : undefined;
}

/**
 * Updates of one place keep their order. Along an axis that is by itself an index of the place, updates never meet, so
 * those axes may run in parallel and in lanes; the others run one after another.
 */
function updates(analysis: IndexAnalysis, stage: ScatterStage, tensor: TensorRef): ScheduledPhase {
  const flat = (e: Expr): Expr => flatten(analysis, e, noStage);
  const destination = stage.destination.map((e) => analysis.simplify(flat(e)));
  const apart = stage.axes.filter((axis) => destination.some((e) => isApart(analysis, e, axis)));
  const serial = stage.axes.filter((axis) => !apart.includes(axis));
  const offset = offsetIn(analysis, tensor, destination);
  const guard = stage.guard ? flat(stage.guard) : constant('bool', true);
  const domain = new LoopDomain([apart, serial], [flat(stage.body), offset, guard], analysis);
  domain.arrange();
  const [value, place, condition] = domain.roots;
  const [free, ordered] = domain.groups;
  const lane = free.find((axis) => coefficientIn(analysis, place, axis)?.is(1) && !axesOf(condition).has(axis));
  const parallel = free.filter((axis) => axis !== lane);
  const loops: LoopHeader[] = [...serialLoops(ordered), ...(lane ? [{ axis: lane, mode: 'vector' as const }] : [])];
  const before = elementAtOffset(tensor, place);
  const combined = stage.combine === 'set' ? value : binary(combining[stage.combine], before, value);
  const store: Statement = { kind: 'store', tensor, offset: place, value: combined };
  const guarded: Statement[] = stage.guard ? [{ kind: 'if', condition, body: [store] }] : [store];
  return {
    name: stage.name || stage.kind,
    stage,
    independent: false,
    parallel,
    body: loops.length > 0 ? [{ kind: 'for', loops, reductions: [], body: guarded }] : guarded,
    cost: {
      points: sizeOfLoops([...ordered, ...(lane ? [lane] : [])]),
      pointCost: 0.3 + elementCost(analysis, [value], lane),
    },
  };
}

/** True when the index is c · axis + something that no other axis is part of, c ≠ 0. */
function isApart(analysis: IndexAnalysis, index: Expr, axis: Axis): boolean {
  const { terms } = analysis.formOf(index);
  return (
    terms.length === 1 &&
    terms[0].atom.kind === 'axis' &&
    terms[0].atom.axis === axis &&
    terms[0].coefficient.constant !== undefined &&
    !terms[0].coefficient.equals(Dim.constant(0))
  );
}
