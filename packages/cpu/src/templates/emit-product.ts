// Code for sums of products: the loops over blocks of the result around the micro-kernel, and the epilogue on each block
// while it is in the first-level cache.
//
// A tile is one block of `blockRows` × `blockColumns` of one batch entry. For each few rows of it, `table` (generated from
// loops) writes where the rows of A are; the micro-kernel fills a block in scratch memory; `epilogue` (generated from
// loops, the fused maps inside) writes the block's rows to the result.

import {
  type Axis,
  add,
  cast,
  Dim,
  dimension,
  div,
  elementAtOffset,
  type Expr,
  IndexAnalysis,
  type LoopHeader,
  type LoopPhase,
  min,
  mod,
  mul,
  newAxis,
  newTensorRef,
  productOf,
  select,
  type Statement,
  stridesOf,
  sub,
  substituteAxes,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { ArgumentWords } from '../kernel/argument-words.ts';
import type { CompiledKernel, CompileTarget } from '../kernel/compile-kernel.ts';
import { errorReporter } from '../kernel/compile-kernel.ts';
import { emitPhase } from '../kernel/emit-phase.ts';
import type { ErrorSite } from '../kernel/plan.ts';
import { kernelParams } from '../runtime/driver.ts';
import { flatten, offsetIn } from '../schedule/flatten.ts';
import { FunctionBuilder, type Local } from '../wasm/function.ts';
import type { FunctionRef } from '../wasm/types.ts';
import { blockColumns, emitMicroKernel, mostRows, panelWidth } from './micro-kernel.ts';
import { epilogueAxes, type Product } from './product.ts';

/** Rows of a block: a multiple of what the micro-kernel takes. Block and A's rows of it fit the second-level cache. */
const blockRows = 48;

/** Nanoseconds for one multiplication and addition, at the rate that the micro-kernel reaches. */
const pointNanoseconds = 0.04;

/** A size that is filled in at run time by the kernel itself: where zeros are, seen from A. */
const zeroOffset = Dim.symbol('zero offset');

export interface ProductTarget extends CompileTarget {
  readonly relaxedSimd: boolean;
}

export function compileProduct(product: Product, target: ProductTarget): CompiledKernel {
  return new ProductCode(product, target).compile();
}

class ProductCode {
  readonly #product: Product;
  readonly #target: ProductTarget;
  readonly #words = new ArgumentWords();
  readonly #errorSites: ErrorSite[] = [];
  readonly #analysis = new IndexAnalysis();
  readonly #table: TensorRef;
  readonly #block: TensorRef;
  readonly #rowCount: Dim;
  readonly #columnBlocks: Dim;
  readonly #rowBlocks: Dim;
  readonly #taps: Dim;
  readonly #run: Dim;

  constructor(product: Product, target: ProductTarget) {
    this.#product = product;
    this.#target = target;
    this.#taps = productOf(product.taps.map((axis) => axis.size));
    this.#run = productOf(product.run.map((axis) => axis.size));
    this.#rowCount = productOf(product.rows.map((axis) => axis.size));
    this.#columnBlocks = product.column.size.ceilDiv(blockColumns);
    this.#rowBlocks = this.#rowCount.ceilDiv(blockRows);
    this.#table = newTensorRef('table', 'int32', [this.#taps.mul(mostRows).add(1)]);
    this.#block = newTensorRef('block', 'float32', [Dim.constant(blockRows * blockColumns)]);
  }

  compile(): CompiledKernel {
    const table = this.#phase(this.#tablePhase());
    const epilogue = this.#phase(this.#epiloguePhase());
    // Words are complete once all parts have asked for theirs.
    const main = this.#main(table.ref, epilogue.ref);
    const { column, batch } = this.#product;
    const points = this.#taps.mul(this.#run).mul(this.#rowCount.min(blockRows)).mul(column.size.min(blockColumns));
    return {
      phases: [
        {
          function: this.#target.module.define(main.f),
          tiles: productOf(batch.map((axis) => axis.size)).mul(this.#columnBlocks).mul(this.#rowBlocks),
          tilePoints: points,
          pointNanoseconds,
          barrier: true,
        },
      ],
      words: this.#words.words.map((word) => {
        const isLocal = word.kind === 'tensor' && (word.tensor === this.#table || word.tensor === this.#block);
        const isFilledIn = word.kind === 'dim' && word.dim.equals(zeroOffset);
        return isLocal || isFilledIn ? { kind: 'dim', dim: Dim.constant(0) } : word;
      }),
      scratchBytes: main.scratchBytes.add(table.scratchBytes.max(epilogue.scratchBytes)),
      errorSites: this.#errorSites,
    };
  }

  #phase(phase: LoopPhase): { ref: FunctionRef; scratchBytes: Dim } {
    const { f, scratchBytes } = emitPhase(phase, {
      analysis: this.#analysis,
      words: this.#words,
      errorSites: this.#errorSites,
      reporter: errorReporter(this.#target.reportError),
      helpers: this.#target.helpers,
    });
    return { ref: this.#target.module.define(f), scratchBytes };
  }

  /** Positions along the row axes for a flat row number. */
  #rowLets(row: Axis): Statement[] {
    const { rows } = this.#product;
    const lets: Statement[] = [];
    let inner = Dim.constant(1);
    for (const axis of [...rows].reverse()) {
      const above = div(toIndex(row), dimension(inner));
      const value = axis === rows[0] ? above : mod(above, dimension(axis.size));
      lets.unshift({ kind: 'let', axis, value });
      inner = inner.mul(axis.size);
    }
    return lets;
  }

  /**
   * One tile for each row of each batch entry: entry [tap][row mod 6] is the offset in A of the row's run at the tap; the
   * last entry is the offset in `packed` of the batch entry's first panel.
   */
  #tablePhase(): LoopPhase {
    const { batch, taps, run, a, packed, packedBatch, zeros } = this.#product;
    const row = newAxis('row', this.#rowCount);
    const atRunStart = new Map(run.map((axis) => [axis, dimension(0)]));
    const source = a.source as TensorRef;
    const index = a.index.map((e) => substituteAxes(e, atRunStart));
    let offset = offsetIn(this.#analysis, source, index);
    if (a.guard && zeros) {
      const guard = flatten(this.#analysis, substituteAxes(a.guard, atRunStart), noStage);
      offset = select(guard, offset, dimension(zeroOffset));
    }
    let tap: Expr = dimension(0);
    for (const axis of taps) tap = add(mul(tap, dimension(axis.size)), toIndex(axis));
    const entry = add(mul(tap, mostRows), mod(toIndex(row), mostRows));
    const store: Statement = { kind: 'store', tensor: this.#table, offset: entry, value: cast('int32', offset) };
    const loops: LoopHeader[] = taps.map((axis) => ({ axis, mode: 'serial' }));
    const strides = stridesOf(packed);
    let panels: Expr = dimension(0);
    for (const [at, axis] of packedBatch.entries()) panels = add(panels, mul(toIndex(axis), dimension(strides[at])));
    return {
      name: `${this.#product.head.name}.table`,
      parallel: [...batch, row],
      body: [
        ...this.#rowLets(row),
        loops.length === 0 ? store : { kind: 'for', loops, reductions: [], body: [store] },
        {
          kind: 'store',
          tensor: this.#table,
          offset: dimension(this.#taps.mul(mostRows)),
          value: cast('int32', panels),
        },
      ],
      independent: false,
    };
  }

  /** One tile for each row of a column block: writes the row's part of the block to the result. */
  #epiloguePhase(): LoopPhase {
    const { batch, column, epilogue, head, output } = this.#product;
    const columns = newAxis('block', this.#columnBlocks);
    const row = newAxis('row', this.#rowCount);
    const lane = newAxis('lane', Math.min(blockColumns, column.size.constant ?? blockColumns));
    const first = mul(toIndex(columns), blockColumns);
    const values = new Map<Axis, Expr>([[column, add(first, toIndex(lane))]]);
    const sum = elementAtOffset(this.#block, add(mul(mod(toIndex(row), blockRows), blockColumns), toIndex(lane)));
    let value: Expr;
    let index: Expr[];
    if (epilogue) {
      for (const [from, to] of epilogueAxes(this.#product)) {
        if (from === column) values.set(to, values.get(column)!);
        else values.set(to, toIndex(from));
      }
      for (const axis of epilogue.axes) if (!values.has(axis)) values.set(axis, dimension(0));
      value = flatten(this.#analysis, substituteAxes(epilogue.body, values), () => sum);
      index = epilogue.axes.map((axis) => values.get(axis)!);
    } else {
      value = sum;
      index = head.axes.map((axis) => values.get(axis) ?? toIndex(axis));
    }
    const store: Statement = { kind: 'store', tensor: output, offset: offsetIn(this.#analysis, output, index), value };
    const isWhole = column.size.isMultipleOf(blockColumns) || (column.size.constant ?? Infinity) < blockColumns;
    const end = isWhole ? undefined : min(dimension(blockColumns), sub(dimension(column.size), first));
    const loop: LoopHeader = { axis: lane, mode: 'vector', ...(end && { begin: dimension(0), end }) };
    return {
      name: `${head.name}.epilogue`,
      parallel: [...batch, columns, row],
      body: [...this.#rowLets(row), { kind: 'for', loops: [loop], reductions: [], body: [store] }],
      independent: false,
    };
  }

  #main(table: FunctionRef, epilogue: FunctionRef): { f: FunctionBuilder; scratchBytes: Dim } {
    const { a, packed, zeros, head, column } = this.#product;
    const words = this.#words;
    const f = new FunctionBuilder(`${head.name}.product`, kernelParams);
    const [args, begin, end, scratch] = f.params;
    const aAt = words.tensor(a.source as TensorRef);
    const packedAt = words.tensor(packed);
    const zerosAt = zeros && words.tensor(zeros);
    const zeroOffsetAt = zeros && words.dim(zeroOffset);
    const tableAt = words.tensor(this.#table);
    const blockAt = words.tensor(this.#block);
    const dims = {
      rows: this.#rowCount,
      rowBlocks: this.#rowBlocks,
      columnBlocks: this.#columnBlocks,
      panels: column.size.ceilDiv(panelWidth),
      taps: this.#taps,
      run: this.#run,
      panelBytes: this.#taps.mul(this.#run).mul(panelWidth * 4),
    };
    const positions = Object.fromEntries(
      Object.entries(dims).map(([name, dim]) => [name, dim.constant === undefined ? words.dim(dim) : -1]),
    );
    const wordBytes = Math.ceil((words.words.length * 4) / 64) * 64;
    // Scratch: a copy of the arguments with this thread's addresses, the block, then what the parts need, then the table.
    const blockOffset = wordBytes;
    const partsOffset = blockOffset + blockRows * blockColumns * 4;
    const tableBytes = this.#taps.mul(mostRows).add(1).mul(4).add(63).floorDiv(64).mul(64);
    const own = f.local('i32', 'own');
    const sizes = Object.fromEntries(
      Object.entries(dims).map(([name, dim]) => {
        const local = f.local('i32', name);
        if (dim.constant !== undefined) f.i32Const(dim.constant);
        else loadWord(f, args, positions[name]);
        f.set(local);
        return [name, local];
      }),
    ) as Record<keyof typeof dims, Local>;
    const block = offsetLocal(f, 'block', scratch, blockOffset);
    const tableAddress = offsetLocal(f, 'table', scratch, partsOffset);
    const parts = f.local('i32', 'parts');
    f.get(tableAddress);
    if (tableBytes.constant !== undefined) f.i32Const(tableBytes.constant);
    else {
      // taps · 6 · 4 + 4, rounded up to 64
      f.get(sizes.taps);
      f.i32Const(mostRows * 4);
      f.op('i32.mul');
      f.i32Const(4 + 63);
      f.op('i32.add');
      f.i32Const(-64);
      f.op('i32.and');
    }
    f.op('i32.add');
    f.set(parts);
    f.get(scratch);
    f.set(own);
    f.get(own);
    f.get(args);
    f.i32Const(words.words.length * 4);
    f.memoryCopy();
    storeWord(f, own, tableAt, () => f.get(tableAddress));
    storeWord(f, own, blockAt, () => f.get(block));
    if (zerosAt !== undefined && zeroOffsetAt !== undefined) {
      storeWord(f, own, zeroOffsetAt, () => {
        loadWord(f, args, zerosAt);
        loadWord(f, args, aAt);
        f.op('i32.sub');
        f.i32Const(2);
        f.op('i32.shr_s');
      });
    }
    const base = f.local('i32', 'a');
    loadWord(f, args, aAt);
    f.set(base);
    const micro = this.#microKernels();
    f.forRange({ begin, end }, (tile) => this.#tile(f, { tile, sizes, own, parts, block, tableAddress, base, packedAt, table, epilogue, micro }));
    return { f, scratchBytes: tableBytes.add(partsOffset) };
  }

  /** One per number of rows that can occur. */
  #microKernels(): ReadonlyMap<number, FunctionRef> {
    const { module, relaxedSimd } = this.#target;
    const count = this.#rowCount.constant;
    const needed = new Set<number>();
    if (count === undefined) for (let rows = 1; rows <= mostRows; rows++) needed.add(rows);
    else {
      if (count >= mostRows) needed.add(mostRows);
      if (count % mostRows > 0) needed.add(count % mostRows);
    }
    const micro = new Map<number, FunctionRef>();
    for (const rows of needed) micro.set(rows, module.define(emitMicroKernel(rows, { relaxed: relaxedSimd })));
    return micro;
  }

  #tile(
    f: FunctionBuilder,
    c: {
      tile: Local;
      sizes: Record<'rows' | 'rowBlocks' | 'columnBlocks' | 'panels' | 'taps' | 'run' | 'panelBytes', Local>;
      own: Local;
      parts: Local;
      block: Local;
      tableAddress: Local;
      base: Local;
      packedAt: number;
      table: FunctionRef;
      epilogue: FunctionRef;
      micro: ReadonlyMap<number, FunctionRef>;
    },
  ): void {
    const { sizes } = c;
    f.scope(() => {
      const [firstRow, lastRow, above, batch, firstPanel, panelCount, panels, out, tableRow, rows, panel] = f.locals(11, 'i32');
      const compute = (target: Local, ...steps: (() => void)[]): void => {
        for (const step of steps) step();
        f.set(target);
      };
      const op2 = (a: Local | number, b: Local | number, name: Parameters<FunctionBuilder['op']>[0]) => () => {
        f.push(a);
        f.push(b);
        f.op(name);
      };
      compute(above, op2(c.tile, sizes.rowBlocks, 'i32.div_u'));
      compute(firstRow, op2(c.tile, sizes.rowBlocks, 'i32.rem_u'));
      compute(firstRow, op2(firstRow, blockRows, 'i32.mul'));
      compute(lastRow, op2(firstRow, blockRows, 'i32.add'));
      minimum(f, lastRow, sizes.rows);
      compute(batch, op2(above, sizes.columnBlocks, 'i32.div_u'));
      compute(firstPanel, op2(above, sizes.columnBlocks, 'i32.rem_u'));
      compute(firstPanel, op2(firstPanel, blockColumns / panelWidth, 'i32.mul'));
      compute(panelCount, op2(sizes.panels, firstPanel, 'i32.sub'));
      const most = f.local('i32');
      f.i32Const(blockColumns / panelWidth);
      f.set(most);
      minimum(f, panelCount, most);
      // Rows of the table: batch · rows + row.
      compute(tableRow, op2(batch, sizes.rows, 'i32.mul'), () => {
        f.get(firstRow);
        f.op('i32.add');
      });
      const row = f.local('i32', 'row');
      compute(row, () => f.get(firstRow));
      compute(out, () => f.get(c.block));
      f.loop((again) => {
        compute(rows, op2(lastRow, row, 'i32.sub'));
        const six = f.local('i32');
        f.i32Const(mostRows);
        f.set(six);
        minimum(f, rows, six);
        f.get(c.own);
        f.get(tableRow);
        f.get(tableRow);
        f.get(rows);
        f.op('i32.add');
        f.get(c.parts);
        f.call(c.table);
        // Address of the first panel: packed + 4 · (offset of the batch entry) + panel · panelBytes.
        compute(panels, () => {
          f.get(c.own);
          f.load('i32.load', c.packedAt * 4);
          f.get(c.tableAddress);
          f.get(sizes.taps);
          f.i32Const(mostRows * 4);
          f.op('i32.mul');
          f.op('i32.add');
          f.load('i32.load');
          f.i32Const(2);
          f.op('i32.shl');
          f.op('i32.add');
          f.get(firstPanel);
          f.get(sizes.panelBytes);
          f.op('i32.mul');
          f.op('i32.add');
        });
        for (const [count, ref] of c.micro) {
          f.get(rows);
          f.i32Const(count);
          f.op('i32.eq');
          f.if(() => {
            compute(panel, () => f.get(panelCount));
            const target = f.local('i32');
            compute(target, () => f.get(out));
            f.loop((next) => {
              f.get(c.base);
              f.get(c.tableAddress);
              f.get(sizes.taps);
              f.get(sizes.run);
              f.get(panels);
              f.get(target);
              f.call(ref);
              compute(panels, op2(panels, sizes.panelBytes, 'i32.add'));
              compute(target, op2(target, panelWidth * 4, 'i32.add'));
              compute(panel, op2(panel, 1, 'i32.sub'));
              f.get(panel);
              f.brIf(next);
            });
          });
        }
        compute(tableRow, op2(tableRow, mostRows, 'i32.add'));
        compute(out, op2(out, mostRows * blockColumns * 4, 'i32.add'));
        compute(row, op2(row, mostRows, 'i32.add'));
        f.get(row);
        f.get(lastRow);
        f.op('i32.lt_u');
        f.brIf(again);
      });
      // Rows of the epilogue: (batch · columnBlocks + column block) · rows + row.
      f.get(c.own);
      for (const edge of [firstRow, lastRow]) {
        f.get(above);
        f.get(sizes.rows);
        f.op('i32.mul');
        f.get(edge);
        f.op('i32.add');
      }
      f.get(c.parts);
      f.call(c.epilogue);
    });
  }
}

function noStage(): never {
  throw new TypeError('a guard of a product reads no stage');
}

function loadWord(f: FunctionBuilder, base: Local, index: number): void {
  f.get(base);
  f.load('i32.load', index * 4);
}

function storeWord(f: FunctionBuilder, base: Local, index: number, value: () => void): void {
  f.get(base);
  value();
  f.store('i32.store', index * 4);
}

function offsetLocal(f: FunctionBuilder, name: string, base: Local, offset: number): Local {
  const local = f.local('i32', name);
  f.get(base);
  f.i32Const(offset);
  f.op('i32.add');
  f.set(local);
  return local;
}

/** local = min(local, limit), unsigned. */
function minimum(f: FunctionBuilder, local: Local, limit: Local): void {
  f.get(local);
  f.get(limit);
  f.get(local);
  f.get(limit);
  f.op('i32.lt_u');
  f.select();
  f.set(local);
}

