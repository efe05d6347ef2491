// The parts of attention that are generated from loops: copies of operands into scratch memory, the softmax step on a
// block of scores while it is in the cache, and the result. Any mask, bias, cap or conversion is in these loops.

import {
  type Axis,
  add,
  cast,
  constant,
  Dim,
  dimension,
  type Expr,
  elementAt,
  elementAtOffset,
  epilogueAxes,
  eq,
  type IndexAnalysis,
  type LoopHeader,
  type LoopPhase,
  max,
  min,
  mod,
  mul,
  newAxis,
  newRegister,
  newTensorRef,
  productOf,
  type Stage,
  type Statement,
  select,
  sub,
  substituteAxes,
  type TensorRef,
  toIndex,
  variableValue,
} from '@onnx-ts/tensor-ir';
import type { Attention, Load } from '@onnx-ts/tensor-ir/attention';
import { flatOffsetIn, flatten, offsetIn } from '../../schedule/flatten.ts';
import { rowLets } from '../block-phases.ts';
import { mostBlockRows, panelColumns } from './block-product.ts';

/** Keys of a block: its scores, keys and values stay in the caches. */
export const blockKeys = 64;

/** Query rows that share a pass over the keys, at most. */
const mostTileRows = 96;

/** Below every finite float32: exponents relative to it are those of rows that have met nothing but −∞. */
const lowest = -3.4028234663852886e38;

/** What a thread has in scratch memory while it works on a tile, in order. */
export interface AttentionBuffers {
  /** Offsets of the first key and the first value in their tensors. */
  readonly table: TensorRef;
  readonly queries: TensorRef;
  readonly scores: TensorRef;
  /** Sums of weighted values, not yet divided. */
  readonly sums: TensorRef;
  readonly peaks: TensorRef;
  readonly references: TensorRef;
  readonly totals: TensorRef;
  readonly factors: TensorRef;
  /** Keys as rows, and as panels. */
  readonly keyRows: TensorRef;
  readonly keyPanels: TensorRef;
  readonly valueRows: TensorRef;
}

export class AttentionPhases {
  readonly attention: Attention;
  readonly analysis: IndexAnalysis;
  readonly rowCount: Dim;
  /** Rows of a tile, and tiles that the rows of a batch entry make. */
  readonly tileRows: Dim;
  readonly rowTiles: Dim;
  readonly keyBlocks: Dim;
  readonly features: number;
  /** Value columns, in whole panels. */
  readonly columns: number;
  readonly buffers: AttentionBuffers;
  readonly #row: Axis;
  readonly #lets: readonly Statement[];

  constructor(attention: Attention, analysis: IndexAnalysis) {
    this.attention = attention;
    this.analysis = analysis;
    const { rows, key, feature, value } = attention;
    this.rowCount = productOf(rows.map((axis) => axis.size));
    // Tiles of equal height, in whole turns of the micro-kernel.
    this.rowTiles = this.rowCount.ceilDiv(mostTileRows).max(1);
    this.tileRows = this.rowCount.ceilDiv(this.rowTiles).ceilDiv(mostBlockRows).max(1).mul(mostBlockRows);
    this.keyBlocks = key.size.ceilDiv(blockKeys);
    this.features = feature.size.constant!;
    this.columns = Math.ceil(value.size.constant! / panelColumns) * panelColumns;
    const floats = (name: string, count: number | Dim): TensorRef => newTensorRef(name, 'float32', [Dim.from(count)]);
    this.buffers = {
      table: newTensorRef('table', 'int32', [Dim.constant(2)]),
      queries: floats('queries', this.tileRows.mul(this.features)),
      scores: floats('scores', this.tileRows.mul(blockKeys)),
      sums: floats('sums', this.tileRows.mul(this.columns)),
      peaks: floats('peaks', this.tileRows),
      references: floats('references', this.tileRows),
      totals: floats('totals', this.tileRows),
      factors: floats('factors', this.tileRows),
      keyRows: floats('key rows', blockKeys * this.features),
      keyPanels: floats('key panels', blockKeys * this.features),
      valueRows: floats('value rows', blockKeys * this.columns),
    };
    this.#row = newAxis('row', this.rowCount);
    this.#lets = rowLets(rows, this.#row);
  }

