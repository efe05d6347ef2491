// Long reductions to very few results are done in two stages: over equal blocks, then over what the blocks gave. Threads can
// share the first. How many blocks there are depends on the sizes alone, so the result is the same for any number of threads.
// Where sizes are symbols, the blocks are the points of the outer axes.

import { Dim, productOf } from './dim.ts';
import { type DType, isFloat } from './dtype.ts';
import {
  type Axis,
  add,
  boundedIndex,
  cast,
  dimension,
  div,
  type Expr,
  elementAt,
  mod,
  mul,
  substituteAxes,
} from './expr.ts';
import { fewRows, isLongLane } from './fuse.ts';
import { type Program, type ReduceStage, type Source, type Stage, StageBuilder } from './stage.ts';
import { reusesOperands } from './structure.ts';
import { rebuildStage } from './substitute-stages.ts';

/** Blocks of a reduction: the divisor of its length that is nearest to the second number, not below the first. */
const fewestBlocks = 8;
const wantedBlocks = 64;

/** Elements that the inner axes must have for the outer ones to be blocks. */
const shortestBlock = 128;

/** Splits the reductions of a program that one thread would have to do alone. */
export function splitReductions(program: Program): Program {
  if (!program.stages.some((stage) => blocksOf(stage) !== undefined || outerAxesOf(stage) > 0)) return program;
  const builder = new StageBuilder();
  const replaced = new Map<Stage, Stage>();
  const replacement = (source: Stage) => {
    const found = replaced.get(source);
    return found && found !== source ? { source: found } : undefined;
  };
  for (const original of program.stages) {
    const stage = rebuildStage(original, replacement);
    const blocks = blocksOf(stage);
    const outer = outerAxesOf(stage);
    if (stage.kind !== 'reduce' || (blocks === undefined && outer === 0)) {
      builder.stages.push(stage);
      replaced.set(original, stage);
      continue;
    }
    builder.name = stage.name;
    builder.origin = stage.origin;
    if (blocks === undefined) replaced.set(original, splitAxes(builder, stage, outer));
    else replaced.set(original, isArg(stage) ? splitArg(builder, stage, blocks) : splitFold(builder, stage, blocks));
  }
  const sourceOf = (source: Source): Source => (source.kind === 'tensor' ? source : replaced.get(source)!);
  const outputs = program.outputs.map(({ tensor, source }) => ({ tensor, source: sourceOf(source) }));
  return { ...program, stages: builder.stages, outputs };
}

function isArg({ op }: ReduceStage): boolean {
  return op === 'argmax' || op === 'argmin';
}

/** Whether one thread would have to do all of it. */
function isLongAlone(stage: Stage): stage is ReduceStage {
  if (stage.kind !== 'reduce' || reusesOperands(stage)) return false;
  const results = productOf(stage.shape).constant;
  return results !== undefined && results < fewRows && isLongLane(stage.over.map((axis) => axis.size));
}

function blocksOf(stage: Stage): number | undefined {
  if (!isLongAlone(stage)) return undefined;
  const length = productOf(stage.over.map((axis) => axis.size)).constant;
  if (length === undefined) return undefined;
  let best: number | undefined;
  const distance = (count: number): number => Math.abs(Math.log2(count / wantedBlocks));
  for (let count = fewestBlocks; count <= wantedBlocks ** 2 / fewestBlocks; count++) {
    if (length % count === 0 && (best === undefined || distance(count) < distance(best))) best = count;
  }
  return best;
}

/** How many of the axes of a reduction of unknown length make blocks: as many as leave blocks that are long enough. */
function outerAxesOf(stage: Stage): number {
  if (!isLongAlone(stage) || isArg(stage)) return 0;
  const sizes = stage.over.map((axis) => axis.size);
  if (sizes.every((size) => size.constant !== undefined)) return 0;
  let inner = 1;
  let outer = sizes.length;
  while (outer > 0 && inner < shortestBlock && sizes[outer - 1].constant !== undefined)
    inner *= sizes[--outer].constant!;
  return inner >= shortestBlock ? outer : 0;
}

