// Whether two runtimes agree on a result.

import { type HostMap, type HostValue, Tensor } from '@onnx-ts/core';
import { type DType, isFloat } from '@onnx-ts/tensor-ir';
import type { Tolerance } from './case.ts';
import { decodeTensor, epsilonOf, leastNormal } from './values.ts';

/**
 * @param scale largest finite magnitude among the inputs, for `Tolerance.spread`
 * @returns the first difference, in words
 */
export function differenceOf(
  actual: HostValue | undefined,
  expected: HostValue,
  tolerance: Tolerance,
  scale: number,
): string | undefined {
  if (actual === undefined) return 'is missing';
  if (Tensor.is(expected)) {
    return Tensor.is(actual) ? tensorDifference(actual, expected, tolerance, scale) : `is a ${actual.kind}`;
  }
  if (Tensor.is(actual)) return `is a tensor, not a ${expected.kind}`;
  if (actual.kind === 'sequence' && expected.kind === 'sequence') {
    if (actual.items.length !== expected.items.length) {
      return `has ${actual.items.length} items, not ${expected.items.length}`;
    }
    for (const [at, item] of expected.items.entries()) {
      const difference = differenceOf(actual.items[at], item, tolerance, scale);
      if (difference !== undefined) return `item ${at}: ${difference}`;
    }
    return undefined;
  }
  if (actual.kind === 'optional' && expected.kind === 'optional') {
    if (expected.value === undefined || actual.value === undefined) {
      return expected.value === actual.value ? undefined : 'only one of the two is empty';
    }
    return differenceOf(actual.value, expected.value, tolerance, scale);
  }
  if (actual.kind === 'map' && expected.kind === 'map') return mapDifference(actual, expected, tolerance, scale);
  return actual.kind === expected.kind ? undefined : `is a ${actual.kind}, not a ${expected.kind}`;
}

function mapDifference(actual: HostMap, expected: HostMap, tolerance: Tolerance, scale: number): string | undefined {
  if (actual.entries.size !== expected.entries.size) {
    return `has ${actual.entries.size} entries, not ${expected.entries.size}`;
  }
  for (const [key, want] of expected.entries) {
    const got = actual.entries.get(key);
    if (typeof want === 'object') {
      const difference = typeof got === 'object' ? differenceOf(got, want, tolerance, scale) : 'is missing';
      if (difference !== undefined) return `entry ${key}: ${difference}`;
    } else if (typeof want === 'number' && typeof got === 'number') {
      if (!realComparison('float32', [want], tolerance, scale)(got, want)) return `entry ${key}: ${got}, not ${want}`;
    } else if (got !== want) {
      return `entry ${key}: ${String(got)}, not ${want}`;
    }
  }
  return undefined;
}

function tensorDifference(actual: Tensor, expected: Tensor, tolerance: Tolerance, scale: number): string | undefined {
  if (actual.type !== expected.type) return `is ${actual.type}, not ${expected.type}`;
  if (actual.dims.join() !== expected.dims.join()) {
    return `has shape [${actual.dims.join(', ')}], not [${expected.dims.join(', ')}]`;
  }
  const { type } = expected;
  const got = decodeTensor(actual);
  const want = decodeTensor(expected);
  const isReal = isFloat(type) || type === 'complex64' || type === 'complex128';
  const isEqual = isReal
    ? realComparison(type, want as ArrayLike<number>, tolerance, scale)
    : type === 'string' || tolerance.integers === 0
      ? (a: unknown, b: unknown) => a === b
      : (a: unknown, b: unknown) => Math.abs(Number(a) - Number(b)) <= tolerance.integers;
  let wrong = 0;
  let first = -1;
  for (let at = 0; at < want.length; at++) {
    if (isEqual(got[at] as never, want[at] as never)) continue;
    if (wrong++ === 0) first = at;
  }
  if (wrong === 0) return undefined;
  const place = indexText(first, expected.dims);
  return `${wrong} of ${want.length} differ, first at ${place}: ${show(got[first])}, not ${show(want[first])}`;
}

function realComparison(type: DType, want: ArrayLike<number>, tolerance: Tolerance, scale: number) {
  const epsilon = epsilonOf(type);
  const least = leastNormal(type);
  let largest = scale;
  for (let at = 0; at < want.length; at++) {
    const size = Math.abs(want[at]);
    if (size > largest && size < Infinity) largest = size;
  }
  // Inexact functions may give 0 for what is below the normal numbers.
  const smallest = tolerance.ulps > 1 && least < 1e-30 ? least : 0;
  const { relative = 0 } = tolerance;
  const everywhere = tolerance.absolute + smallest + (tolerance.spread > 0 ? tolerance.spread * epsilon * largest : 0);
  return (a: number, e: number): boolean => {
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) return true;
    const error = Math.abs(a - e);
    if (!(error < Infinity)) return isAtEnd(type, a, e, tolerance);
    return error <= everywhere + relative * Math.abs(e) + tolerance.ulps * epsilon * Math.max(Math.abs(e), least);
  };
}

/** Where the greatest number and infinity lie side by side, an inexact result may be either. */
function isAtEnd(type: DType, a: number, e: number, tolerance: Tolerance): boolean {
  if (tolerance.ulps === 0 || Number.isNaN(a) || Number.isNaN(e)) return false;
  const finite = Number.isFinite(a) ? a : e;
  const infinite = Number.isFinite(a) ? e : a;
  if (Number.isFinite(infinite) || Math.sign(finite) !== Math.sign(infinite)) return false;
  const greatest = type === 'float16' ? 65504 : type === 'float64' ? Number.MAX_VALUE : 3.38e38;
  return Math.abs(finite) >= greatest * (1 - (tolerance.ulps + 1) * epsilonOf(type));
}

function indexText(at: number, dims: readonly number[]): string {
  const index: number[] = [];
  let rest = at;
  for (const size of [...dims].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${index.join(', ')}]`;
}

function show(value: unknown): string {
  if (Object.is(value, -0)) return '-0';
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** Largest finite magnitude of the float inputs. */
export function scaleOf(values: Iterable<HostValue>): number {
  let scale = 0;
  for (const tensor of [...values].flatMap(tensorsOf)) {
    if (!isFloat(tensor.type)) continue;
    for (const value of decodeTensor(tensor) as ArrayLike<number> & Iterable<number>) {
      const size = Math.abs(value);
      if (size > scale && size < Infinity) scale = size;
    }
  }
  return scale;
}

function tensorsOf(value: HostValue): readonly Tensor[] {
  if (Tensor.is(value)) return [value];
  if (value.kind === 'sequence') return value.items.flatMap(tensorsOf);
  return value.kind === 'optional' && value.value ? tensorsOf(value.value) : [];
}
