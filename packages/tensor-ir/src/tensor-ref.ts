import type { Dim } from './dim.ts';
import type { DType } from './dtype.ts';

/** A tensor in memory that a program reads or writes. Identity is the object. */
export interface TensorRef {
  readonly kind: 'tensor';
  readonly id: number;
  readonly name: string;
  readonly dtype: DType;
  /** Logical shape: what indices refer to. */
  readonly shape: readonly Dim[];
  /**
   * Logical axes from the slowest to the fastest in memory; absent means row-major. Chosen by layout assignment, never
   * by operators, and before any code is generated: `[0, 2, 3, 1]` stores an N×C×H×W tensor channels-last.
   */
  order?: readonly number[];
  /**
   * Sizes of the logical axes in memory, where one has room for more than the tensor fills; absent means `shape`. Chosen
   * together with layouts: see `appendInPlace`.
   */
  room?: readonly Dim[];
  /** Contents never change after the program is loaded: a weight that may be packed or reordered once. */
  readonly isConstant: boolean;
}

let tensorCount = 0;

export function newTensorRef(
  name: string,
  dtype: DType,
  shape: readonly Dim[],
  options: { readonly order?: readonly number[]; readonly room?: readonly Dim[]; readonly isConstant?: boolean } = {},
): TensorRef {
  const { order, room, isConstant = false } = options;
  const layout = { ...(order && { order }), ...(room && { room }) };
  return { kind: 'tensor', id: tensorCount++, name, dtype, shape, isConstant, ...layout };
}
