// Loops of kernels that work row by row: softmax, normalisations. A thread takes a row, or as many rows side by side as
// there are lanes, and runs the stages one after another on it, with what they hand on kept in registers and in scratch
// memory that stays in the cache.

import type {
  Axis,
  Expr,
  ForStatement,
  IndexAnalysis,
  Kernel,
  LoopHeader,
  Reduction,
  Statement,
} from '@onnx-ts/tensor-ir';
import { elementCost, estimate, laneWaste, loadWeights } from './cost.ts';
import { LoopDomain } from './domain.ts';
import { laneLoops, tileRows } from './reduce.ts';
import { type RowPiece, type RowStep, readRows } from './row-pieces.ts';
import type { ScheduledPhase } from './scheduled.ts';
import { type RowNest, walkSideBySide } from './side-by-side.ts';
import { serialLoops, sizeOfLoops, tileBox } from './tiles.ts';

export function scheduleRows(analysis: IndexAnalysis, kernel: Kernel): ScheduledPhase[] {
  const { rows, pieces } = readRows(analysis, kernel);
  const arranged = arrange(analysis, rows, pieces);
  const stage = kernel.stages[kernel.stages.length - 1];
  const base = { name: kernel.name, stage, independent: false };
  const lane = chooseRowLane(analysis, arranged);
  const roots = arranged.pieces.flatMap(({ roots }) => roots);
  const points = arranged.pieces.reduce((sum, piece) => sum.add(sizeOfLoops(piece.axes)), sizeOfLoops([]));
  const nests = arranged.pieces.map((piece) => nestOf(analysis, piece, lane));
  const cost =
    (0.1 + elementCost(analysis, roots, lane)) / Math.max(1, pieces.filter(({ axes }) => axes.length > 0).length);
  const body = nests.flatMap(statementsOf);
  if (!lane) return [{ ...base, ...tileRows(arranged.rows, body, points, cost) }];
  const walk = walkSideBySide(lane, nests);
  if (walk) {
    const parallel = [...arranged.rows.slice(0, -1), ...walk.parallel];
    return [{ ...base, parallel, body: walk.body, cost: { points: walk.rows.mul(points), pointCost: cost } }];
  }
  const tiling = tileBox(arranged.rows.slice(0, -1), lane, cost * Math.max(1, estimate(points)));
  return [
    {
      ...base,
      parallel: tiling.parallel,
      body: [{ kind: 'for', loops: tiling.loops, reductions: [], body }],
      cost: { points: tiling.points.mul(points), pointCost: cost },
    },
  ];
}

interface ArrangedPiece extends RowPiece {
  /** The piece's expressions, in the order of its own list. */
  readonly roots: readonly Expr[];
}

function arrange(
  analysis: IndexAnalysis,
  rows: readonly Axis[],
  pieces: readonly RowPiece[],
): { rows: readonly Axis[]; pieces: readonly ArrangedPiece[] } {
  const groups = pieces.map(({ axes }) => axes);
  const domain = new LoopDomain([rows, ...groups], pieces.flatMap(rootsOf), analysis);
  domain.arrange();
  let at = 0;
  const arranged = pieces.map((piece, index) => {
    const roots = domain.roots.slice(at, at + rootsOf(piece).length);
    at += roots.length;
    return { ...piece, axes: domain.groups[index + 1], roots };
  });
  return { rows: domain.groups[0], pieces: arranged };
}

function rootsOf({ steps }: RowPiece): Expr[] {
  return steps.flatMap(expressionsOfStep);
}

function expressionsOfStep(step: RowStep): readonly Expr[] {
  switch (step.kind) {
    case 'store':
      return [step.value, step.offset];
    case 'reduce':
      return step.reduction.arg ? [step.reduction.value, step.reduction.arg.position] : [step.reduction.value];
    case 'nested':
      return [step.reduction.value, step.value, step.offset];
    case 'set':
      return [step.value];
  }
}

/** The row axis whose iterations become lanes; undefined when those of the pieces' own axes do. */
function chooseRowLane(
  analysis: IndexAnalysis,
  { rows, pieces }: { rows: readonly Axis[]; pieces: readonly ArrangedPiece[] },
): Axis | undefined {
  const row = rows[rows.length - 1];
  if (!row) return undefined;
  let [inRow, acrossRows] = [0, 0];
  for (const { axes, roots } of pieces) {
    const lane = axes[axes.length - 1];
    if (!lane) continue;
    inRow +=
      (0.5 + loadWeights(analysis, roots, lane)) * laneWaste(lane) + 12 / Math.max(1, estimate(sizeOfLoops(axes)));
    acrossRows += (0.5 + loadWeights(analysis, roots, row)) * laneWaste(row);
  }
  return acrossRows < inRow ? row : undefined;
}

interface ArrangedNest extends RowNest {
  readonly loops: readonly LoopHeader[];
}

function nestOf(analysis: IndexAnalysis, piece: ArrangedPiece, rowLane: Axis | undefined): ArrangedNest {
  const roots = [...piece.roots];
  const next = (): Expr => roots.shift()!;
  const body: Statement[] = [];
  const after: Statement[] = [];
  const reductions: Reduction[] = [];
  for (const step of piece.steps) {
    switch (step.kind) {
      case 'store':
        body.push({ kind: 'store', tensor: step.tensor, value: next(), offset: next() });
        break;
      case 'reduce': {
        const { arg } = step.reduction;
        const value = next();
        reductions.push({ ...step.reduction, value, ...(arg && { arg: { ...arg, position: next() } }) });
        break;
      }
      case 'nested': {
        const reduction = { ...step.reduction, value: next() };
        const inner: ForStatement = { kind: 'for', loops: serialLoops(step.over), reductions: [reduction], body: [] };
        body.push(...step.declare, inner, { kind: 'store', tensor: step.tensor, value: next(), offset: next() });
        break;
      }
      case 'set':
        after.push({ kind: 'alloc', tensor: step.variable, scope: 'register', initial: next() });
        break;
    }
  }
  const lane = rowLane ? undefined : chooseLane(analysis, piece);
  const loops = laneLoops(moveLast(piece.axes, lane), lane);
  return { axes: piece.axes, loops, declare: piece.declare, reductions, body, after };
}

function statementsOf({ loops, declare, reductions, body, after }: ArrangedNest): Statement[] {
  if (loops.length === 0 && reductions.length === 0) return [...declare, ...body, ...after];
  return [...declare, { kind: 'for', loops, reductions, body }, ...after];
}

/** The lane axis is the one with the most consecutive loads among the last two: it has to be the innermost loop. */
function chooseLane(analysis: IndexAnalysis, { axes, roots }: ArrangedPiece): Axis | undefined {
  const weigh = (axis: Axis): number => (0.5 + loadWeights(analysis, roots, axis)) * laneWaste(axis);
  let best = axes[axes.length - 1];
  for (const axis of axes) if (weigh(axis) < weigh(best)) best = axis;
  return best;
}

function moveLast(axes: readonly Axis[], last: Axis | undefined): Axis[] {
  return last ? [...axes.filter((axis) => axis !== last), last] : [...axes];
}
