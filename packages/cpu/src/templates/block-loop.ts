// The function around a block template's innermost part: tiles, this thread's scratch memory, and the calls of the two
// generated parts (see block-phases.ts).

import type { IndexAnalysis } from '@onnx-ts/tensor-ir';
import { bitsOf, Dim, type LoopPhase, productOf, type TensorRef } from '@onnx-ts/tensor-ir';
import { ArgumentWords } from '../kernel/argument-words.ts';
import { type CompiledKernel, type CompileTarget, errorReporter } from '../kernel/compile-kernel.ts';
import { emitPhase } from '../kernel/emit-phase.ts';
import type { ErrorSite } from '../kernel/plan.ts';
import { kernelParams } from '../runtime/driver.ts';
import { FunctionBuilder, type Local } from '../wasm/function.ts';
import type { FunctionRef } from '../wasm/types.ts';
import { type BlockShape, evenBlockRows, fillOffset, mostBlockRows } from './block-phases.ts';
import { blockColumns } from './micro-kernel.ts';

export interface BlockTarget extends CompileTarget {
  readonly relaxedSimd: boolean;
}

/** What the innermost part finds when it is called for a few rows of a block. */
export interface BlockTurn<Name extends string> {
  readonly f: FunctionBuilder;
  /** Rows of this turn, 1 to the template's `turnRows`. */
  readonly rows: Local;
  /** Address of the turn's first row in the block. */
  readonly out: Local;
  /** Address of the table for these rows. */
  readonly table: Local;
  /** Address of the operand that the table's offsets refer to. */
  readonly operand: Local;
  /** First column of the block. */
  readonly firstColumn: Local;
  /** Columns of the block that exist. */
  readonly columns: Local;
  /** Values of the template's own sizes. */
  readonly sizes: Readonly<Record<Name, Local>>;
  /** Pushes the address of a tensor. */
  address(tensor: TensorRef): void;
}

/** What the innermost part finds when it is called for a whole block. */
export interface WholeBlock<Name extends string> extends Omit<BlockTurn<Name>, 'out' | 'table'> {
  /** Rows of the block: turns of `turnRows` and a rest. */
  readonly rows: Local;
  readonly block: Local;
  /** Address of the first turn's table; those of the others follow `tableBytes` apart. */
  readonly tables: Local;
  readonly tableBytes: Local;
}

export interface BlockTemplate<Name extends string> {
  readonly shape: BlockShape;
  readonly analysis: IndexAnalysis;
  readonly tablePhase: LoopPhase;
  readonly epiloguePhase: LoopPhase;
  readonly table: TensorRef;
  readonly block: TensorRef;
  /** The most rows of a turn: a divisor of `mostBlockRows`. */
  readonly turnRows: number;
  /**
   * Whether a tile has all columns, not one block of them: for templates that do little for an element, so that the table
   * is made once for all columns. The epilogue's block is one turn then.
   */
  readonly allColumns: boolean;
  /** The tensor that the table's offsets refer to. */
  readonly operand: TensorRef;
  /** What is read where a tap's guard is false. */
  readonly fill: TensorRef | undefined;
  /** Other tensors that the innermost part reads. */
  readonly tensors: readonly TensorRef[];
  /** Sizes that the innermost part needs. */
  readonly sizes: Readonly<Record<Name, Dim>>;
  /** Multiplications, or the like, for one element of the result; nanoseconds for one of them. */
  readonly pointsPerElement: Dim;
  readonly pointNanoseconds: number;
  /** For each turn, or for each block when the template orders the turns itself. */
  readonly emit:
    | { readonly each: 'turn'; readonly code: (turn: BlockTurn<Name>) => void }
    | { readonly each: 'block'; readonly code: (block: WholeBlock<Name>) => void };
}

