// Code for attention: one function that takes tiles (batch entry, block of query rows) and goes through the keys block by
// block, keeping the scores of one block in scratch memory (online softmax: Milakov and Gimelshein 2018; Dao et al. 2022).

import { type Axis, Dim, IndexAnalysis, type LoopPhase, productOf, type TensorRef } from '@onnx-ts/tensor-ir';
import type { Attention, Load } from '@onnx-ts/tensor-ir/attention';
import { ArgumentWords } from '../../kernel/argument-words.ts';
import { type CompiledKernel, errorReporter } from '../../kernel/compile-kernel.ts';
import { emitPhase } from '../../kernel/emit-phase.ts';
import type { ErrorSite } from '../../kernel/plan.ts';
import { kernelParams } from '../../runtime/driver.ts';
import { coefficientIn } from '../../schedule/domain.ts';
import { offsetIn } from '../../schedule/flatten.ts';
import { FunctionBuilder, type Local } from '../../wasm/function.ts';
import type { FunctionRef } from '../../wasm/types.ts';
import type { BlockTarget } from '../block-loop.ts';
import { AttentionPhases, blockKeys } from './attention-phases.ts';
import { defineBlockProduct, defineDotProducts, emitTurnPanels, panelColumns } from './block-product.ts';
import { emitPowers } from './powers.ts';
import { defineTouch, touchedKeys } from './touch.ts';

/** Rows up to which keys are read as they lie rather than packed. */
const fewRows = 4;

/** Nanoseconds for one multiplication and addition, softmax and packing included. */
const pointNanoseconds = 0.06;

export function compileAttention(attention: Attention, target: BlockTarget): CompiledKernel {
  return new AttentionCode(attention, target).compile();
}

/**
 * How an operand lies in memory: `rows` of contiguous columns, `columns` of contiguous keys (keys only), both `stride`
 * elements apart; or in a way that asks for a copy.
 */
type OperandForm = { readonly kind: 'rows' | 'columns'; readonly stride: Dim } | { readonly kind: 'other' };

function formOf(analysis: IndexAnalysis, load: Load, key: Axis, lane: Axis): OperandForm {
  const source = load.source as TensorRef;
  if (load.guard || source.dtype !== 'float32') return { kind: 'other' };
  const offset = offsetIn(analysis, source, load.index);
  const [along, across] = [coefficientIn(analysis, offset, key), coefficientIn(analysis, offset, lane)];
  if (!along || !across) return { kind: 'other' };
  if (across.is(1)) return { kind: 'rows', stride: along };
  return along.is(1) ? { kind: 'columns', stride: across } : { kind: 'other' };
}

type Parts = Readonly<Record<'table' | 'start' | 'keyRow' | 'valueRow' | 'logits' | 'finish', FunctionRef>>;
type Buffer = keyof AttentionPhases['buffers'];

class AttentionCode {
  readonly #attention: Attention;
  readonly #target: BlockTarget;
  readonly #phases: AttentionPhases;
  readonly #analysis = new IndexAnalysis();
  readonly #words = new ArgumentWords();
  readonly #errorSites: ErrorSite[] = [];
  readonly #keys: OperandForm;
  readonly #values: OperandForm;
  readonly #f: FunctionBuilder;
  #scratchBytes = Dim.constant(0);

  constructor(attention: Attention, target: BlockTarget) {
    const { k, v, key, feature, value } = attention;
    this.#attention = attention;
    this.#target = target;
    this.#phases = new AttentionPhases(attention, this.#analysis);
    this.#keys = formOf(this.#analysis, k, key, feature);
    const values = formOf(this.#analysis, v, key, value);
    // Panels that end within a row would read past the tensor's last one.
    this.#values = values.kind === 'rows' && value.size.isMultipleOf(panelColumns) ? values : { kind: 'other' };
    this.#f = new FunctionBuilder(`${attention.scores.name}.attention`, kernelParams);
  }

  compile(): CompiledKernel {
    const phases = this.#phases;
    const parts: Parts = {
      table: this.#part(phases.table()),
      start: this.#part(phases.start()),
      keyRow: this.#part(phases.keyRow()),
      valueRow: this.#part(phases.valueRow()),
      logits: this.#part(phases.logits()),
      finish: this.#part(phases.finish()),
    };
    const scratchBytes = this.#main(parts);
    const locals = new Set<unknown>(Object.values(phases.buffers));
    const { batch, key } = this.#attention;
    const tiles = productOf(batch.map((axis) => axis.size)).mul(phases.rowTiles);
    const points = phases.rowCount
      .min(phases.tileRows)
      .mul(key.size)
      .mul(phases.features + phases.columns);
    return {
      phases: [
        {
          function: this.#target.module.define(this.#f),
          tiles: phases.rowCount.min(1).mul(tiles),
          tilePoints: points,
          pointNanoseconds,
          barrier: true,
        },
      ],
      // The function fills in the places of its scratch memory.
      words: this.#words.words.map((word) =>
        word.kind === 'tensor' && locals.has(word.tensor) ? { kind: 'dim', dim: Dim.constant(0) } : word,
      ),
      scratchBytes,
      errorSites: this.#errorSites,
    };
  }

