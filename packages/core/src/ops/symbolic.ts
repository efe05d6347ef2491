// Arithmetic on tensors whose elements are symbolic sizes: how `contents` pass through Add, Div, Equal and the like
// without being computed on a device. A result that symbols cannot say exactly is undefined.

import { Dim, type DType, integerRange, isFloat } from '@onnx-ts/tensor-ir';
import { isCutOff } from './context.ts';
import type { NodeContext } from './define.ts';
import { itemAt, type SmallTensor, smallTensor, tabulate } from './small-tensor.ts';

/** Largest magnitude up to which every integer is a value of the type. */
const exactFloats: { readonly [dtype: string]: number } = { float16: 2 ** 11, bfloat16: 2 ** 8, float32: 2 ** 24 };

/** Elements of an input: its contents, or those of a small constant of floats that are all integers. */
function integersOf(ctx: NodeContext, input: number): SmallTensor | undefined {
  const known = smallTensor(ctx, input);
  if (known) return known;
  const tensor = ctx.constant(input);
  if (!tensor || (tensor.type !== 'float32' && tensor.type !== 'float64') || tensor.size > 64) return undefined;
  const values = tensor.toNumberArray();
  if (!values.every(Number.isSafeInteger)) return undefined;
  return { dims: tensor.dims, items: values.map((value) => Dim.constant(value)) };
}

/** True unless the value is known and would wrap or be rounded in the type. */
function fits(dtype: DType, value: Dim): boolean {
  const number = value.constant;
  if (number === undefined) return true;
  if (!Number.isSafeInteger(number)) return false;
  if (isFloat(dtype)) return Math.abs(number) <= (exactFloats[dtype] ?? Number.MAX_SAFE_INTEGER);
  const { min, max } = integerRange(dtype);
  return BigInt(number) >= min && BigInt(number) <= max;
}

/** Broadcast of sizes that are known to fit. */
export function broadcastSizes(shapes: readonly (readonly number[])[]): readonly number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

/** Index into a tensor of the given sizes for an index into the broadcast of it. */
export function sourceIndex(index: readonly number[], dims: readonly number[]): readonly number[] {
  return dims.map((size, axis) => (size === 1 ? 0 : index[axis + index.length - dims.length]));
}

/**
 * Contents of a node that computes each element from the broadcast elements of `inputs`.
 * @param dtype element type of the result, which known values must fit
 * @param f undefined where the element cannot be said
 */
export function mapContents(
  ctx: NodeContext,
  inputs: readonly number[],
  dtype: DType,
  f: (...values: Dim[]) => Dim | undefined,
): readonly Dim[] | undefined {
  const operands: SmallTensor[] = [];
  for (const input of inputs) {
    const operand = integersOf(ctx, input);
    if (!operand) return undefined;
    operands.push(operand);
  }
  return tabulate(broadcastSizes(operands.map(({ dims }) => dims)), (index) => {
    const values = operands.map((operand) => itemAt(operand, sourceIndex(index, operand.dims)));
    const value = values.every((item): item is Dim => item !== undefined && !isCutOff(item)) ? f(...values) : undefined;
    return value && fits(dtype, value) ? value : undefined;
  });
}

/** Integer division that rounds toward zero, as ONNX's Div does. */
export function truncatingQuotient(a: Dim, b: Dim): Dim | undefined {
  const exact = a.divideExactly(b);
  if (exact) return exact;
  if (a.lowerBound >= 0 && b.lowerBound >= 0) return a.floorDiv(b);
  if (b.constant === undefined || b.constant <= 0) return undefined;
  return a.max(0).floorDiv(b).add(a.min(0).ceilDiv(b));
}

const truth = (value: boolean): Dim => Dim.constant(value ? 1 : 0);

/** 1 or 0 when the answer is the same for all values of the symbols. */
export function certainlyLess(a: Dim, b: Dim): Dim | undefined {
  if (a.add(1).atMost(b)) return truth(true);
  return b.atMost(a) ? truth(false) : undefined;
}

export function certainlyEqual(a: Dim, b: Dim): Dim | undefined {
  if (a.equals(b)) return truth(true);
  return a.add(1).atMost(b) || b.add(1).atMost(a) ? truth(false) : undefined;
}

export function negation(a: Dim | undefined): Dim | undefined {
  return a && Dim.constant(1).sub(a);
}
