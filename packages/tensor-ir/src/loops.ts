// Level 3, loops: a scheduled kernel, as code generators read it. Which loops run in parallel, which become vectors and
// what is kept in local storage has been decided; how a target does it has not.
//
// Expressions are those of level 2 with these rules:
// - an element of a tensor in memory or of a local buffer is a `load` with one index: the linear offset in elements,
//   physical order (layouts and ranks are gone);
// - a scalar variable is a `load` without indices of a tensor that an `alloc` declared;
// - an `axis` is the counter of an enclosing loop or an index bound by `let`;
// - stages do not occur.

import { Dim, type DimLike } from './dim.ts';
import { type DType, integerRange, isFloat, isUnsigned } from './dtype.ts';
import { type Axis, constant, dimension, type Expr } from './expr.ts';
import type { ReduceOp } from './stage.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';

/**
 * - `serial`: in order;
 * - `unroll`: in order, the body repeated for each value; bounds are constants;
 * - `vector`: iterations may run side by side in lanes, in any order;
 * - `parallel`: iterations may run on different threads, in any order.
 */
export type LoopMode = 'serial' | 'unroll' | 'vector' | 'parallel';

/** A counter that runs over begin ≤ axis < end; bounds default to 0 and the axis's size. */
export interface LoopHeader {
  readonly axis: Axis;
  readonly mode: LoopMode;
  readonly begin?: Expr;
  readonly end?: Expr;
}

/**
 * Value combined over all iterations of a loop nest. The variable holds the result after the loop; what it held before
 * is the value that the result starts from (its `alloc` sets the identity). Iterations may be combined in any order.
 */
export interface Reduction {
  readonly variable: TensorRef;
  readonly op: ReduceOp;
  readonly value: Expr;
  /**
   * For argmax and argmin: `variable` becomes the `position` (int32) of the best value, `best` holds that value; ties go
   * to the least position, or to the greatest with `selectLast`; NaN wins over everything. A nest over no iterations
   * leaves both as they were.
   */
  readonly arg?: { readonly best: TensorRef; readonly position: Expr; readonly selectLast: boolean };
}

export type Statement =
  | { readonly kind: 'block'; readonly body: readonly Statement[] }
  /** A nest of loops, outermost first; `body` and the reductions' values are evaluated in the innermost. */
  | {
      readonly kind: 'for';
      readonly loops: readonly LoopHeader[];
      readonly reductions: readonly Reduction[];
      readonly body: readonly Statement[];
    }
  /** Names an index for the rest of the enclosing block. */
  | { readonly kind: 'let'; readonly axis: Axis; readonly value: Expr }
  | { readonly kind: 'set'; readonly variable: TensorRef; readonly value: Expr }
  | { readonly kind: 'store'; readonly tensor: TensorRef; readonly offset: Expr; readonly value: Expr }
  | { readonly kind: 'if'; readonly condition: Expr; readonly body: readonly Statement[] }
  /**
   * Declares local storage for the rest of the enclosing block. A `register` is a scalar variable (rank 0), with its
   * first value; a `row` buffer belongs to one thread and has no defined content. Inside a vector loop each lane has its
   * own.
   */
  | { readonly kind: 'alloc'; readonly tensor: TensorRef; readonly scope: LocalScope; readonly initial?: Expr };

export type LocalScope = 'register' | 'row';

export type ForStatement = Extract<Statement, { kind: 'for' }>;

/** One launch: all threads take part, and all have finished before the next phase starts. */
export interface LoopPhase {
  readonly name: string;
  /** The `parallel` loops, outermost first; none means that one thread does everything. */
  readonly parallel: readonly Axis[];
  readonly body: readonly Statement[];
  /** It neither reads nor overwrites what the phase before writes: both may run at once. */
  readonly independent: boolean;
}

export interface LoopProgram {
  readonly name: string;
  readonly params: readonly TensorRef[];
  readonly outputs: readonly TensorRef[];
  readonly phases: readonly LoopPhase[];
}

/** A scalar variable. */
export function newRegister(name: string, dtype: DType): TensorRef {
  return newTensorRef(name, dtype, []);
}

/** A local array of `size` elements. */
export function newRowBuffer(name: string, dtype: DType, size: DimLike): TensorRef {
  return newTensorRef(name, dtype, [Dim.from(size)]);
}

/** Element at a linear offset of a tensor in memory or a local array. */
export function elementAtOffset(
  tensor: TensorRef,
  offset: Expr,
  guard?: { readonly when: Expr; readonly otherwise: Expr },
): Expr {
  const load = { kind: 'load', type: tensor.dtype, source: tensor, index: [offset] } as const;
  return guard ? { ...load, guard: guard.when, fill: guard.otherwise } : load;
}

export function variableValue(variable: TensorRef): Expr {
  return { kind: 'load', type: variable.dtype, source: variable, index: [] };
}

export function beginOf(loop: LoopHeader): Expr {
  return loop.begin ?? dimension(0);
}

export function endOf(loop: LoopHeader): Expr {
  return loop.end ?? dimension(loop.axis.size);
}

/** What a reduction over nothing gives; for argmax and argmin: what the values are compared with first. */
export function identityOf(op: ReduceOp, dtype: DType): Expr {
  switch (op) {
    case 'sum':
    case 'or':
      return constant(dtype, 0);
    case 'prod':
      return constant(dtype, 1);
    case 'and':
      return constant(dtype, dtype === 'bool' ? 1 : isUnsigned(dtype) ? integerRange(dtype).max : -1);
    case 'max':
    case 'argmax':
      return constant(dtype, isFloat(dtype) ? Number.NEGATIVE_INFINITY : integerRange(dtype).min);
    case 'min':
    case 'argmin':
      return constant(dtype, isFloat(dtype) ? Number.POSITIVE_INFINITY : integerRange(dtype).max);
  }
}

/** Expressions that a statement evaluates itself, nested statements aside. */
export function expressionsOf(statement: Statement): readonly Expr[] {
  switch (statement.kind) {
    case 'block':
      return [];
    case 'for':
      return [
        ...statement.loops.flatMap((loop) => [loop.begin, loop.end].filter((e) => e !== undefined)),
        ...statement.reductions.flatMap(({ value, arg }) => (arg ? [value, arg.position] : [value])),
      ];
    case 'let':
    case 'set':
      return [statement.value];
    case 'store':
      return [statement.offset, statement.value];
    case 'if':
      return [statement.condition];
    case 'alloc':
      return statement.initial ? [statement.initial] : [];
  }
}

export function nestedOf(statement: Statement): readonly Statement[] {
  switch (statement.kind) {
    case 'block':
    case 'for':
    case 'if':
      return statement.body;
    default:
      return [];
  }
}

/** Calls `visit` for every statement, outer ones first. */
export function walkStatements(body: readonly Statement[], visit: (statement: Statement) => void): void {
  for (const statement of body) {
    visit(statement);
    walkStatements(nestedOf(statement), visit);
  }
}
