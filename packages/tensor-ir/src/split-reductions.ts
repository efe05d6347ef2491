// Long reductions to very few results are done in two stages: over equal blocks, then over what the blocks gave. Threads can
// share the first. How many blocks there are depends on the sizes alone, so the result is the same for any number of threads.

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
import { fewRows, longLane } from './fuse.ts';
import { type Program, type ReduceStage, type Source, type Stage, StageBuilder } from './stage.ts';
import { reusesOperands } from './structure.ts';
import { rebuildStage } from './substitute-stages.ts';

/** Blocks of a reduction: the divisor of its length that is nearest to the second number, not below the first. */
const fewestBlocks = 8;
const wantedBlocks = 64;

/** Splits the reductions of a program that one thread would have to do alone. Sizes must be known. */
export function splitReductions(program: Program): Program {
  if (!program.stages.some((stage) => blocksOf(stage) !== undefined)) return program;
  const builder = new StageBuilder();
  const replaced = new Map<Stage, Stage>();
  const replacement = (source: Stage) => {
    const found = replaced.get(source);
    return found && found !== source ? { source: found } : undefined;
  };
  for (const original of program.stages) {
    const stage = rebuildStage(original, replacement);
    const blocks = blocksOf(stage);
    if (stage.kind !== 'reduce' || blocks === undefined) {
      builder.stages.push(stage);
      replaced.set(original, stage);
      continue;
    }
    builder.name = stage.name;
    builder.origin = stage.origin;
    replaced.set(
      original,
      stage.op === 'argmax' || stage.op === 'argmin'
        ? splitArg(builder, stage, blocks)
        : splitFold(builder, stage, blocks),
    );
  }
  const sourceOf = (source: Source): Source => (source.kind === 'tensor' ? source : replaced.get(source)!);
  const outputs = program.outputs.map(({ tensor, source }) => ({ tensor, source: sourceOf(source) }));
  return { ...program, stages: builder.stages, outputs };
}

function blocksOf(stage: Stage): number | undefined {
  if (stage.kind !== 'reduce' || reusesOperands(stage)) return undefined;
  const results = productOf(stage.shape).constant;
  const length = productOf(stage.over.map((axis) => axis.size)).constant;
  if (results === undefined || results >= fewRows || length === undefined || length < longLane) return undefined;
  let best: number | undefined;
  const distance = (count: number): number => Math.abs(Math.log2(count / wantedBlocks));
  for (let count = fewestBlocks; count <= wantedBlocks ** 2 / fewestBlocks; count++) {
    if (length % count === 0 && (best === undefined || distance(count) < distance(best))) best = count;
  }
  return best;
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

function splitFold(builder: StageBuilder, stage: ReduceStage, blocks: number): Stage {
  // Narrow floats are rounded once, at the end.
  const type: DType = isFloat(stage.dtype) && stage.dtype !== 'float64' ? 'float32' : stage.dtype;
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
  return type === stage.dtype
    ? whole
    : builder.map(stage.dtype, stage.shape, (index) => cast(stage.dtype, elementAt(whole, index)));
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
