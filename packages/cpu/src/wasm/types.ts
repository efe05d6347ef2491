// Value and function types, and the references by which one part of a module names another.

export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

export interface FunctionType {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** A function of a module, defined or imported. Its index is only fixed when the module is written. */
export interface FunctionRef {
  readonly kind: 'function';
  readonly id: number;
  readonly type: FunctionType;
  readonly name: string;
}

/** A global of a module. */
export interface GlobalRef {
  readonly kind: 'global';
  readonly id: number;
  readonly type: ValueType;
  readonly mutable: boolean;
  readonly name: string;
}

export const valueTypeCodes: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};

export function functionType(params: readonly ValueType[], results: readonly ValueType[] = []): FunctionType {
  return { params, results };
}

/** Equal for equal types: the identity by which types are shared. */
export function functionTypeKey(type: FunctionType): string {
  return `${type.params.join(' ')} -> ${type.results.join(' ')}`;
}
