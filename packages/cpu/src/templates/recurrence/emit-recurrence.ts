// Code for recurrences with products. A part of a step is a phase that is repeated turn by turn; its tiles are blocks of
// units and of rows, so that several threads share a step even for a single sequence, each with its part of the weights.

import type { LoopPhase } from '@onnx-ts/tensor-ir';
import { type Dim, IndexAnalysis, Dim as Size, type TensorRef } from '@onnx-ts/tensor-ir';
import { ArgumentWords } from '../../kernel/argument-words.ts';
import { type CompiledKernel, type CompiledPhase, errorReporter } from '../../kernel/compile-kernel.ts';
import { type EmittedPhase, emitPhase } from '../../kernel/emit-phase.ts';
import type { ErrorSite } from '../../kernel/plan.ts';
import { kernelParams } from '../../runtime/driver.ts';
import { FunctionBuilder, type Local } from '../../wasm/function.ts';
import type { FunctionRef } from '../../wasm/types.ts';
import type { BlockTarget } from '../block-loop.ts';
import { cellPhase, initialPhases, newSums, tileRows } from './recurrence-phases.ts';
import type { RecurrentProduct, StepPart } from './recurrent-product.ts';
import { emitStateProduct, mostRows, panelColumns, streamsOf } from './state-product.ts';

/** Nanoseconds of one multiplication and addition, and how many of them the rest takes for an element. */
const pointNanoseconds = 0.05;
const cellPoints = 200;

export function compileRecurrence(product: RecurrentProduct, target: BlockTarget): CompiledKernel {
  return new RecurrenceCode(product, target).compile();
}

class RecurrenceCode {
  readonly #product: RecurrentProduct;
  readonly #target: BlockTarget;
  readonly #analysis = new IndexAnalysis();
  readonly #words = new ArgumentWords();
  readonly #errorSites: ErrorSite[] = [];
  readonly #sums: TensorRef;

  constructor(product: RecurrentProduct, target: BlockTarget) {
    this.#product = product;
    this.#target = target;
    this.#sums = newSums(product);
  }

  compile(): CompiledKernel {
    const { stage, parts } = this.#product;
    let scratchBytes: Dim = Size.constant(0);
    const first = initialPhases(this.#product, this.#analysis).map((phase): CompiledPhase => {
      const written = this.#phase(phase);
      scratchBytes = scratchBytes.max(written.scratchBytes);
      return {
        function: this.#target.module.define(written.f),
        tiles: phase.parallel.reduce((tiles, axis) => tiles.mul(axis.size), Size.constant(1)),
        tilePoints: phase.cost.points,
        pointNanoseconds: phase.cost.pointCost,
        barrier: !phase.independent,
      };
    });
    // All words have their places before a function copies them.
    const cells = parts.map((part) => this.#phase(cellPhase(this.#product, part, this.#analysis, this.#sums)));
    const written = parts.map((part, at) => {
      const f = new StepFunction(this.#product, part, this.#words, this.#sums, this.#target, cells[at]);
      scratchBytes = scratchBytes.max(f.scratchBytes);
      return f;
    });
    const { batch, rows, units, blockUnits } = this.#product;
    const tiles = batch
      .reduce((count, size) => count.mul(size), rows.ceilDiv(tileRows))
      .mul(Math.ceil(units / blockUnits));
    const repeated = written.map(
      ({ f, points }): CompiledPhase => ({
        function: this.#target.module.define(f),
        tiles: rows.min(1).mul(tiles),
        turns: stage.step.size,
        tilePoints: rows.min(tileRows).mul(points),
        pointNanoseconds,
        barrier: true,
      }),
    );
    return {
      phases: [...first, ...repeated],
      // A function fills in the place of its scratch memory.
      words: this.#words.words.map((word) =>
        word.kind === 'tensor' && word.tensor === this.#sums ? { kind: 'dim', dim: Size.constant(0) } : word,
      ),
      scratchBytes,
      errorSites: this.#errorSites,
    };
  }

