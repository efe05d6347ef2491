// Attention by workgroups: each takes a few rows through the keys, block by block, with the scores of one block in
// workgroup memory (online softmax: Milakov and Gimelshein 2018; Dao et al. 2022).

import { Dim, type Expr } from '@onnx-ts/tensor-ir';
import type { Attention } from '@onnx-ts/tensor-ir/attention';
import type { Scope } from '../../emit/scope.ts';
import { Shader } from '../../emit/shader.ts';
import type { ShaderTarget } from '../../emit/target.ts';
import { countOf, type Dispatch, finish, unravel } from '../dispatch.ts';
import { AttentionValues } from './attention-values.ts';

const lanes = 64;
/** Features that are in workgroup memory at a time. */
const depth = 16;

/** Rows of a workgroup, where there are more than one. */
const mostRows = 8;

/** Columns of the result from which a workgroup takes fewer rows: sums are in registers. */
const manyColumns = 256;

/** One dispatch for a single row, or for several, or both where that depends on sizes. */
export function dispatchTiledAttention(attention: Attention, target: ShaderTarget): Dispatch[] {
  const rows = countOf(attention.rows);
  const several = attention.value.size.constant! > manyColumns ? 2 : mostRows;
  const emit = (tile: number): Dispatch => new TiledAttention(attention, target, tile).dispatch();
  if (rows.atMost(1)) return [emit(1)];
  if (rows.lowerBound > 1) return [emit(several)];
  const isSingle = Dim.constant(2).sub(rows).max(0).min(1);
  const [single, tiled] = [emit(1), emit(several)];
  return [
    { ...single, workgroups: single.workgroups.mul(isSingle) },
    { ...tiled, workgroups: tiled.workgroups.mul(Dim.constant(1).sub(isSingle)) },
  ];
}

class TiledAttention {
  readonly #attention: Attention;
  readonly #shader: Shader;
  readonly #parts: AttentionValues;
  readonly #rows: number;
  /** Keys of a block. */
  readonly #keys: number;
  /** Invocations along the keys of a block share rows with this many others. */
  readonly #scoreRows: number;
  /** Invocations along the columns of the result, and rows that they share. */
  readonly #columnLanes: number;
  readonly #sumRows: number;

  constructor(attention: Attention, target: ShaderTarget, rows: number) {
    this.#attention = attention;
    this.#shader = new Shader({ ...target, genericSizes: true }, attention.kernel.outputs.length);
    this.#parts = new AttentionValues(attention);
    this.#rows = rows;
    this.#keys = rows === 1 ? lanes : lanes / 2;
    this.#scoreRows = lanes / this.#keys;
    this.#columnLanes = Math.min(lanes, 2 ** Math.ceil(Math.log2(attention.value.size.constant!)));
    this.#sumRows = lanes / this.#columnLanes;
  }

