// Rows whose elements are far apart while neighbours belong to neighbouring rows, such as a softmax over channels. A thread
// takes some rows together and walks their elements in step, so that memory is read and written in runs; what each row
// keeps (sums, peaks, results on their way) is in scratch memory, side by side.

import {
  type Axis,
  add,
  axesOf,
  costOf,
  Dim,
  type DType,
  type Expr,
  ExprNumbering,
  elementAtOffset,
  type LoopHeader,
  mul,
  newRegister,
  newRowBuffer,
  type Reduction,
  rebuild,
  rewrite,
  type Statement,
  sub,
  type TensorRef,
  toIndex,
  variableValue,
} from '@onnx-ts/tensor-ir';
import { partOf, serialLoops, sizeOfLoops } from './tiles.ts';

/** One loop nest of a row: see `RowPiece`, with the domain arranged. */
export interface RowNest {
  readonly axes: readonly Axis[];
  readonly declare: readonly Statement[];
  readonly reductions: readonly Reduction[];
  readonly body: readonly Statement[];
  /** Variables that are known once the nest is done. */
  readonly after: readonly Statement[];
}

export interface SideBySide {
  readonly parallel: readonly Axis[];
  readonly body: readonly Statement[];
  /** Rows of a tile. */
  readonly rows: Dim;
}

/** Elements of scratch memory for all rows of a tile. */
const scratchElements = 1 << 14;
const [fewestRows, mostRows] = [32, 512];

/** What costs less than this is computed again for each element. */
const costly = 4;

/** Rows of fewer elements are better kept in registers, a vector of rows at a time. */
const shortRow = 8;

/**
 * @param lane the axis of rows that are neighbours in memory
 * @returns undefined for rows that are better taken a vector at a time
 */
export function walkSideBySide(lane: Axis, nests: readonly RowNest[]): SideBySide | undefined {
  if ((lane.size.constant ?? fewestRows) < fewestRows) return undefined;
  const lengths = nests.map(({ axes }) => sizeOfLoops(axes).constant ?? scratchElements);
  const longest = Math.max(...lengths);
  if (longest <= shortRow || !nests.every(canWalk)) return undefined;
  const wanted = 2 ** Math.floor(Math.log2(scratchElements / longest));
  return new RowWalk(lane, Math.min(mostRows, Math.max(fewestRows, wanted))).walk(nests);
}

function canWalk({ reductions, body, declare, after }: RowNest): boolean {
  const isSimple = (statement: Statement): boolean => statement.kind === 'store' || statement.kind === 'alloc';
  return reductions.every(({ arg }) => !arg) && [...body, ...declare, ...after].every(isSimple);
}

class RowWalk {
  readonly #numbers = new ExprNumbering();
  /** Variables for values of rows, by the numbers of those. */
  readonly #kept = new Map<number, TensorRef>();
  readonly #loop: LoopHeader;
  readonly #part: ReturnType<typeof partOf>;
  readonly #width: number;
  /** Place of a row among those of its tile. */
  readonly #place: Expr;
  /** Variables and buffers of one row → buffers of all rows of a tile. */
  readonly #buffers = new Map<TensorRef, TensorRef>();

  constructor(lane: Axis, rows: number) {
    this.#part = partOf(lane, rows, 'vector');
    this.#loop = this.#part.loop;
    this.#width = this.#loop.begin ? rows : lane.size.constant!;
    this.#place = this.#loop.begin ? sub(toIndex(lane), this.#loop.begin) : toIndex(lane);
  }

