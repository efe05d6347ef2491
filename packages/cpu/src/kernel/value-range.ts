// Bounds of integer expressions, from the types of what they read and from small constants: which narrow type holds them.

import { type DType, type Expr, integerRange, isInteger, type TensorRef } from '@onnx-ts/tensor-ir';

/** Inclusive. */
export interface ValueRange {
  readonly min: number;
  readonly max: number;
}

/** Least and greatest element of a tensor whose contents are known; undefined for others. */
export type KnownValues = (tensor: TensorRef) => ValueRange | undefined;

/** Bounds of an integer expression that cannot have wrapped; undefined when nothing is known. */
export function valueRange(e: Expr, known: KnownValues): ValueRange | undefined {
  if (e.type === 'index' || !isInteger(e.type)) return undefined;
  const range = rangeOf(e, known);
  const type = rangeOfType(e.type);
  if (range && type && range.min >= type.min && range.max <= type.max) return range;
  return type;
}

/** Whether every integer of a range is a value of the type. */
export function holds(dtype: DType, range: ValueRange): boolean {
  const type = rangeOfType(dtype);
  return type !== undefined && range.min >= type.min && range.max <= type.max;
}

function rangeOfType(dtype: DType): ValueRange | undefined {
  const { min, max } = integerRange(dtype);
  return Number.isSafeInteger(Number(min)) && Number.isSafeInteger(Number(max))
    ? { min: Number(min), max: Number(max) }
    : undefined;
}

function rangeOf(e: Expr, known: KnownValues): ValueRange | undefined {
  switch (e.kind) {
    case 'const':
      return { min: Number(e.value), max: Number(e.value) };
    case 'load': {
      const range = e.source.kind === 'tensor' ? known(e.source) : undefined;
      if (!range || !e.fill) return range;
      return union(range, valueRange(e.fill, known));
    }
    case 'cast':
      return valueRange(e.x, known);
    case 'select':
      return union(valueRange(e.whenTrue, known), valueRange(e.whenFalse, known));
    case 'binary': {
      const [a, b] = [valueRange(e.a, known), valueRange(e.b, known)];
      if (!a || !b) return undefined;
      if (e.op === 'add') return { min: a.min + b.min, max: a.max + b.max };
      if (e.op === 'sub') return { min: a.min - b.max, max: a.max - b.min };
      if (e.op === 'mul') {
        const corners = [a.min * b.min, a.min * b.max, a.max * b.min, a.max * b.max];
        return { min: Math.min(...corners), max: Math.max(...corners) };
      }
      return undefined;
    }
    default:
      return undefined;
  }
}

function union(a: ValueRange | undefined, b: ValueRange | undefined): ValueRange | undefined {
  return a && b && { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) };
}