  dispatch(): Dispatch {
    const { batch, rows, key, value } = this.#attention;
    const [shader, parts] = [this.#shader, this.#parts];
    const scope = parts.scope(shader);
    const rowCount = countOf(rows);
    const tiles = rowCount.ceilDiv(Dim.constant(this.#rows));
    const count = countOf(batch).mul(tiles);
    scope.line('let point = i32(group.x + group.y * groups.x);');
    scope.line(`if (point >= ${shader.size(count, scope)}) { return; }`);
    const tileCount = shader.size(tiles, rows);
    scope.line(`let first_row = point % ${tileCount} * ${this.#rows}i;`);
    unravel(scope, batch, scope.define('i32', `point / ${tileCount}`));
    scope.line(`let key_lane = i32(lane) % ${this.#keys}i;`);
    scope.line(`let score_row = i32(lane) / ${this.#keys}i;`);
    scope.line(`let column_lane = i32(lane) % ${this.#columnLanes}i;`);
    scope.line(`let sum_row = i32(lane) / ${this.#columnLanes}i;`);
    const names = {
      queries: shader.workgroupArray('f32', this.#rows * depth),
      keys: shader.workgroupArray('f32', (this.#keys + 1) * depth),
      powers: shader.workgroupArray('f32', Math.max(this.#rows, this.#scoreRows) * this.#keys),
      peaks: shader.workgroupArray('f32', this.#rows),
      totals: shader.workgroupArray('f32', this.#rows),
      scales: shader.workgroupArray('f32', this.#rows),
    };
    const sumsEach = Math.ceil(this.#rows / this.#sumRows);
    const columnsEach = Math.ceil(value.size.constant! / this.#columnLanes);
    scope.line(`var sums: array<f32, ${sumsEach * columnsEach}>;`);
    scope.block(`if (i32(lane) < ${this.#rows}i)`, (inner) => {
      inner.line(`${names.peaks}[lane] = ${parts.lowest(inner)};`);
      inner.line(`${names.totals}[lane] = 0.0f;`);
    });
    const keyCount = shader.size(key.size, key);
    scope.block(`for (var first = 0i; first < ${keyCount}; first += ${this.#keys}i)`, (block) =>
      this.#block(block, names, keyCount, sumsEach, columnsEach),
    );
    scope.line('workgroupBarrier();');
    scope.block(`for (var i = 0i; i < ${sumsEach}i; i++)`, (outer) => {
      outer.line(`let row = sum_row + i * ${this.#sumRows}i;`);
      this.#ifRow(outer, 'row', (inner) => {
        inner.line(`let peak = ${names.peaks}[row];`);
        inner.line(`var total = ${names.totals}[row];`);
        // Where all keys are masked, all powers are the same.
        inner.line('var masked = 0.0f;');
        inner.block(`if (${parts.isLowest(inner, 'peak')} && ${keyCount} > 0i)`, (inside) => {
          inside.line(`masked = ${parts.maskedPower(inside, 'peak')};`);
          inside.line('total = masked;');
        });
        inner.block(`for (var j = 0i; j < ${columnsEach}i; j++)`, (inside) => {
          inside.line(`let column = column_lane + j * ${this.#columnLanes}i;`);
          inside.line(`if (column >= ${shader.size(value.size, value)}) { break; }`);
          inside.bindAxis(value, 'column');
          inside.line(`let sum = sums[i * ${columnsEach}i + j] + masked;`);
          parts.store(inside, 'peak', 'total', 'sum');
        });
      });
    });
    return finish(shader, scope, count, lanes);
  }

  /** For a row of the tile that there is: gives its axes their values. */
  #ifRow(scope: Scope, row: string, body: (inner: Scope) => void, also = ''): void {
    const { rows } = this.#attention;
    const at = scope.define('i32', `first_row + ${row}`);
    const count = this.#shader.size(countOf(rows), rows, 1);
    scope.block(`if (${row} < ${this.#rows}i && ${at} < ${count}${also})`, (inner) => {
      unravel(inner, rows, at);
      body(inner);
    });
  }

  #block(scope: Scope, names: Names, keyCount: string, sumsEach: number, columnsEach: number): void {
    const { feature, key, value } = this.#attention;
    const [shader, parts] = [this.#shader, this.#parts];
    const scoresEach = Math.ceil(this.#rows / this.#scoreRows);
    scope.line(`var scores = array<f32, ${scoresEach}>();`);
    const featureCount = shader.size(feature.size, feature);
    scope.block(`for (var from_feature = 0i; from_feature < ${featureCount}; from_feature += ${depth}i)`, (chunk) => {
      this.#stage(chunk, names, keyCount, featureCount);
      chunk.line('workgroupBarrier();');
      chunk.block(`for (var f = 0i; f < ${depth}i; f++)`, (inner) => {
        inner.line(`let factor = ${names.keys}[f * ${this.#keys + 1}i + key_lane];`);
        inner.block(`for (var i = 0i; i < ${scoresEach}i; i++)`, (inside) =>
          inside.line(
            `scores[i] += ${names.queries}[min(score_row + i * ${this.#scoreRows}i, ${this.#rows - 1}i) * ${depth}i + f] * factor;`,
          ),
        );
      });
      chunk.line('workgroupBarrier();');
    });
    const eachScore = (body: (inner: Scope) => void): void =>
      scope.block(`for (var i = 0i; i < ${scoresEach}i; i++)`, (inner) => {
        inner.line(`let row = score_row + i * ${this.#scoreRows}i;`);
        inner.line(`let key = first + key_lane;`);
        inner.bindAxis(key, 'key');
        body(inner);
      });
    eachScore((inner) => {
      inner.line(`var entry = ${parts.lowest(inner)};`);
      this.#ifRow(
        inner,
        'row',
        (inside) => {
          inside.line('let score = scores[i];');
          inside.line(`entry = ${parts.logit(inside, 'score')};`);
        },
        ` && key < ${keyCount}`,
      );
      inner.line('scores[i] = entry;');
      inner.line(`${names.powers}[row * ${this.#keys}i + key_lane] = entry;`);
    });
    scope.line('workgroupBarrier();');
    this.#ifRow(scope, 'i32(lane)', (inner) => {
      inner.line(`let before = ${names.peaks}[lane];`);
      inner.line('var after = before;');
      inner.block(`for (var at = 0i; at < ${this.#keys}i; at++)`, (inside) =>
        inside.line(
          `after = ${shader.helpers.use('max_f32')}(after, ${names.powers}[i32(lane) * ${this.#keys}i + at]);`,
        ),
      );
      inner.line('var factor = 0.0f;');
      inner.block(`if (!${parts.isLowest(inner, 'after')})`, (inside) =>
        inside.line(`factor = ${parts.scale(inside, 'before', 'after')};`),
      );
      inner.line(`${names.scales}[lane] = factor;`);
      inner.line(`${names.peaks}[lane] = after;`);
    });
    scope.line('workgroupBarrier();');
    eachScore((inner) => {
      inner.line('var power = 0.0f;');
      this.#ifRow(
        inner,
        'row',
        (inside) => {
          inside.line(`let peak = ${names.peaks}[row];`);
          inside.line('let entry = scores[i];');
          inside.block(`if (!${parts.isLowest(inside, 'peak')})`, (most) =>
            most.line(`power = ${parts.power(most, 'entry', 'peak')};`),
          );
        },
        ` && key < ${keyCount}`,
      );
      inner.line(`${names.powers}[row * ${this.#keys}i + key_lane] = power;`);
    });
    scope.line('workgroupBarrier();');
    this.#ifRow(scope, 'i32(lane)', (inner) => {
      inner.line(`var total = ${names.totals}[lane] * ${names.scales}[lane];`);
      inner.block(`for (var at = 0i; at < ${this.#keys}i; at++)`, (inside) =>
        inside.line(`total += ${names.powers}[i32(lane) * ${this.#keys}i + at];`),
      );
      inner.line(`${names.totals}[lane] = total;`);
    });
    scope.block(`for (var i = 0i; i < ${sumsEach}i; i++)`, (inner) => {
      inner.line(`let scale = ${names.scales}[min(sum_row + i * ${this.#sumRows}i, ${this.#rows - 1}i)];`);
      inner.line(`for (var j = 0i; j < ${columnsEach}i; j++) { sums[i * ${columnsEach}i + j] *= scale; }`);
    });
    scope.block(`for (var at = 0i; at < ${this.#keys}i && first + at < ${keyCount}; at++)`, (outer) => {
      outer.bindAxis(key, outer.define('i32', 'first + at'));
      outer.block(`for (var j = 0i; j < ${columnsEach}i; j++)`, (inner) => {
        inner.line(`let column = column_lane + j * ${this.#columnLanes}i;`);
        inner.line(`if (column >= ${shader.size(value.size, value)}) { break; }`);
        inner.bindAxis(value, 'column');
        const factor = inner.define('f32', inner.value(parts.valueFactor));
        inner.block(`for (var i = 0i; i < ${sumsEach}i; i++)`, (inside) =>
          inside.line(
            `sums[i * ${columnsEach}i + j] += ${names.powers}[min(sum_row + i * ${this.#sumRows}i, ${this.#rows - 1}i) * ${this.#keys}i + at] * ${factor};`,
          ),
        );
      });
    });
    scope.line('workgroupBarrier();');
  }

  /** Brings a few features of the rows and of the block's keys into workgroup memory. */
  #stage(scope: Scope, names: Names, keyCount: string, featureCount: string): void {
    const { q, key, feature } = this.#attention;
    const fill = (count: number, body: (inner: Scope) => void): void =>
      scope.block(`for (var at = i32(lane); at < ${count * depth}i; at += ${lanes}i)`, (inner) => {
        inner.line(`let line = at / ${depth}i;`);
        inner.line(`let f = at % ${depth}i;`);
        inner.bindAxis(feature, inner.define('i32', 'from_feature + f'));
        inner.line('var factor = 0.0f;');
        body(inner);
      });
    const put = (inner: Scope, factor: Expr): void => inner.line(`factor = ${inner.value(factor)};`);
    const isFeature = `from_feature + f < ${featureCount}`;
    fill(this.#rows, (inner) => {
      this.#ifRow(inner, 'line', (inside) => put(inside, q), ` && ${isFeature}`);
      inner.line(`${names.queries}[line * ${depth}i + f] = factor;`);
    });
    fill(this.#keys, (inner) => {
      const at = inner.define('i32', 'first + line');
      inner.bindAxis(key, at);
      inner.block(`if (${at} < ${keyCount} && ${isFeature})`, (inside) => put(inside, this.#parts.keyFactor));
      inner.line(`${names.keys}[f * ${this.#keys + 1}i + line] = factor;`);
    });
  }
}

/** Arrays in workgroup memory. */
interface Names {
  readonly queries: string;
  readonly keys: string;
  readonly powers: string;
  readonly peaks: string;
  readonly totals: string;
  readonly scales: string;
}