  #phase(phase: LoopPhase): EmittedPhase {
    return emitPhase(phase, {
      analysis: this.#analysis,
      words: this.#words,
      errorSites: this.#errorSites,
      reporter: errorReporter(this.#target.reportError),
      helpers: this.#target.helpers,
    });
  }
}

type Op = Parameters<FunctionBuilder['op']>[0];

/** Where the products of one factor are in a tile. */
interface FactorTurn {
  /** Addresses of the first row of values, of the block's panels, and of their first sums. */
  readonly value: Local;
  readonly panel: Local;
  readonly out: Local;
  readonly panelCount: Local;
  readonly products: number;
}

/** The function of one part of a step: products of a tile into scratch memory, then the cells of the tile. */
class StepFunction {
  readonly f: FunctionBuilder;
  readonly scratchBytes: Dim;
  /** Multiplications, or the like, for one row of a tile. */
  readonly points: number;
  readonly #product: RecurrentProduct;
  readonly #part: StepPart;
  readonly #words: ArgumentWords;
  readonly #target: BlockTarget;
  readonly #cells: FunctionRef;

  constructor(
    product: RecurrentProduct,
    part: StepPart,
    words: ArgumentWords,
    sums: TensorRef,
    target: BlockTarget,
    cells: EmittedPhase,
  ) {
    this.#product = product;
    this.#part = part;
    this.#words = words;
    this.#target = target;
    this.#cells = target.module.define(cells.f);
    this.f = new FunctionBuilder(`${product.stage.name}.step`, kernelParams);
    const { units, blockUnits } = product;
    this.points = Math.min(blockUnits, units) * (part.products.length * units + cellPoints);
    this.scratchBytes = this.#emit(sums).add(cells.scratchBytes);
  }