  /** One tile for each batch entry: where its keys and values begin. */
  table(): LoopPhase {
    const { batch, key, feature, value, k, v } = this.attention;
    const first = (load: Load, ...fixed: Axis[]): Expr => {
      const zeros = new Map(fixed.map((axis) => [axis, dimension(0)]));
      const index = load.index.map((e) => substituteAxes(e, zeros));
      return cast('int32', flatOffsetIn(this.analysis, load.source as TensorRef, index));
    };
    const { table } = this.buffers;
    return this.#phase('table', batch, [
      { kind: 'store', tensor: table, offset: dimension(0), value: first(k, key, feature) },
      { kind: 'store', tensor: table, offset: dimension(1), value: first(v, key, value) },
    ]);
  }

  /** One tile for each row: copies its query, and sets its sums to those over no key. */
  start(): LoopPhase {
    const { batch, feature, q } = this.attention;
    const { queries, sums, peaks, references, totals } = this.buffers;
    const column = newAxis('column', this.columns);
    const at = this.#rowOffset(this.features, toIndex(feature));
    return this.#phase(
      'start',
      [...batch, this.#row],
      [
        ...this.#lets,
        vectorLoop(feature, [{ kind: 'store', tensor: queries, offset: at, value: this.#flat(q) }]),
        vectorLoop(column, [
          { kind: 'store', tensor: sums, offset: this.#rowOffset(this.columns, toIndex(column)), value: zero },
        ]),
        this.#setRow(peaks, constant('float32', Number.NEGATIVE_INFINITY)),
        this.#setRow(references, constant('float32', lowest)),
        this.#setRow(totals, zero),
      ],
    );
  }

  /** One tile for each key: its features as a row. */
  keyRow(): LoopPhase {
    const { batch, key, feature, k } = this.attention;
    return this.#operandRow('keys', batch, key, feature, k, this.buffers.keyRows, this.features);
  }

  /** One tile for each key: its value as a row. */
  valueRow(): LoopPhase {
    const { batch, key, value, v } = this.attention;
    return this.#operandRow('values', batch, key, value, v, this.buffers.valueRows, this.columns);
  }

  #operandRow(
    name: string,
    batch: readonly Axis[],
    key: Axis,
    lane: Axis,
    load: Load,
    buffer: TensorRef,
    width: number,
  ) {
    const value = this.#flat(load);
    const offset = add(mul(mod(toIndex(key), blockKeys), width), toIndex(lane));
    return this.#phase(
      name,
      [...batch, key],
      [vectorLoop(lane, [{ kind: 'store', tensor: buffer, offset, value: cast('float32', value) }])],
    );
  }

  /**
   * One tile for each row of each block of keys: turns its products into logits, and finds what powers are relative to
   * from now on, and the factor that brings what has been summed before to it.
   */
  logits(): LoopPhase {
    const { batch, key, logit, reference, scores, peak } = this.attention;
    const buffers = this.buffers;
    const block = newAxis('block', this.keyBlocks);
    const lane = newAxis('lane', Math.min(blockKeys, key.size.constant ?? blockKeys));
    const first = mul(toIndex(block), blockKeys);
    const at = this.#rowOffset(blockKeys, toIndex(lane));
    const score = elementAtOffset(buffers.scores, at);
    const here = new Map<Axis, Expr>([[key, add(first, toIndex(lane))]]);
    const value = this.#flat(substituteAxes(logit, here), new Map([[scores, score]]));
    const isWhole = key.size.isMultipleOf(blockKeys) || (key.size.constant ?? Number.POSITIVE_INFINITY) < blockKeys;
    const end = isWhole ? undefined : min(dimension(blockKeys), sub(dimension(key.size), first));
    const register = (name: string): TensorRef => newRegister(name, 'float32');
    const [blockPeak, newPeak, before, newReference] = ['most', 'peak', 'before', 'reference'].map(register);
    const referenceHere = this.#flat(reference, new Map([[peak, variableValue(newPeak)]]));
    return this.#phase(
      'logits',
      [...batch, block, this.#row],
      [
        ...this.#lets,
        alloc(blockPeak, constant('float32', Number.NEGATIVE_INFINITY)),
        {
          kind: 'for',
          loops: [{ axis: lane, mode: 'vector', ...(end && { begin: dimension(0), end }) }],
          // A nest combines its reductions after its body: this reads what the body has stored.
          reductions: [{ variable: blockPeak, op: 'max', value: score }],
          body: [{ kind: 'store', tensor: buffers.scores, offset: at, value }],
        },
        alloc(newPeak, max(this.#rowValue(buffers.peaks), variableValue(blockPeak))),
        this.#setRow(buffers.peaks, variableValue(newPeak)),
        alloc(before, this.#rowValue(buffers.references)),
        alloc(newReference, max(referenceHere, lowest)),
        this.#setRow(buffers.references, variableValue(newReference)),
        this.#setRow(buffers.factors, exponential(sub(variableValue(before), variableValue(newReference)))),
      ],
    );
  }

  /** One tile for each row: writes its result. */
  finish(): LoopPhase {
    const { batch, key, value, values, weigh, peak, total, epilogue, output } = this.attention;
    const { sums, peaks, totals } = this.buffers;
    const sum = elementAtOffset(sums, this.#rowOffset(this.columns, toIndex(value)));
    const own = new Map<Stage, Expr>([
      [values, sum],
      [peak, this.#rowValue(peaks)],
      [total, this.#rowValue(totals)],
    ]);
    let result = this.#flat(weigh(elementAt(values, values.axes)), own);
    // A sum over no key is 0, whatever its weights.
    if (key.size.lowerBound < 1) result = select(eq(dimension(key.size), dimension(0)), 0, result);
    let index: Expr[];
    if (epilogue) {
      const at = new Map<Axis, Expr>(epilogue.axes.map((axis) => [axis, dimension(0)]));
      for (const [from, to] of epilogueAxes({ head: values, epilogue })) at.set(to, toIndex(from));
      result = this.#flat(substituteAxes(epilogue.body, at), new Map([[values, result]]));
      index = epilogue.axes.map((axis) => at.get(axis)!);
    } else index = values.axes.map(toIndex);
    return this.#phase(
      'finish',
      [...batch, this.#row],
      [
        ...this.#lets,
        vectorLoop(value, [
          { kind: 'store', tensor: output, offset: offsetIn(this.analysis, output, index), value: result },
        ]),
      ],
    );
  }

  #phase(part: string, parallel: readonly Axis[], body: readonly Statement[]): LoopPhase {
    return { name: `${this.attention.scores.name}.${part}`, parallel, body, independent: false };
  }

  /** Offset of a column in this row of a buffer. */
  #rowOffset(width: number, column: Expr): Expr {
    return add(mul(mod(toIndex(this.#row), dimension(this.tileRows)), width), column);
  }

  #rowValue(buffer: TensorRef): Expr {
    return elementAtOffset(buffer, mod(toIndex(this.#row), dimension(this.tileRows)));
  }

  #setRow(tensor: TensorRef, value: Expr): Statement {
    return { kind: 'store', tensor, offset: mod(toIndex(this.#row), dimension(this.tileRows)), value };
  }

  /** Loads from memory at their offsets, loads of stages as given. */
  #flat(e: Expr, stages: ReadonlyMap<Stage, Expr> = new Map()): Expr {
    return flatten(this.analysis, e, ({ source }) => {
      const value = stages.get(source);
      if (!value) throw new TypeError(`the stage ${source.name} is not at hand here`);
      return value;
    });
  }
}

const zero = constant('float32', 0);

function exponential(x: Expr): Expr {
  return { kind: 'unary', type: 'float32', op: 'exp', x };
}

function alloc(tensor: TensorRef, initial: Expr): Statement {
  return { kind: 'alloc', tensor, scope: 'register', initial };
}

function vectorLoop(axis: Axis, body: readonly Statement[]): Statement {
  const loops: LoopHeader[] = [{ axis, mode: 'vector' }];
  return { kind: 'for', loops, reductions: [], body };
}