export function compileBlocks<Name extends string>(template: BlockTemplate<Name>, target: BlockTarget): CompiledKernel {
  const words = new ArgumentWords();
  const errorSites: ErrorSite[] = [];
  const define = (phase: LoopPhase) => {
    const { f, scratchBytes } = emitPhase(phase, {
      analysis: template.analysis,
      words,
      errorSites,
      reporter: errorReporter(target.reportError),
      helpers: target.helpers,
    });
    return { ref: target.module.define(f), scratchBytes };
  };
  const table = define(template.tablePhase);
  const epilogue = define(template.epiloguePhase);
  const main = new BlockFunction(template, words, table.ref, epilogue.ref).emit();
  const { batch, rows, column } = template.shape;
  const rowCount = productOf(rows.map((axis) => axis.size));
  const rowsOfBlock = rowsOfTile(template);
  const columnBlocks = template.allColumns ? Dim.constant(1) : column.size.ceilDiv(blockColumns);
  const columnsOfBlock = template.allColumns ? column.size : column.size.min(blockColumns);
  return {
    phases: [
      {
        function: target.module.define(main.f),
        tiles: productOf(batch.map((axis) => axis.size))
          .mul(columnBlocks)
          .mul(rowCount.ceilDiv(rowsOfBlock)),
        tilePoints: template.pointsPerElement.mul(rowCount.min(rowsOfBlock)).mul(columnsOfBlock),
        pointNanoseconds: template.pointNanoseconds,
        barrier: true,
      },
    ],
    // The function fills in what belongs to its thread.
    words: words.words.map((word) => {
      const isLocal = word.kind === 'tensor' && (word.tensor === template.table || word.tensor === template.block);
      const isFilledIn = word.kind === 'dim' && word.dim.equals(fillOffset);
      return isLocal || isFilledIn ? { kind: 'dim', dim: Dim.constant(0) } : word;
    }),
    scratchBytes: main.scratchBytes.add(table.scratchBytes.max(epilogue.scratchBytes)),
    errorSites,
  };
}

/** Turns of a tile with all columns: few, so that there are tiles for all threads. */
const turnsOfWideTile = 2;

function rowsOfTile({
  shape,
  turnRows,
  allColumns,
}: Pick<BlockTemplate<never>, 'shape' | 'turnRows' | 'allColumns'>): Dim {
  if (allColumns) return Dim.constant(turnsOfWideTile * turnRows);
  return evenBlockRows(productOf(shape.rows.map((axis) => axis.size)), turnRows);
}

type Op = Parameters<FunctionBuilder['op']>[0];

type Sizes<Name extends string> = Readonly<
  Record<'rowCount' | 'blockRows' | 'rowBlocks' | 'columnBlocks' | 'columnCount' | 'tableBytes' | Name, Local>
>;
type Addresses = Readonly<Record<'own' | 'parts' | 'blockAddress' | 'tableAddress' | 'operandAddress', Local>>;

class BlockFunction<Name extends string> {
  readonly #template: BlockTemplate<Name>;
  readonly #words: ArgumentWords;
  readonly #table: FunctionRef;
  readonly #epilogue: FunctionRef;
  readonly #f: FunctionBuilder;

  constructor(template: BlockTemplate<Name>, words: ArgumentWords, table: FunctionRef, epilogue: FunctionRef) {
    this.#template = template;
    this.#words = words;
    this.#table = table;
    this.#epilogue = epilogue;
    this.#f = new FunctionBuilder(`${template.shape.head.name}.blocks`, kernelParams);
  }