  #part(phase: LoopPhase): FunctionRef {
    const { f, scratchBytes } = emitPhase(phase, {
      analysis: this.#analysis,
      words: this.#words,
      errorSites: this.#errorSites,
      reporter: errorReporter(this.#target.reportError),
      helpers: this.#target.helpers,
    });
    this.#scratchBytes = this.#scratchBytes.max(scratchBytes);
    return this.#target.module.define(f);
  }

  /** @returns scratch memory that the function needs */
  #main(parts: Parts): Dim {
    const f = this.#f;
    const attention = this.#attention;
    const phases = this.#phases;
    const [args, begin, end, scratch] = f.params;
    const names = Object.keys(phases.buffers) as Buffer[];
    const words = this.#words;
    const places = new Map(names.map((name) => [name, words.tensor(phases.buffers[name])]));
    const operands = [attention.k, attention.v].map((load) => words.tensor(load.source as TensorRef));
    const size = this.#sizes({
      rowCount: phases.rowCount,
      tileRows: phases.tileRows,
      rowTiles: phases.rowTiles,
      keys: attention.key.size,
      keyBlocks: phases.keyBlocks,
      keyStride: this.#keys.kind === 'other' ? Dim.constant(0) : this.#keys.stride.mul(4),
      valueStride: this.#values.kind === 'other' ? Dim.constant(0) : this.#values.stride.mul(4),
    });
    // Scratch: the arguments with this thread's addresses, then the buffers, then what the parts need.
    const own = this.#local('own', () => f.get(scratch));
    const next = this.#local('next', this.#add(scratch, Math.ceil((words.words.length * 4) / 64) * 64));
    let scratchBytes = Dim.constant(Math.ceil((words.words.length * 4) / 64) * 64);
    f.get(own);
    f.get(args);
    f.i32Const(words.words.length * 4);
    f.memoryCopy();
    const at = {} as Record<Buffer, Local>;
    for (const name of names) {
      at[name] = this.#local(name, () => f.get(next));
      f.get(own);
      f.get(next);
      f.store('i32.store', places.get(name)! * 4);
      const [count] = phases.buffers[name].shape;
      // Kernels may touch a vector beyond what they are given.
      const bytes = count
        .mul(4)
        .add(64 + 63)
        .floorDiv(64)
        .mul(64);
      scratchBytes = scratchBytes.add(bytes);
      if (bytes.constant !== undefined) this.#set(next, this.#add(next, bytes.constant));
      else {
        // A buffer that grows with the tile: so many floats for each of its rows.
        const perRow = count.divideExactly(phases.tileRows)!.constant!;
        this.#set(next, () => {
          f.get(next);
          f.get(size.tileRows);
          f.i32Const(perRow * 4);
          f.op('i32.mul');
          f.i32Const(64 + 63);
          f.op('i32.add');
          f.i32Const(-64);
          f.op('i32.and');
          f.op('i32.add');
        });
      }
    }
    const base = operands.map((word, which) => this.#local(which === 0 ? 'k' : 'v', () => this.#word(args, word)));
    f.forRange({ begin, end }, (tile) => f.scope(() => this.#tile(tile, parts, size, at, own, next, base)));
    return scratchBytes.add(this.#scratchBytes);
  }

  #tile(
    tile: Local,
    parts: Parts,
    size: Readonly<
      Record<'rowCount' | 'tileRows' | 'rowTiles' | 'keys' | 'keyBlocks' | 'keyStride' | 'valueStride', Local>
    >,
    at: Readonly<Record<Buffer, Local>>,
    own: Local,
    scratch: Local,
    base: readonly Local[],
  ): void {
    const f = this.#f;
    const batch = this.#local('batch', this.#op('i32.div_u', tile, size.rowTiles));
    const firstRow = this.#local('first row', this.#op('i32.rem_u', tile, size.rowTiles));
    this.#set(firstRow, this.#op('i32.mul', firstRow, size.tileRows));
    const rows = this.#local('rows', this.#op('i32.sub', size.rowCount, firstRow));
    this.#minimum(rows, size.tileRows);
    f.get(rows);
    f.i32Const(0);
    f.op('i32.gt_s');
    f.if(() => {
      /** Runs a part for tiles [first, first + count). */
      const call = (part: FunctionRef, first: () => void, count: Local | number): void => {
        const from = this.#local('from', first);
        f.get(own);
        f.get(from);
        f.get(from);
        f.push(count);
        f.op('i32.add');
        f.get(scratch);
        f.call(part);
      };
      const rowOf = (outer: Local) => () => {
        this.#op('i32.mul', outer, size.rowCount)();
        f.get(firstRow);
        f.op('i32.add');
      };
      call(parts.table, () => f.get(batch), 1);
      call(parts.start, rowOf(batch), rows);
      const [keyAt, valueAt] = base.map((address, which) =>
        this.#local(which === 0 ? 'key' : 'value', () => {
          f.get(address);
          f.get(at.table);
          f.load('i32.load', which * 4);
          f.i32Const(2);
          f.op('i32.shl');
          f.op('i32.add');
        }),
      );
      const left = this.#local('left', () => f.get(size.keys));
      const block = this.#local('block', this.#op('i32.mul', batch, size.keyBlocks));
      const firstKey = this.#local('first key', this.#op('i32.mul', batch, size.keys));
      const keys = f.local('i32', 'keys');
      const touched = this.#local('touched', () => f.i32Const(0));
      f.block((done) => {
        f.loop((again) => {
          f.get(left);
          f.op('i32.eqz');
          f.brIf(done);
          this.#set(keys, () => f.i32Const(blockKeys));
          this.#minimum(keys, left);
          this.#touch(size, { rows, left, touched, keyAt, valueAt }, at.scores);
          f.scope(() => this.#products(parts, size, at, { rows, keys, firstKey, keyAt }, call));
          f.scope(() => call(parts.logits, rowOf(block), rows));
          this.#powers(at, rows, keys);
          // A block that is masked as a whole adds nothing.
          f.if(() => f.scope(() => this.#sums(parts, size, at, { rows, keys, firstKey, valueAt }, call)));
          this.#moveValues(size.valueStride, keys, valueAt);
          this.#set(firstKey, this.#add(firstKey, keys));
          this.#set(left, this.#op('i32.sub', left, keys));
          this.#set(touched, this.#op('i32.sub', touched, keys));
          this.#set(block, this.#add(block, 1));
          f.br(again);
        });
      });
      f.scope(() => call(parts.finish, rowOf(batch), rows));
    });
  }

  /**
   * Brings keys and values of the blocks to come into the caches, when few rows read them: then what limits attention is the
   * memory, which is quickest in long runs.
   */
  #touch(
    size: Readonly<Record<'keyStride' | 'valueStride', Local>>,
    c: Readonly<Record<'rows' | 'left' | 'touched' | 'keyAt' | 'valueAt', Local>>,
    sink: Local,
  ): void {
    const f = this.#f;
    const { features, columns, rowCount } = this.#phases;
    const operands = [
      { form: this.#keys, from: c.keyAt, stride: size.keyStride, width: features },
      { form: this.#values, from: c.valueAt, stride: size.valueStride, width: columns },
    ].filter(({ form }) => form.kind === 'rows');
    if (operands.length === 0 || (rowCount.constant ?? 0) > fewRows) return;
    f.get(c.touched);
    f.op('i32.eqz');
    this.#op('i32.le_s', c.rows, fewRows)();
    f.op('i32.and');
    f.if(() => {
      const most = touchedKeys(Math.max(features, columns) * 4);
      this.#set(c.touched, () => f.i32Const(Math.ceil(most / blockKeys) * blockKeys));
      const keys = this.#local('keys to touch', () => f.get(c.touched));
      this.#minimum(keys, c.left);
      for (const { from, stride, width } of operands) {
        f.get(from);
        f.get(stride);
        f.get(keys);
        f.i32Const(width * 4);
        f.get(sink);
        f.call(defineTouch(this.#target.module));
      }
    });
  }

  /** Scores of a block: queries × keys. Moves `keyAt` to the next block. */
  #products(
    parts: Parts,
    size: Readonly<Record<'rowCount' | 'keyStride', Local>>,
    at: Readonly<Record<Buffer, Local>>,
    c: Readonly<Record<'rows' | 'keys' | 'firstKey' | 'keyAt', Local>>,
    call: (part: FunctionRef, first: () => void, count: Local | number) => void,
  ): void {
    const f = this.#f;
    const { features } = this.#phases;
    const { module, relaxedSimd: relaxed } = this.#target;
    const rowBytes = features * 4;
    const form = this.#keys.kind;
    const count = this.#phases.rowCount.constant;
    const canDot = features % 4 === 0 && form !== 'columns';
    const product = (isContiguous: boolean): FunctionRef =>
      defineBlockProduct(module, { relaxed, accumulate: false, isContiguous });
    /** scores[r][8 · first + c] from panels. */
    const multiply = (
      ref: FunctionRef,
      b: () => void,
      bStride: Local | number,
      panels: () => void,
      panelBytes: number,
      out: () => void,
    ): void => {
      f.get(at.queries);
      f.i32Const(rowBytes);
      f.get(c.rows);
      f.i32Const(features);
      b();
      f.push(bStride);
      panels();
      f.i32Const(panelBytes);
      out();
      f.i32Const(blockKeys * 4);
      f.call(ref);
    };
    const turn = (from: () => void, stride: Local | number, panels: () => void, to: () => void): void => {
      from();
      f.push(stride);
      f.i32Const(features);
      panels();
      to();
      f.call(module.define(emitTurnPanels()));
    };
    const dots = (): void => {
      if (form === 'other') call(parts.keyRow, () => f.get(c.firstKey), c.keys);
      f.get(at.queries);
      f.i32Const(rowBytes);
      f.get(c.rows);
      f.i32Const(features);
      f.get(form === 'other' ? at.keyRows : c.keyAt);
      f.push(form === 'other' ? rowBytes : size.keyStride);
      f.get(c.keys);
      f.get(at.scores);
      f.i32Const(blockKeys * 4);
      f.call(defineDotProducts(module, { relaxed }));
    };
    const whole = this.#local('whole', this.#op('i32.shr_u', c.keys, 3));
    const packed = (): void => {
      if (form === 'other') {
        call(parts.keyRow, () => f.get(c.firstKey), c.keys);
        const panels = this.#local('panels', () => {
          this.#op('i32.add', c.keys, 7)();
          f.i32Const(3);
          f.op('i32.shr_u');
        });
        turn(
          () => f.get(at.keyRows),
          rowBytes,
          () => f.get(panels),
          () => f.get(at.keyPanels),
        );
        multiply(
          product(false),
          () => f.get(at.keyPanels),
          panelColumns * 4,
          () => f.get(panels),
          rowBytes * panelColumns,
          () => f.get(at.scores),
        );
        return;
      }
      // Whole panels from where they are, the rest by way of a copy.
      const panelsAt = (panel: Local) => () => {
        f.get(at.keyPanels);
        this.#op('i32.mul', panel, rowBytes * panelColumns)();
        f.op('i32.add');
      };
      const rest = this.#local('rest', this.#op('i32.and', c.keys, 7));
      const copyRest = (): void => {
        f.get(rest);
        f.if(() => {
          const first = this.#local('first', this.#op('i32.shl', whole, 3));
          const from = this.#local('from', () => {
            f.get(c.firstKey);
            f.get(first);
            f.op('i32.add');
          });
          call(parts.keyRow, () => f.get(from), rest);
          // The row of a key is at its position in its block.
          turn(
            () => {
              f.get(at.keyRows);
              f.get(first);
              f.i32Const(rowBytes);
              f.op('i32.mul');
              f.op('i32.add');
            },
            rowBytes,
            () => f.i32Const(1),
            panelsAt(whole),
          );
        });
      };
      if (form === 'rows') {
        turn(
          () => f.get(c.keyAt),
          size.keyStride,
          () => f.get(whole),
          () => f.get(at.keyPanels),
        );
        copyRest();
        multiply(
          product(false),
          () => f.get(at.keyPanels),
          panelColumns * 4,
          () => {
            this.#op('i32.add', c.keys, 7)();
            f.i32Const(3);
            f.op('i32.shr_u');
          },
          rowBytes * panelColumns,
          () => f.get(at.scores),
        );
        return;
      }
      f.get(whole);
      f.if(() =>
        multiply(
          product(true),
          () => f.get(c.keyAt),
          size.keyStride,
          () => f.get(whole),
          panelColumns * 4,
          () => f.get(at.scores),
        ),
      );
      copyRest();
      f.get(rest);
      f.if(() =>
        multiply(
          product(false),
          panelsAt(whole),
          panelColumns * 4,
          () => f.i32Const(1),
          rowBytes * panelColumns,
          () => {
            f.get(at.scores);
            this.#op('i32.shl', whole, 5)();
            f.op('i32.add');
          },
        ),
      );
    };
    if (!canDot || (count !== undefined && count > fewRows)) packed();
    else if (count !== undefined) dots();
    else {
      f.get(size.rowCount);
      f.i32Const(fewRows);
      f.op('i32.le_s');
      f.if(dots, packed);
    }
    if (form === 'rows') {
      this.#set(c.keyAt, () => {
        f.get(c.keyAt);
        this.#op('i32.mul', c.keys, size.keyStride)();
        f.op('i32.add');
      });
    } else if (form === 'columns') {
      this.#set(c.keyAt, () => {
        f.get(c.keyAt);
        this.#op('i32.shl', c.keys, 2)();
        f.op('i32.add');
      });
    }
  }

  /** Adds powers × values of a block to the sums. */
  #sums(
    parts: Parts,
    size: Readonly<Record<'valueStride', Local>>,
    at: Readonly<Record<Buffer, Local>>,
    c: Readonly<Record<'rows' | 'keys' | 'firstKey' | 'valueAt', Local>>,
    call: (part: FunctionRef, first: () => void, count: Local | number) => void,
  ): void {
    const f = this.#f;
    const { columns } = this.#phases;
    const { module, relaxedSimd: relaxed } = this.#target;
    const isCopied = this.#values.kind === 'other';
    if (isCopied) call(parts.valueRow, () => f.get(c.firstKey), c.keys);
    f.get(at.scores);
    f.i32Const(blockKeys * 4);
    f.get(c.rows);
    f.get(c.keys);
    f.get(isCopied ? at.valueRows : c.valueAt);
    f.push(isCopied ? columns * 4 : size.valueStride);
    f.i32Const(columns / panelColumns);
    f.i32Const(panelColumns * 4);
    f.get(at.sums);
    f.i32Const(columns * 4);
    f.call(defineBlockProduct(module, { relaxed, accumulate: true, isContiguous: true }));
  }

  #moveValues(stride: Local, keys: Local, valueAt: Local): void {
    if (this.#values.kind === 'other') return;
    this.#set(valueAt, () => {
      this.#f.get(valueAt);
      this.#op('i32.mul', keys, stride)();
      this.#f.op('i32.add');
    });
  }

  /** Pushes whether any power of the block is not 0. */
  #powers(at: Readonly<Record<Buffer, Local>>, rows: Local, keys: Local): void {
    const f = this.#f;
    const { module, relaxedSimd: relaxed } = this.#target;
    f.get(at.scores);
    f.i32Const(blockKeys * 4);
    f.get(rows);
    f.get(keys);
    for (const name of ['references', 'factors', 'totals', 'sums'] as const) f.get(at[name]);
    f.i32Const(this.#phases.columns);
    f.call(module.define(emitPowers({ relaxed })));
  }

  #sizes<Name extends string>(dims: Readonly<Record<Name, Dim>>): Readonly<Record<Name, Local>> {
    const f = this.#f;
    // All words have their place before the first is read.
    const entries = Object.entries(dims) as [Name, Dim][];
    const positions = entries.map(([, dim]) => (dim.constant === undefined ? this.#words.dim(dim) : undefined));
    const locals = entries.map(([name, dim], at) => {
      const position = positions[at];
      const value = (): void =>
        position === undefined ? f.i32Const(dim.constant!) : this.#word(f.params[0], position);
      return [name, this.#local(name, value)] as const;
    });
    return Object.fromEntries(locals) as Record<Name, Local>;
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

  #op(name: Parameters<FunctionBuilder['op']>[0], a: Local, b: Local | number): () => void {
    return () => {
      this.#f.push(a);
      this.#f.push(b);
      this.#f.op(name);
    };
  }

  #add(a: Local, b: Local | number): () => void {
    return this.#op('i32.add', a, b);
  }

  /** local = min(local, limit) */
  #minimum(local: Local, limit: Local): void {
    const f = this.#f;
    f.get(local);
    f.get(limit);
    f.get(local);
    f.get(limit);
    f.op('i32.lt_s');
    f.select();
    f.set(local);
  }

  #word(base: Local, index: number): void {
    this.#f.get(base);
    this.#f.load('i32.load', index * 4);
  }
}
