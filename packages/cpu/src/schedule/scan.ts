// Loops of running sums and products.

import {
  binary,
  cast,
  dimension,
  type Expr,
  type IndexAnalysis,
  identityOf,
  newRegister,
  type ScanStage,
  type Statement,
  sub,
  substituteAxes,
  type TensorRef,
  toIndex,
  variableValue,
} from '@onnx-ts/tensor-ir';
import { elementCost, estimate } from './cost.ts';
import { LoopDomain } from './domain.ts';
import { flatten, offsetIn } from './flatten.ts';
import { inOrder, noStage } from './map.ts';
import { accumulatorType, tileRows } from './reduce.ts';
import type { ScheduledPhase } from './scheduled.ts';
import { serialLoops, sizeOfLoops, tileBox } from './tiles.ts';

/** Rows are independent; where the running axis is not the fastest in memory, rows lie side by side in lanes. */
export function scheduleScan(analysis: IndexAnalysis, stage: ScanStage, tensor: TensorRef): ScheduledPhase {
  const along = stage.axes[stage.along];
  const others = inOrder(stage.axes, tensor).filter((axis) => axis !== along);
  const type = accumulatorType(stage.op, stage.dtype);
  const backward = new Map([[along, sub(dimension(along.size.sub(1)), toIndex(along))]]);
  const turned = (e: Expr): Expr => (stage.reverse ? substituteAxes(e, backward) : e);
  const body = turned(cast(type, flatten(analysis, stage.body, noStage)));
  const place = turned(offsetIn(analysis, tensor, stage.axes.map(toIndex)));
  const domain = new LoopDomain([others, [along]], [body, place], analysis);
  domain.arrange();
  const [value, offset] = domain.roots;
  const [rows, running] = domain.groups;

  const total = newRegister(stage.name || stage.op, type);
  const move: Statement = {
    kind: 'set',
    variable: total,
    value: binary(stage.op === 'sum' ? 'add' : 'mul', variableValue(total), value),
  };
  const store: Statement = { kind: 'store', tensor, offset, value: cast(stage.dtype, variableValue(total)) };
  const row: Statement[] = [
    { kind: 'alloc', tensor: total, scope: 'register', initial: identityOf(stage.op, type) },
    { kind: 'for', loops: serialLoops(running), reductions: [], body: stage.exclusive ? [store, move] : [move, store] },
  ];
  const lane = rows[rows.length - 1];
  const isSideBySide = lane !== undefined && domain.coefficient(offset, lane)?.is(1) === true;
  const pointCost = 0.2 + elementCost(analysis, [value], isSideBySide ? lane : undefined);
  const points = sizeOfLoops(running);
  const base = { name: stage.name || stage.kind, stage, independent: false };
  if (!isSideBySide) return { ...base, ...tileRows(rows, row, points, 4 * pointCost) };
  const tiling = tileBox(rows.slice(0, -1), lane, pointCost * Math.max(1, estimate(points)));
  return {
    ...base,
    parallel: tiling.parallel,
    body: [{ kind: 'for', loops: tiling.loops, reductions: [], body: row }],
    cost: { points: tiling.points.mul(points), pointCost },
  };
}