  emit(): { f: FunctionBuilder; scratchBytes: Dim } {
    const { shape, table, block, operand, fill, tensors } = this.#template;
    const f = this.#f;
    const words = this.#words;
    const [args, begin, end, scratch] = f.params;
    const operandAt = words.tensor(operand);
    for (const tensor of tensors) words.tensor(tensor);
    const fillAt = fill && words.tensor(fill);
    const fillOffsetAt = fill && words.dim(fillOffset);
    const tableAt = words.tensor(table);
    const blockAt = words.tensor(block);
    const rowCount = productOf(shape.rows.map((axis) => axis.size));
    const common = {
      rowCount,
      blockRows: rowsOfTile(this.#template),
      rowBlocks: rowCount.ceilDiv(rowsOfTile(this.#template)),
      columnBlocks: shape.column.size.ceilDiv(blockColumns),
      columnCount: shape.column.size,
      tableBytes: roundUp(table.shape[0].mul(4)),
    };
    const sizes = this.#sizeLocals({ ...common, ...this.#template.sizes } as Record<keyof typeof common | Name, Dim>);
    // Scratch: the arguments with this thread's addresses, the block, the table, and what the parts need.
    const wordBytes = Math.ceil((words.words.length * 4) / 64) * 64;
    const own = this.#local('own', () => f.get(scratch));
    const blockAddress = this.#local('block', this.#sum(scratch, wordBytes));
    const tableAddress = this.#local('table', this.#sum(blockAddress, mostBlockRows * blockColumns * 4));
    const tables = this.#template.emit.each === 'block' ? mostBlockRows / this.#template.turnRows : 1;
    const parts = this.#local('parts', this.#op('i32.mul', sizes.tableBytes, tables));
    this.#set(parts, this.#sum(parts, tableAddress));
    f.get(own);
    f.get(args);
    f.i32Const(words.words.length * 4);
    f.memoryCopy();
    this.#storeWord(own, tableAt, () => f.get(tableAddress));
    this.#storeWord(own, blockAt, () => f.get(blockAddress));
    if (fillAt !== undefined && fillOffsetAt !== undefined) {
      this.#storeWord(own, fillOffsetAt, () => {
        this.#loadWord(args, fillAt);
        this.#loadWord(args, operandAt);
        f.op('i32.sub');
        f.i32Const(Math.log2(bitsOf(operand.dtype) / 8));
        f.op('i32.shr_s');
      });
    }
    const operandAddress = this.#local('operand', () => this.#loadWord(args, operandAt));
    f.forRange({ begin, end }, (tile) =>
      f.scope(() => this.#tile(tile, sizes, { own, parts, blockAddress, tableAddress, operandAddress })),
    );
    return { f, scratchBytes: common.tableBytes.mul(tables).add(wordBytes + mostBlockRows * blockColumns * 4) };
  }

  #tile(tile: Local, sizes: Sizes<Name>, at: Addresses): void {
    const f = this.#f;
    const { turnRows, allColumns, emit } = this.#template;
    // Tiles count row blocks fastest, then column blocks, then batch entries.
    const above = this.#local('above', this.#op('i32.div_u', tile, sizes.rowBlocks));
    const firstRow = this.#local('first row', this.#op('i32.rem_u', tile, sizes.rowBlocks));
    this.#set(firstRow, this.#op('i32.mul', firstRow, sizes.blockRows));
    const lastRow = this.#local('last row', this.#op('i32.add', firstRow, sizes.blockRows));
    this.#minimum(lastRow, sizes.rowCount);
    const batch = f.local('i32', 'batch');
    const firstColumn = f.local('i32', 'first column');
    if (allColumns) this.#set(batch, () => f.get(above));
    else {
      this.#set(batch, this.#op('i32.div_u', above, sizes.columnBlocks));
      this.#set(firstColumn, this.#op('i32.rem_u', above, sizes.columnBlocks));
      this.#set(firstColumn, this.#op('i32.mul', firstColumn, blockColumns));
    }
    const tableRow = this.#local('table row', this.#op('i32.mul', batch, sizes.rowCount));
    this.#set(tableRow, this.#op('i32.add', tableRow, firstRow));
    const row = this.#local('row', () => f.get(firstRow));
    const out = this.#local('out', () => f.get(at.blockAddress));
    const rows = f.local('i32', 'rows');
    const most = this.#local('most', () => f.i32Const(turnRows));
    const table = this.#local('turn table', () => f.get(at.tableAddress));
    f.loop((again) => {
      if (emit.each === 'block') this.#storeWord(at.own, this.#words.tensor(this.#template.table), () => f.get(table));
      this.#set(rows, this.#op('i32.sub', lastRow, row));
      this.#minimum(rows, most);
      f.get(at.own);
      f.get(tableRow);
      this.#op('i32.add', tableRow, rows)();
      f.get(at.parts);
      f.call(this.#table);
      if (emit.each === 'block') this.#set(table, this.#sum(table, sizes.tableBytes));
      else if (allColumns) this.#allColumns({ batch, row, rows, firstColumn }, sizes, at);
      else {
        this.#turn({ rows, out, firstColumn }, sizes, at);
        this.#set(out, this.#op('i32.add', out, turnRows * blockColumns * 4));
      }
      this.#set(tableRow, this.#op('i32.add', tableRow, turnRows));
      this.#set(row, this.#op('i32.add', row, turnRows));
      this.#op('i32.lt_u', row, lastRow)();
      f.brIf(again);
    });
    if (emit.each === 'block') {
      this.#set(rows, this.#op('i32.sub', lastRow, firstRow));
      this.#turn({ rows, out: at.blockAddress, firstColumn }, sizes, at);
    }
    if (!allColumns) this.#finish(above, firstRow, lastRow, sizes, at);
  }

  /** The columns of one turn, block by block, with the epilogue of each. */
  #allColumns(
    { batch, row, rows, firstColumn }: Readonly<Record<'batch' | 'row' | 'rows' | 'firstColumn', Local>>,
    sizes: Sizes<Name>,
    at: Addresses,
  ): void {
    const f = this.#f;
    f.scope(() => {
      const above = this.#local('above columns', this.#op('i32.mul', batch, sizes.columnBlocks));
      const end = this.#local('end row', this.#op('i32.add', row, rows));
      this.#set(firstColumn, () => f.i32Const(0));
      f.loop((again) => {
        this.#turn({ rows, out: at.blockAddress, firstColumn }, sizes, at);
        this.#finish(above, row, end, sizes, at);
        this.#set(above, this.#op('i32.add', above, 1));
        this.#set(firstColumn, this.#op('i32.add', firstColumn, blockColumns));
        this.#op('i32.lt_u', firstColumn, sizes.columnCount)();
        f.brIf(again);
      });
    });
  }

  /** The innermost part for some rows of a column block, or all of its rows. */
  #turn(
    { rows, out, firstColumn }: Readonly<Record<'rows' | 'out' | 'firstColumn', Local>>,
    sizes: Sizes<Name>,
    at: Addresses,
  ): void {
    const f = this.#f;
    const [args] = f.params;
    f.scope(() => {
      const columns = this.#local('columns', this.#op('i32.sub', sizes.columnCount, firstColumn));
      const widest = this.#local('widest', () => f.i32Const(blockColumns));
      this.#minimum(columns, widest);
      const common = {
        f,
        rows,
        operand: at.operandAddress,
        firstColumn,
        columns,
        sizes,
        address: (tensor: TensorRef) => this.#loadWord(args, this.#words.tensor(tensor)),
      };
      const { emit } = this.#template;
      if (emit.each === 'turn') emit.code({ ...common, out, table: at.tableAddress });
      else emit.code({ ...common, block: out, tables: at.tableAddress, tableBytes: sizes.tableBytes });
    });
  }

