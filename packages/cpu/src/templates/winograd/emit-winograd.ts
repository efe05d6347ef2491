// The function around Winograd's transforms: blocks of tiles, this thread's scratch memory, and the calls of the generated
// parts (see ../block-phases.ts).

import {
  type Axis,
  add,
  Dim,
  dimension,
  type Expr,
  elementAtOffset,
  IndexAnalysis,
  type LoopHeader,
  type LoopPhase,
  min,
  mul,
  newAxis,
  newTensorRef,
  sub,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { ArgumentWords } from '../../kernel/argument-words.ts';
import { type CompiledKernel, errorReporter } from '../../kernel/compile-kernel.ts';
import { emitPhase } from '../../kernel/emit-phase.ts';
import type { ErrorSite } from '../../kernel/plan.ts';
import { kernelParams } from '../../runtime/driver.ts';
import { FunctionBuilder, type Local } from '../../wasm/function.ts';
import type { FunctionRef } from '../../wasm/types.ts';
import type { BlockTarget } from '../block-loop.ts';
import { fillOffset, newTable, rowLets, storeResult, tablePhase } from '../block-phases.ts';
import { blockColumns, defineMicroKernel, turnRows } from '../micro-kernel.ts';
import {
  type BlockSizes,
  defineImageTransform,
  defineResultTransform,
  elementsOf,
  emitProducts,
  floatBytes,
} from './emit-transforms.ts';
import { tileCount, type Winograd } from './winograd.ts';

/** The most tiles of a block: rows of the products between transforms, whole turns of the micro-kernel. */
const mostTiles = 24;

/** Columns that share a transformed image, where there are too few blocks for all threads. */
const fewestGroupColumns = 128;
const wantedItems = 8;

/** Nanoseconds for a multiplication, transforms included. */
const pointNanoseconds = 0.05;

interface Cut extends BlockSizes {
  /** Columns that one item computes: a multiple of `blockColumns`, or all. */
  readonly groupColumns: number;
  readonly groups: number;
  readonly blocks: Dim;
}

export function compileWinograd(winograd: Winograd, target: BlockTarget): CompiledKernel {
  const { maps, zeros, image } = winograd;
  const analysis = new IndexAnalysis();
  const cut = cutBlocks(winograd);
  const table = newTable(Dim.constant(elementsOf(maps)), 1, 0);
  const block = newTensorRef('block', 'float32', [Dim.constant(maps.size ** 2 * blockColumns)]);
  const words = new ArgumentWords();
  const errorSites: ErrorSite[] = [];
  const define = (phase: LoopPhase) => {
    const reporter = errorReporter(target.reportError);
    const { f, scratchBytes } = emitPhase(phase, { analysis, words, errorSites, reporter, helpers: target.helpers });
    return { ref: target.module.define(f), scratchBytes };
  };
  const tile = define(
    tablePhase({ ...winograd, batch: [] }, analysis, {
      load: image,
      taps: winograd.tile,
      fixed: [winograd.channel],
      table,
      turnRows: 1,
    }),
  );
  const epilogue = define(tileEpilogue(winograd, analysis, block));
  const parts: Parts = {
    table: tile.ref,
    epilogue: epilogue.ref,
    image: defineImageTransform(target, cut),
    result: defineResultTransform(target, cut),
    products: target.module.define(emitProducts(cut, microKernels(winograd, cut, target))),
  };
  const tensors = { operand: image.source as TensorRef, weights: winograd.weights.transformed, zeros, table, block };
  const main = emitBlocks(winograd, cut, parts, words, tensors);
  return {
    phases: [
      {
        function: target.module.define(main.f),
        tiles: cut.blocks.mul(cut.groups),
        tilePoints: Dim.constant(elementsOf(maps) * cut.channels * cut.groupColumns).mul(
          tileCount(winograd).min(cut.tiles),
        ),
        pointNanoseconds,
        barrier: true,
      },
    ],
    // The function fills in what belongs to its thread.
    words: words.words.map((word) => {
      const isLocal = word.kind === 'tensor' && (word.tensor === table || word.tensor === block);
      const isFilledIn = word.kind === 'dim' && word.dim.equals(fillOffset);
      return isLocal || isFilledIn ? { kind: 'dim', dim: Dim.constant(0) } : word;
    }),
    scratchBytes: tile.scratchBytes.max(epilogue.scratchBytes).add(main.scratchBytes),
    errorSites,
  };
}

function cutBlocks(winograd: Winograd): Cut {
  const { maps, weights } = winograd;
  const { columns, channels, panelWidth } = weights;
  const count = tileCount(winograd);
  const most = count.constant ?? Infinity;
  // Blocks of about the same size, in whole turns.
  const even = most === Infinity ? mostTiles : Math.ceil(most / Math.ceil(most / mostTiles));
  const tiles = Math.ceil(even / turnRows.float32) * turnRows.float32;
  const blocks = count.ceilDiv(tiles);
  const wanted = Math.ceil(wantedItems / (blocks.constant ?? wantedItems));
  const parts = Math.max(1, Math.min(wanted, Math.floor(columns / fewestGroupColumns)));
  const groupColumns = Math.min(columns, Math.ceil(columns / parts / blockColumns) * blockColumns);
  return {
    maps,
    tiles,
    channels,
    columns,
    panelWidth,
    blocks,
    groupColumns,
    groups: Math.ceil(columns / groupColumns),
  };
}

/** One for each number of rows that can occur. */
function microKernels(
  winograd: Winograd,
  { tiles, panelWidth: width }: Cut,
  { module, relaxedSimd }: BlockTarget,
): ReadonlyMap<number, FunctionRef> {
  const most = turnRows.float32;
  const count = tileCount(winograd).constant;
  const needed = new Set<number>();
  if (count === undefined) for (let rows = 1; rows <= most; rows++) needed.add(rows);
  else {
    if (count >= most) needed.add(most);
    const last = (count % tiles) % most;
    if (last > 0) needed.add(last);
  }
  const options = { arithmetic: 'float32', panel: 'float32', relaxed: relaxedSimd, width } as const;
  return new Map([...needed].map((rows) => [rows, defineMicroKernel(module, rows, options)]));
}

/** One tile for each tile of a column block: writes its pixels to the result. */
function tileEpilogue(winograd: Winograd, analysis: IndexAnalysis, block: TensorRef): LoopPhase {
  const { maps, head, rows, batch, column, points, tiles } = winograd;
  const columns = newAxis('block', column.size.ceilDiv(blockColumns));
  const row = newAxis('row', tileCount(winograd));
  const lane = newAxis('lane', Math.min(blockColumns, column.size.constant!));
  const first = mul(toIndex(columns), blockColumns);
  const pixel = points.map((axis) => newAxis(axis.name, maps.size)) as [Axis, Axis];
  const positions = new Map<Axis, Expr>(batch.map((axis) => [axis, dimension(0)]));
  for (const axis of rows) positions.set(axis, toIndex(axis));
  positions.set(column, add(first, toIndex(lane)));
  const loops = points.map((axis, side): LoopHeader => {
    const corner = mul(toIndex(tiles[side]), maps.size);
    positions.set(axis, add(corner, toIndex(pixel[side])));
    const end = min(dimension(maps.size), sub(dimension(axis.size), corner));
    const isWhole = axis.size.isMultipleOf(maps.size);
    return { axis: pixel[side], mode: 'serial', ...(!isWhole && { begin: dimension(0), end }) };
  });
  const at = add(mul(toIndex(pixel[0]), maps.size), toIndex(pixel[1]));
  const result = elementAtOffset(block, add(mul(at, blockColumns), toIndex(lane)));
  const isWhole = column.size.isMultipleOf(blockColumns) || column.size.constant! < blockColumns;
  const end = min(dimension(blockColumns), sub(dimension(column.size), first));
  const lanes: LoopHeader = { axis: lane, mode: 'vector', ...(!isWhole && { begin: dimension(0), end }) };
  const store = storeResult(winograd, analysis, positions, result);
  const body = { kind: 'for', loops: [lanes], reductions: [], body: [store] } as const;
  return {
    name: `${head.name}.epilogue`,
    parallel: [columns, row],
    body: [...rowLets(rows, row), { kind: 'for', loops, reductions: [], body: [body] }],
    independent: false,
  };
}

type Parts = Readonly<Record<'table' | 'epilogue' | 'image' | 'result' | 'products', FunctionRef>>;

function emitBlocks(
  winograd: Winograd,
  cut: Cut,
  parts: Parts,
  words: ArgumentWords,
  tensors: Readonly<Record<'operand' | 'weights' | 'table' | 'block', TensorRef>> & { readonly zeros?: TensorRef },
): { f: FunctionBuilder; scratchBytes: number } {
  const { maps, tiles, channels, columns, panelWidth, groupColumns } = cut;
  const f = new FunctionBuilder(`${winograd.head.name}.winograd`, kernelParams);
  const [args, begin, end, scratch] = f.params;
  const operandAt = words.tensor(tensors.operand);
  const weightsAt = words.tensor(tensors.weights);
  const tableAt = words.tensor(tensors.table);
  const blockAt = words.tensor(tensors.block);
  const fillAt = tensors.zeros && words.tensor(tensors.zeros);
  const fillOffsetAt = tensors.zeros && words.dim(fillOffset);
  const countAt = words.dim(tileCount(winograd));
  const blocksAt = words.dim(cut.blocks);
  // Scratch: the arguments with this thread's addresses, then what the parts hand to each other.
  const elements = elementsOf(maps);
  const bytes = {
    arguments: words.words.length * 4,
    table: elements * 4,
    turnTable: turnRows.float32 * 4,
    between: elements * 32,
    image: elements * tiles * channels * floatBytes,
    products: elements * tiles * blockColumns * floatBytes,
    block: maps.size ** 2 * blockColumns * floatBytes,
    parts: 0,
  };
  let offset = 0;
  const place = {} as Record<keyof typeof bytes, Local>;
  for (const [name, length] of Object.entries(bytes) as [keyof typeof bytes, number][]) {
    place[name] = f.local('i32', name);
    f.get(scratch);
    f.i32Const(offset);
    f.op('i32.add');
    f.set(place[name]);
    offset += Math.ceil(length / 64) * 64;
  }
  const set = (
    local: Local,
    op: 'i32.add' | 'i32.sub' | 'i32.mul' | 'i32.div_u' | 'i32.rem_u',
    a: Local,
    b: Local | number,
  ) => {
    f.get(a);
    f.push(b);
    f.op(op);
    f.set(local);
  };
  const word = (index: number, name: string): Local => {
    const local = f.local('i32', name);
    f.get(args);
    f.load('i32.load', index * 4);
    f.set(local);
    return local;
  };
  /** local = min(local, limit) */
  const limit = (local: Local, most: Local | number): void => {
    f.get(local);
    f.push(most);
    f.get(local);
    f.push(most);
    f.op('i32.lt_u');
    f.select();
    f.set(local);
  };
  const operand = word(operandAt, 'operand');
  const weights = word(weightsAt, 'weights');
  const count = word(countAt, 'tiles');
  const blocks = word(blocksAt, 'blocks');
  f.get(place.arguments);
  f.get(args);
  f.i32Const(bytes.arguments);
  f.memoryCopy();
  for (const [at, local] of [
    [tableAt, place.table],
    [blockAt, place.block],
  ] as const) {
    f.get(place.arguments);
    f.get(local);
    f.store('i32.store', at * 4);
  }
  if (fillAt !== undefined && fillOffsetAt !== undefined) {
    f.get(place.arguments);
    f.get(args);
    f.load('i32.load', fillAt * 4);
    f.get(operand);
    f.op('i32.sub');
    f.i32Const(Math.log2(floatBytes));
    f.op('i32.shr_s');
    f.store('i32.store', fillOffsetAt * 4);
  }
  for (let row = 0; row < turnRows.float32; row++) {
    f.get(place.turnTable);
    f.i32Const(row * channels);
    f.store('i32.store', row * 4);
  }
  const [group, first, rows, tile, column, lastColumn, panels, target, above] = f.locals(9, 'i32');
  f.forRange({ begin, end }, (item) => {
    // Items count blocks fastest, then groups of columns.
    set(group, 'i32.div_u', item, blocks);
    set(first, 'i32.rem_u', item, blocks);
    set(first, 'i32.mul', first, tiles);
    set(rows, 'i32.sub', count, first);
    limit(rows, tiles);
    f.get(first);
    f.set(tile);
    f.get(place.image);
    f.set(target);
    f.forRange({ begin: 0, end: rows, atLeastOnce: true }, () => {
      f.get(place.arguments);
      f.get(tile);
      set(tile, 'i32.add', tile, 1);
      f.get(tile);
      f.get(place.parts);
      f.call(parts.table);
      // From offsets in elements to addresses.
      f.forRange({ begin: 0, end: elements * 4, step: 4, atLeastOnce: true }, (entry) => {
        f.get(place.table);
        f.get(entry);
        f.op('i32.add');
        f.get(place.table);
        f.get(entry);
        f.op('i32.add');
        f.load('i32.load');
        f.i32Const(Math.log2(floatBytes));
        f.op('i32.shl');
        f.get(operand);
        f.op('i32.add');
        f.store('i32.store');
      });
      for (const argument of [place.table, place.between, target]) f.get(argument);
      f.call(parts.image);
      set(target, 'i32.add', target, channels * floatBytes);
    });
    set(column, 'i32.mul', group, groupColumns);
    set(lastColumn, 'i32.add', column, groupColumns);
    limit(lastColumn, columns);
    f.loop((again) => {
      set(panels, 'i32.sub', lastColumn, column);
      limit(panels, blockColumns);
      set(panels, 'i32.div_u', panels, panelWidth);
      f.get(place.image);
      f.get(weights);
      f.get(column);
      f.i32Const(channels * floatBytes);
      f.op('i32.mul');
      f.op('i32.add');
      for (const argument of [place.products, rows, panels, place.turnTable]) f.get(argument);
      f.call(parts.products);
      f.get(place.products);
      f.set(target);
      // Tiles of the epilogue: column block · tiles of the result + tile.
      set(above, 'i32.div_u', column, blockColumns);
      set(above, 'i32.mul', above, count);
      set(tile, 'i32.add', above, first);
      f.forRange({ begin: 0, end: rows, atLeastOnce: true }, () => {
        for (const argument of [target, place.between, place.block]) f.get(argument);
        f.get(panels);
        f.i32Const(panelWidth / 8);
        f.op('i32.mul');
        f.call(parts.result);
        f.get(place.arguments);
        f.get(tile);
        set(tile, 'i32.add', tile, 1);
        f.get(tile);
        f.get(place.parts);
        f.call(parts.epilogue);
        set(target, 'i32.add', target, blockColumns * floatBytes);
      });
      set(column, 'i32.add', column, blockColumns);
      f.get(column);
      f.get(lastColumn);
      f.op('i32.lt_u');
      f.brIf(again);
    });
  });
  return { f, scratchBytes: offset };
}