/** The stage's body at a place of a block, in terms of the stage's own axes replaced. */
function inBlock({ axes, over, body }: ReduceStage, kept: readonly Expr[], flat: Expr): Expr {
  const values = new Map<Axis, Expr>(axes.map((axis, at) => [axis, kept[at]]));
  let inner = Dim.constant(1);
  for (const axis of [...over].reverse()) {
    const above = div(flat, dimension(inner));
    values.set(axis, axis === over[0] ? above : mod(above, dimension(axis.size)));
    inner = inner.mul(axis.size);
  }
  return substituteAxes(body, values);
}

function lengthOfBlocks({ over }: ReduceStage, blocks: number): number {
  return productOf(over.map((axis) => axis.size)).constant! / blocks;
}

/** Narrow floats are rounded once, at the end. */
function partialType({ dtype }: ReduceStage): DType {
  return isFloat(dtype) && dtype !== 'float64' ? 'float32' : dtype;
}

function splitAxes(builder: StageBuilder, stage: ReduceStage, outer: number): Stage {
  const type = partialType(stage);
  const { axes, over } = stage;
  const sizesOf = (list: readonly Axis[]): Dim[] => list.map((axis) => axis.size);
  const [blocks, inner] = [over.slice(0, outer), over.slice(outer)];
  const partial = builder.reduce(
    stage.op,
    type,
    [...sizesOf(blocks), ...stage.shape],
    sizesOf(inner),
    (at, place) => {
      const values = new Map<Axis, Expr>([...blocks, ...axes, ...inner].map((axis, n) => [axis, [...at, ...place][n]]));
      return cast(type, substituteAxes(stage.body, values));
    },
    { name: 'blocks' },
  );
  return rounded(
    builder,
    stage,
    builder.reduce(stage.op, type, stage.shape, sizesOf(blocks), (kept, block) =>
      elementAt(partial, [...block, ...kept]),
    ),
  );
}

/** A result in float32, in the type of the stage. */
function rounded(builder: StageBuilder, { dtype, shape }: ReduceStage, whole: ReduceStage): Stage {
  return whole.dtype === dtype ? whole : builder.map(dtype, shape, (index) => cast(dtype, elementAt(whole, index)));
}

function splitFold(builder: StageBuilder, stage: ReduceStage, blocks: number): Stage {
  const type = partialType(stage);
  const length = lengthOfBlocks(stage, blocks);
  const partial = builder.reduce(
    stage.op,
    type,
    [blocks, ...stage.shape],
    [length],
    ([block, ...kept], [at]) => cast(type, inBlock(stage, kept, add(mul(block, length), at))),
    { name: 'blocks' },
  );
  const whole = builder.reduce(stage.op, type, stage.shape, [blocks], (kept, [block]) =>
    elementAt(partial, [block, ...kept]),
  );
  return rounded(builder, stage, whole);
}

function splitArg(builder: StageBuilder, stage: ReduceStage, blocks: number): Stage {
  const length = lengthOfBlocks(stage, blocks);
  const { op, shape, selectLast = false } = stage;
  const options = { selectLast };
  const within = builder.reduce(
    op,
    'int64',
    [blocks, ...shape],
    [length],
    ([block, ...kept], [at]) => inBlock(stage, kept, add(mul(block, length), at)),
    { ...options, name: 'blocks' },
  );
  const placeOf = (block: Expr, kept: readonly Expr[]): Expr =>
    boundedIndex(elementAt(within, [block, ...kept]), length, { negative: false });
  const best = builder.map(
    stage.body.type as DType,
    [blocks, ...shape],
    ([block, ...kept]) => inBlock(stage, kept, add(mul(block, length), placeOf(block, kept))),
    'best',
  );
  const winner = builder.reduce(
    op,
    'int64',
    shape,
    [blocks],
    (kept, [block]) => elementAt(best, [block, ...kept]),
    options,
  );
  return builder.map('int64', shape, (kept) => {
    const block = boundedIndex(elementAt(winner, kept), blocks, { negative: false });
    return cast('int64', add(mul(block, length), placeOf(block, kept)));
  });
}