  #emit(sums: TensorRef): Dim {
    const { f } = this;
    const words = this.#words;
    const { stage, states, parts, kept, rows, batch, units, blockUnits } = this.#product;
    const { factors } = this.#part;
    const [args, begin, end, scratch] = f.params;
    const places = factors.map(({ values, panels }) => ({
      values: words.tensor('map' in values ? kept.get(values.map)! : states),
      panels: words.tensor(panels),
    }));
    const sumsAt = words.tensor(sums);
    const rowsAt = rows.constant === undefined ? words.dim(rows) : undefined;
    // Every part asks for the same words, so that all of them have their places by now.
    for (const { panels } of parts.flatMap((part) => part.factors)) words.tensor(panels);
    for (const tensor of kept.values()) words.tensor(tensor);
    const wordBytes = () => Math.ceil((words.words.length * 4) / 64) * 64;
    const own = this.#local('own', () => f.get(scratch));
    const sumsAddress = this.#local('sums', this.#op('i32.add', scratch, wordBytes()));
    const sumBytes = sums.shape[0].constant! * 4;
    const below = this.#local('below', this.#op('i32.add', sumsAddress, sumBytes));
    f.get(own);
    f.get(args);
    f.i32Const(words.words.length * 4);
    f.memoryCopy();
    f.get(own);
    f.get(sumsAddress);
    f.store('i32.store', sumsAt * 4);
    const rowCount = this.#local('row count', () => {
      if (rowsAt === undefined) f.i32Const(rows.constant!);
      else this.#word(rowsAt);
    });
    const rowBlocks = this.#local('row blocks', () => {
      f.get(rowCount);
      f.i32Const(tileRows - 1);
      f.op('i32.add');
      f.i32Const(Math.log2(tileRows));
      f.op('i32.shr_u');
    });
    const batchCount = batch.reduce((count, size) => count * size.constant!, 1);
    const blocks = Math.ceil(units / blockUnits);
    const stateParts = stage.parts.length;
    f.forRange({ begin, end }, (tile) =>
      f.scope(() => {
        // Tiles count blocks of units fastest, then blocks of rows, batch entries, steps.
        const block = this.#local('block', this.#op('i32.rem_u', tile, blocks));
        const above = this.#local('above', this.#op('i32.div_u', tile, blocks));
        const firstRow = this.#local('first row', this.#op('i32.rem_u', above, rowBlocks));
        this.#set(firstRow, this.#op('i32.mul', firstRow, tileRows));
        // Of all steps.
        const entry = this.#local('entry', this.#op('i32.div_u', above, rowBlocks));
        const entryBatch = this.#local('batch', this.#op('i32.rem_u', entry, batchCount));
        // Every other step begins where the one before has ended: those weights are still in the cache.
        this.#op('i32.div_u', entry, batchCount)();
        f.i32Const(1);
        f.op('i32.and');
        f.if(() => this.#set(block, this.#op('i32.sub', blocks - 1, block)));
        const left = this.#local('left', this.#op('i32.sub', rowCount, firstRow));
        const most = this.#local('most', () => f.i32Const(tileRows));
        this.#minimum(left, most);
        // Panels of the block that have units.
        const perBlock = blockUnits / panelColumns;
        const panelCount = this.#local('panels', () => {
          f.i32Const(Math.ceil(units / panelColumns));
          this.#op('i32.mul', block, perBlock)();
          f.op('i32.sub');
        });
        const widest = this.#local('widest', () => f.i32Const(perBlock));
        this.#minimum(panelCount, widest);
        let firstProduct = 0;
        for (const [at, factor] of factors.entries()) {
          const value = this.#local('value', () => {
            this.#word(places[at].values);
            if ('map' in factor.values) f.get(entryBatch);
            else {
              // (step · parts + part) · batch + entry of the batch
              this.#op('i32.div_u', entry, batchCount)();
              f.i32Const(stateParts);
              f.op('i32.mul');
              f.i32Const(factor.values.statePart);
              f.op('i32.add');
              f.i32Const(batchCount);
              f.op('i32.mul');
              f.get(entryBatch);
              f.op('i32.add');
            }
            f.get(rowCount);
            f.op('i32.mul');
            f.get(firstRow);
            f.op('i32.add');
            f.i32Const(units * 4);
            f.op('i32.mul');
            f.op('i32.add');
          });
          const panel = this.#local('panel', () => {
            this.#word(places[at].panels);
            this.#op('i32.mul', entryBatch, blocks)();
            f.get(block);
            f.op('i32.add');
            f.i32Const(perBlock * factor.products.length * units * panelColumns * 4);
            f.op('i32.mul');
            f.op('i32.add');
          });
          const out = this.#local('out', this.#op('i32.add', sumsAddress, firstProduct * blockUnits * 4));
          firstProduct += factor.products.length;
          const turn = { value, panel, out, panelCount, products: factor.products.length };
          f.get(left);
          f.i32Const(1);
          f.op('i32.eq');
          f.if(
            () => f.scope(() => this.#oneRow(turn)),
            () => f.scope(() => this.#rows(turn, left)),
          );
        }
        // (entry of all steps · blocks + block) · rows + row
        const cell = this.#local('cell', this.#op('i32.mul', entry, blocks));
        this.#set(cell, this.#op('i32.add', cell, block));
        this.#set(cell, this.#op('i32.mul', cell, rowCount));
        this.#set(cell, this.#op('i32.add', cell, firstRow));
        f.get(own);
        f.get(cell);
        this.#op('i32.add', cell, left)();
        f.get(below);
        f.call(this.#cells);
      }),
    );
    return Size.constant(wordBytes() + sumBytes);
  }

  /** All products of one row, as many panels at once as there are registers for. */
  #oneRow({ value, panel, out, panelCount, products }: FactorTurn): void {
    const { f } = this;
    const { units, blockUnits } = this.#product;
    const panelBytes = units * panelColumns * 4;
    const together = Math.min(Math.max(1, Math.floor(streamsOf(1) / products)), blockUnits / panelColumns);
    const places = this.#local('places', () => f.get(panelCount));
    const run = (count: number): void => {
      f.block((done) => {
        f.loop((again) => {
          f.get(places);
          f.i32Const(count);
          f.op('i32.lt_u');
          f.brIf(done);
          f.get(value);
          f.get(panel);
          f.get(out);
          f.call(this.#define(1, count * products, products));
          this.#set(panel, this.#op('i32.add', panel, count * products * panelBytes));
          this.#set(out, this.#op('i32.add', out, count * panelColumns * 4));
          this.#set(places, this.#op('i32.sub', places, count));
          f.br(again);
        });
      });
    };
    run(together);
    if (together > 1) run(1);
  }

  /** The panels of one place at a time for all rows, so that they stay in the nearest cache. */
  #rows({ value, panel, out: first, panelCount, products }: FactorTurn, rowCount: Local): void {
    const { f } = this;
    const { units, blockUnits } = this.#product;
    const perRow = this.#part.products.length * blockUnits * 4;
    const panelBytes = units * panelColumns * 4;
    const place = f.local('i32', 'place');
    f.forRange({ begin: 0, end: panelCount, counter: place }, () => {
      f.scope(() => {
        const out = this.#local('out', () => {
          f.get(first);
          this.#op('i32.mul', place, panelColumns * 4)();
          f.op('i32.add');
        });
        const row = this.#local('row', () => f.get(value));
        const left = this.#local('rows left', () => f.get(rowCount));
        const rows = f.local('i32', 'rows');
        f.loop((again) => {
          this.#rowsOfTurn(left, rows);
          for (let count = 1; count <= mostRows; count++) {
            f.get(rows);
            f.i32Const(count);
            f.op('i32.eq');
            f.if(() => {
              const together = Math.min(products, streamsOf(count));
              for (let stream = 0; stream < products; stream += together) {
                f.get(row);
                this.#op('i32.add', panel, stream * panelBytes)();
                this.#op('i32.add', out, stream * blockUnits * 4)();
                f.call(this.#define(count, Math.min(together, products - stream), products));
              }
            });
          }
          const moved = (local: Local, size: number): void =>
            this.#set(local, () => {
              f.get(local);
              this.#op('i32.mul', rows, size)();
              f.op('i32.add');
            });
          moved(row, units * 4);
          moved(out, perRow);
          this.#set(left, this.#op('i32.sub', left, rows));
          f.get(left);
          f.brIf(again);
        });
        this.#set(panel, this.#op('i32.add', panel, products * panelBytes));
      });
    });
  }

  /** As many as there are registers for; five, where six would leave three or four that wait for their own sums. */
  #rowsOfTurn(left: Local, rows: Local): void {
    const { f } = this;
    this.#set(rows, () => f.i32Const(mostRows));
    this.#minimum(rows, left);
    for (const count of [9, 10]) {
      f.get(left);
      f.i32Const(count);
      f.op('i32.eq');
      f.if(() => this.#set(rows, () => f.i32Const(5)));
    }
  }

  /** @param products of each place of a block, among those of the part */
  #define(rows: number, streams: number, products: number): FunctionRef {
    const { units, blockUnits } = this.#product;
    const perRow = this.#part.products.length * blockUnits;
    const options = { rows, streams, units, rowBytes: units * 4, relaxed: this.#target.relaxedSimd };
    // Streams are the products of one place, then those of the next.
    const outOffset = (row: number, stream: number): number =>
      (row * perRow + (stream % products) * blockUnits + Math.floor(stream / products) * panelColumns) * 4;
    return this.#target.module.define(emitStateProduct({ ...options, outOffset }));
  }

  #local(name: string, value: () => void): Local {
    const local = this.f.local('i32', name);
    this.#set(local, value);
    return local;
  }

  #set(local: Local, value: () => void): void {
    value();
    this.f.set(local);
  }

  #op(name: Op, a: Local | number, b: Local | number): () => void {
    return () => {
      this.f.push(a);
      this.f.push(b);
      this.f.op(name);
    };
  }

  /** local = min(local, limit), unsigned. */
  #minimum(local: Local, limit: Local): void {
    const { f } = this;
    f.get(local);
    f.get(limit);
    f.get(local);
    f.get(limit);
    f.op('i32.lt_u');
    f.select();
    f.set(local);
  }

  #word(index: number): void {
    this.f.get(this.f.params[0]);
    this.f.load('i32.load', index * 4);
  }
}
