import { type Dim, type DType, shapeText } from '@onnx-ts/tensor-ir';

/** Shape is undefined when even the rank is unknown until the model runs. */
export interface TensorType {
  readonly kind: 'tensor';
  readonly dtype: DType;
  readonly shape?: readonly Dim[];
}

export type ValueType =
  | TensorType
  | { readonly kind: 'sparse-tensor'; readonly dtype: DType; readonly shape?: readonly Dim[] }
  | { readonly kind: 'sequence'; readonly element: ValueType }
  | { readonly kind: 'optional'; readonly element: ValueType }
  | { readonly kind: 'map'; readonly key: DType; readonly value: ValueType };

export function tensorType(dtype: DType, shape?: readonly Dim[]): TensorType {
  return shape ? { kind: 'tensor', dtype, shape } : { kind: 'tensor', dtype };
}

export function sameType(a: ValueType | undefined, b: ValueType | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && typeText(a) === typeText(b));
}

/** Adds the names of all symbols in the sizes of a type, those of items included. */
export function collectSymbols(type: ValueType | undefined, into: Set<string>): void {
  if (!type) return;
  if (type.kind === 'tensor' || type.kind === 'sparse-tensor') for (const dim of type.shape ?? []) dim.symbols(into);
  else collectSymbols(type.kind === 'map' ? type.value : type.element, into);
}

/** What is left of a type when its sizes, ranks included, may be others. */
export function withoutShape(type: ValueType): ValueType {
  switch (type.kind) {
    case 'tensor':
      return tensorType(type.dtype);
    case 'sparse-tensor':
      return { kind: 'sparse-tensor', dtype: type.dtype };
    case 'map':
      return type;
    default:
      return { ...type, element: withoutShape(type.element) };
  }
}

/**
 * What values of either type have in common; undefined when that is nothing. Axes of a tensor on which the types differ
 * get the size that `unknown` makes. The items of a sequence have each their own sizes, so there a difference leaves none.
 */
export function commonType(
  a: ValueType | undefined,
  b: ValueType | undefined,
  unknown: (axis: number) => Dim,
): ValueType | undefined {
  if (!a || !b || a.kind !== b.kind) return undefined;
  if (sameType(a, b)) return a;
  if (a.kind === 'tensor' && b.kind === 'tensor') {
    if (a.dtype !== b.dtype) return undefined;
    if (!a.shape || !b.shape || a.shape.length !== b.shape.length) return tensorType(a.dtype);
    return tensorType(
      a.dtype,
      a.shape.map((dim, axis) => (dim.equals(b.shape![axis]) ? dim : unknown(axis))),
    );
  }
  const [bareA, bareB] = [withoutShape(a), withoutShape(b)];
  return sameType(bareA, bareB) ? bareA : undefined;
}

/** Whether both say the same of element types and kinds, and do not contradict each other on sizes. */
export function compatibleTypes(a: ValueType, b: ValueType): boolean {
  if (!sameType(withoutShape(a), withoutShape(b))) return false;
  if (a.kind !== 'tensor' || b.kind !== 'tensor' || !a.shape || !b.shape) return true;
  return (
    a.shape.length === b.shape.length &&
    a.shape.every((dim, axis) => {
      const [x, y] = [dim.constant, b.shape![axis].constant];
      return x === undefined || y === undefined || x === y;
    })
  );
}

/** Whether values of the type are tensors of real numbers or truth values, which every provider may hold. */
export function isNumberTensor(type: ValueType | undefined): type is TensorType {
  if (type?.kind !== 'tensor') return false;
  return type.dtype !== 'string' && type.dtype !== 'complex64' && type.dtype !== 'complex128';
}

export function typeText(type: ValueType | undefined): string {
  if (!type) return 'unknown';
  switch (type.kind) {
    case 'tensor':
    case 'sparse-tensor':
      return `${type.kind === 'tensor' ? '' : 'sparse '}${type.dtype}${type.shape ? shapeText(type.shape) : '[…]'}`;
    case 'sequence':
      return `sequence(${typeText(type.element)})`;
    case 'optional':
      return `optional(${typeText(type.element)})`;
    case 'map':
      return `map(${type.key}, ${typeText(type.value)})`;
  }
}