  /**
   * The epilogue of rows of a column block. Its tiles are (batch · columnBlocks + column block) · rowCount + row.
   * @param above batch · columnBlocks + column block
   */
  #finish(above: Local, firstRow: Local, lastRow: Local, sizes: Sizes<Name>, at: Addresses): void {
    const f = this.#f;
    f.get(at.own);
    for (const edge of [firstRow, lastRow]) {
      this.#op('i32.mul', above, sizes.rowCount)();
      f.get(edge);
      f.op('i32.add');
    }
    f.get(at.parts);
    f.call(this.#epilogue);
  }

  #sizeLocals<Key extends string>(dims: Readonly<Record<Key, Dim>>): Readonly<Record<Key, Local>> {
    const f = this.#f;
    // All words have their place before the first is read.
    const entries = Object.entries(dims) as [Key, Dim][];
    const positions = entries.map(([, dim]) => (dim.constant === undefined ? this.#words.dim(dim) : undefined));
    const locals = entries.map(([name, dim], at) => {
      const position = positions[at];
      const local = this.#local(name, () => {
        if (position === undefined) f.i32Const(dim.constant!);
        else this.#loadWord(f.params[0], position);
      });
      return [name, local] as const;
    });
    return Object.fromEntries(locals) as Record<Key, Local>;
  }

  #local(name: string, value: () => void): Local {
    const local = this.#f.local('i32', name);
    this.#set(local, value);
    return local;
  }

  #set(local: Local, value: () => void): void {
    value();
    this.#f.set(local);
  }

  #op(name: Op, a: Local | number, b: Local | number): () => void {
    return () => {
      this.#f.push(a);
      this.#f.push(b);
      this.#f.op(name);
    };
  }

  #sum(a: Local, b: Local | number): () => void {
    return this.#op('i32.add', a, b);
  }

  /** local = min(local, limit), unsigned. */
  #minimum(local: Local, limit: Local): void {
    const f = this.#f;
    f.get(local);
    f.get(limit);
    f.get(local);
    f.get(limit);
    f.op('i32.lt_u');
    f.select();
    f.set(local);
  }

  #loadWord(base: Local, index: number): void {
    this.#f.get(base);
    this.#f.load('i32.load', index * 4);
  }

  #storeWord(base: Local, index: number, value: () => void): void {
    this.#f.get(base);
    value();
    this.#f.store('i32.store', index * 4);
  }
}

/** To whole cache lines. */
function roundUp(bytes: Dim): Dim {
  return bytes.add(63).floorDiv(64).mul(64);
}
