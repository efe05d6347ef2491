// Checks expressions of level 2: operand types, index counts, axes in scope.

import { bitsOf, type ExprType, integerRange, isBigInteger, isFloat, isInteger } from './dtype.ts';
import type { Axis, Expr } from './expr.ts';
import { binaryFunction, unaryFunction } from './scalar-ops.ts';
import type { Source } from './stage.ts';

export interface ExprContext {
  readonly axes: ReadonlySet<Axis>;
  /** What may be read at this place; absent to allow everything. */
  readonly sources?: ReadonlySet<Source>;
  /** Reports a problem at a path; must throw. */
  fail(path: string, problem: string): never;
}

/** Checks an expression and everything below it. `path` says where it stands, for instance `body`. */
export function verifyExpr(root: Expr, path: string, context: ExprContext): void {
  const seen = new Set<Expr>();
  const visit = (e: Expr, at: string): void => {
    if (seen.has(e)) return;
    seen.add(e);
    verifyNode(e, at, context);
    switch (e.kind) {
      case 'load':
        e.index.forEach((x, axis) => {
          visit(x, `${at}.index[${axis}]`);
        });
        if (e.guard) visit(e.guard, `${at}.guard`);
        if (e.fill) visit(e.fill, `${at}.fill`);
        break;
      case 'unary':
      case 'test':
      case 'cast':
      case 'bitcast':
      case 'bounded':
        visit(e.x, `${at}.x`);
        break;
      case 'binary':
      case 'compare':
        visit(e.a, `${at}.a`);
        visit(e.b, `${at}.b`);
        break;
      case 'select':
        visit(e.condition, `${at}.condition`);
        visit(e.whenTrue, `${at}.whenTrue`);
        visit(e.whenFalse, `${at}.whenFalse`);
    }
  };
  visit(root, path);
}

const hasNoArithmetic = (type: ExprType): boolean => type === 'string' || type === 'complex64' || type === 'complex128';

function isDefined(look: () => unknown): boolean {
  try {
    look();
    return true;
  } catch {
    return false;
  }
}

function verifyNode(e: Expr, path: string, context: ExprContext): void {
  const problem = problemOf(e, context);
  if (problem) context.fail(path, problem);
}

function problemOf(e: Expr, context: ExprContext): string | undefined {
  // Wider than the static type, which forbids some of what is checked here.
  const declared: ExprType = e.type;
  switch (e.kind) {
    case 'const':
      return constantProblem(e.type, e.value);
    case 'dim':
      return declared === 'index' ? undefined : `a dim is an index, not ${declared}`;
    case 'axis':
      if (declared !== 'index') return `an axis is an index, not ${declared}`;
      return context.axes.has(e.axis) ? undefined : `axis ${e.axis.name} is not in scope`;
    case 'load':
      return loadProblem(e, context);
    case 'unary':
      if (e.x.type !== e.type) return `${e.op} of ${e.x.type} is declared ${e.type}`;
      return isDefined(() => unaryFunction(e.op, e.type)) ? undefined : `${e.op} is not defined for ${e.type}`;
    case 'test':
      if (declared !== 'bool') return `${e.op} is a bool, not ${declared}`;
      return isFloat(e.x.type) ? undefined : `${e.op} needs a float, not ${e.x.type}`;
    case 'binary':
      if (e.a.type !== e.b.type) return `${e.op} of ${e.a.type} and ${e.b.type}`;
      if (e.a.type !== e.type) return `${e.op} of ${e.a.type} is declared ${e.type}`;
      return isDefined(() => binaryFunction(e.op, e.type)) ? undefined : `${e.op} is not defined for ${e.type}`;
    case 'compare':
      if (declared !== 'bool') return `${e.op} is a bool, not ${declared}`;
      if (e.a.type !== e.b.type) return `${e.op} of ${e.a.type} and ${e.b.type}`;
      if (e.op === 'eq' || e.op === 'ne') return undefined;
      return hasNoArithmetic(e.a.type) || e.a.type === 'bool' ? `${e.op} is not defined for ${e.a.type}` : undefined;
    case 'select':
      if (e.condition.type !== 'bool') return `the condition is ${e.condition.type}`;
      if (e.whenTrue.type !== e.whenFalse.type) return `a choice between ${e.whenTrue.type} and ${e.whenFalse.type}`;
      return e.whenTrue.type === e.type ? undefined : `a choice of ${e.whenTrue.type} is declared ${e.type}`;
    case 'cast':
      return hasNoArithmetic(e.type) || hasNoArithmetic(e.x.type) ? `no cast from ${e.x.type} to ${e.type}` : undefined;
    case 'bitcast':
      if (e.type === 'index' || e.x.type === 'index' || hasNoArithmetic(e.type) || hasNoArithmetic(e.x.type)) {
        return `no bitcast from ${e.x.type} to ${e.type}`;
      }
      return bitsOf(e.type) === bitsOf(e.x.type) ? undefined : `bitcast from ${e.x.type} to ${e.type}, of other width`;
    case 'bounded':
      if (declared !== 'index') return `a bounded index is an index, not ${declared}`;
      return isInteger(e.x.type) ? undefined : `an index cannot be ${e.x.type}`;
  }
}

function constantProblem(type: ExprType, value: number | bigint): string | undefined {
  if (type === 'string') return Number(value) === 0 ? undefined : 'the only constant string is the empty one, 0';
  if (type === 'complex64' || type === 'complex128') return undefined;
  if (isBigInteger(type) !== (typeof value === 'bigint')) return `a constant of ${type} cannot be a ${typeof value}`;
  if (isFloat(type)) return undefined;
  if (!Number.isInteger(Number(value))) return `${value} is not of type ${type}`;
  if (type === 'index') return undefined;
  const { min, max } = integerRange(type);
  return BigInt(value) >= min && BigInt(value) <= max ? undefined : `${value} does not fit ${type}`;
}

function loadProblem(e: Extract<Expr, { kind: 'load' }>, context: ExprContext): string | undefined {
  const { source } = e;
  if (context.sources && !context.sources.has(source)) return `${source.name} cannot be read here`;
  if (e.type !== source.dtype) return `an element of ${source.name} is ${source.dtype}, declared ${e.type}`;
  if (e.index.length !== source.shape.length) {
    return `${e.index.length} indices for ${source.name} of rank ${source.shape.length}`;
  }
  for (const [axis, x] of e.index.entries()) {
    if (x.type !== 'index') return `index ${axis} of ${source.name} is ${x.type}`;
    if (!e.guard && isSurelyOutside(x, source.shape[axis].constant)) {
      return `index ${axis} of ${source.name} leaves its size of ${source.shape[axis]}`;
    }
  }
  if (!e.guard !== !e.fill) return 'a guard and a fill go together';
  if (e.guard && e.guard.type !== 'bool') return `the guard is ${e.guard.type}`;
  if (e.fill && e.fill.type !== e.type) return `the fill is ${e.fill.type}, the element ${e.type}`;
  return undefined;
}

/** Only what constants tell. Nothing is read from an empty tensor, as the loops around are empty then. */
function isSurelyOutside(index: Expr, size: number | undefined): boolean {
  if (size === undefined || size === 0) return false;
  if (index.kind === 'dim')
    return index.dim.constant !== undefined && !(index.dim.constant >= 0 && index.dim.constant < size);
  return index.kind === 'axis' && index.axis.size.constant !== undefined && index.axis.size.constant > size;
}