  walk(nests: readonly RowNest[]): SideBySide {
    const body = nests.flatMap(({ axes, declare, reductions, body: inside, after }): Statement[] => [
      ...declare.flatMap((statement) => this.#declare(statement)),
      ...this.#nest(axes, reductions, inside),
      ...after.flatMap((statement) => this.#declare(statement)),
    ]);
    return { parallel: this.#part.parallel, body, rows: this.#part.points };
  }

  #declare(statement: Statement): Statement[] {
    if (statement.kind !== 'alloc') throw new TypeError(`a row declares storage, not ${statement.kind}`);
    const { tensor, initial } = statement;
    const size = tensor.shape.reduce((count, dim) => count.mul(dim), Dim.constant(this.#width));
    const buffer = newRowBuffer(tensor.name, tensor.dtype, size);
    const value = initial && this.#swap(initial);
    this.#buffers.set(tensor, buffer);
    const declared: Statement = { kind: 'alloc', tensor: buffer, scope: 'row' };
    if (!value) return [declared];
    const store: Statement = { kind: 'store', tensor: buffer, offset: this.#place, value };
    return [declared, { kind: 'for', loops: [this.#loop], reductions: [], body: [store] }];
  }

  #nest(axes: readonly Axis[], given: readonly Reduction[], statements: readonly Statement[]): Statement[] {
    if (given.length === 0 && statements.length === 0) return [];
    const before: Statement[] = [];
    const keep = (e: Expr): Expr => this.#keepOfRows(axes, e, before);
    const reductions = given.map((reduction) => ({ ...reduction, value: keep(reduction.value) }));
    const body = statements.map((statement) =>
      statement.kind === 'store' ? { ...statement, value: keep(statement.value) } : statement,
    );
    const shared = this.#shared(reductions, body);
    const sharedValue = (e: Expr): Expr => {
      const variable = shared.get(this.#numbers.of(e));
      return variable ? variableValue(variable) : this.#swap(e);
    };
    const bound: Statement[] = [];
    for (const { value } of reductions) {
      const variable = shared.get(this.#numbers.of(value));
      if (variable && !bound.some((statement) => statement.kind === 'alloc' && statement.tensor === variable))
        bound.push({ kind: 'alloc', tensor: variable, scope: 'register', initial: this.#swap(value) });
    }
    const folds = reductions.flatMap((reduction): Statement[] => {
      const { variable, value } = reduction;
      const sum = elementAtOffset(this.#buffers.get(variable)!, this.#place);
      return [
        { kind: 'alloc', tensor: variable, scope: 'register', initial: sum },
        { kind: 'for', loops: [], reductions: [{ ...reduction, value: sharedValue(value) }], body: [] },
        { kind: 'store', tensor: this.#buffers.get(variable)!, offset: this.#place, value: variableValue(variable) },
      ];
    });
    const stores = body.map((statement) => this.#store(statement, sharedValue));
    const loops = [...serialLoops(axes), this.#loop];
    return [...before, { kind: 'for', loops, reductions: [], body: [...bound, ...folds, ...stores] }];
  }

  /** Computes what is the same for all elements of a row once for each row. */
  #keepOfRows(axes: readonly Axis[], root: Expr, before: Statement[]): Expr {
    const visit = (e: Expr): Expr => {
      if (e.type === 'index' || e.kind === 'load') return e;
      if (axes.some((axis) => axesOf(e).has(axis)) || costOf(e) < costly) return rebuild(e, visit);
      const number = this.#numbers.of(e);
      let variable = this.#kept.get(number);
      if (!variable) {
        variable = newRegister('row value', e.type);
        this.#kept.set(number, variable);
        before.push(...this.#declare({ kind: 'alloc', tensor: variable, scope: 'register', initial: e }));
      }
      return variableValue(variable);
    };
    return visit(root);
  }

  /** Variables for values that are both folded and stored, by their numbers. */
  #shared(reductions: readonly Reduction[], body: readonly Statement[]): ReadonlyMap<number, TensorRef> {
    const stored = new Set(body.map((statement) => statement.kind === 'store' && this.#numbers.of(statement.value)));
    const shared = new Map<number, TensorRef>();
    for (const { value } of reductions) {
      const number = this.#numbers.of(value);
      if (stored.has(number) && !shared.has(number)) shared.set(number, newRegister('value', value.type as DType));
    }
    return shared;
  }

  #store(statement: Statement, sharedValue: (e: Expr) => Expr): Statement {
    if (statement.kind !== 'store') throw new TypeError(`a row stores, it does not ${statement.kind}`);
    const buffer = this.#buffers.get(statement.tensor);
    const offset = this.#swap(statement.offset);
    return {
      ...statement,
      value: sharedValue(statement.value),
      ...(buffer ? { tensor: buffer, offset: this.#inBuffer(offset) } : { offset }),
    };
  }

  #inBuffer(offset: Expr): Expr {
    return add(mul(offset, this.#width), this.#place);
  }

  #swap(root: Expr): Expr {
    return rewrite(root, (e) => {
      const buffer = e.kind === 'load' && e.source.kind === 'tensor' ? this.#buffers.get(e.source) : undefined;
      if (!buffer || e.kind !== 'load') return undefined;
      const place = e.index.length === 0 ? this.#place : this.#inBuffer(e.index[0]);
      const guard = e.guard && { when: e.guard, otherwise: e.fill! };
      return elementAtOffset(buffer, place, guard);
    });
  }
}
