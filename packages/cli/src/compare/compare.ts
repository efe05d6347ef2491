// Compares values with expected ones by the rules of ONNX's backend tests: floats within a tolerance, all else exactly.

import { type HostValue, Tensor } from '@onnx-ts/core';
import { type DType, isFloat } from '@onnx-ts/tensor-ir';
import { decodeElements } from '../tensors/elements.ts';
import type { Tolerance } from './tolerance.ts';

type Scalar = string | number | bigint;

export interface CompareOptions {
  readonly tolerance: Tolerance;
  /** Look at types and shapes alone. */
  readonly typesOnly?: boolean;
}

/**
 * @param what names the value in the answer
 * @returns the first difference, in words; undefined when the values agree
 */
export function compareValues(
  actual: HostValue | undefined,
  expected: HostValue,
  what: string,
  options: CompareOptions,
): string | undefined {
  // An optional that holds something may come back as that something.
  if (!Tensor.is(expected) && expected.kind === 'optional') {
    const inner = actual && !Tensor.is(actual) && actual.kind === 'optional' ? actual.value : actual;
    if (expected.value === undefined) return inner === undefined ? undefined : `${what}: expected an empty optional`;
    return compareValues(inner, expected.value, what, options);
  }
  if (actual === undefined) return `${what}: missing`;
  if (Tensor.is(expected)) {
    if (Tensor.is(actual)) return compareTensors(actual, expected, what, options);
    if (actual.kind === 'optional') return compareValues(actual.value, expected, what, options);
    return `${what}: expected a tensor, got a ${actual.kind}`;
  }
  if (Tensor.is(actual)) return `${what}: expected a ${expected.kind}, got a tensor`;
  if (actual.kind === 'optional') return compareValues(actual.value, expected, what, options);
  if (actual.kind === 'sequence' && expected.kind === 'sequence') {
    if (actual.items.length !== expected.items.length) {
      return `${what}: expected a sequence of ${expected.items.length}, got ${actual.items.length}`;
    }
    return firstDefined(expected.items, (item, at) => compareValues(actual.items[at], item, `${what}[${at}]`, options));
  }
  if (actual.kind === 'map' && expected.kind === 'map')
    return compareMaps(actual.entries, expected.entries, what, options);
  if (actual.kind === 'sparse-tensor' && expected.kind === 'sparse-tensor') {
    if (String(actual.dims) !== String(expected.dims)) {
      return `${what}: expected shape [${expected.dims.join(', ')}], got [${actual.dims.join(', ')}]`;
    }
    return (
      compareTensors(actual.indices, expected.indices, `indices of ${what}`, options) ??
      compareTensors(actual.values, expected.values, `values of ${what}`, options)
    );
  }
  return `${what}: expected a ${expected.kind}, got a ${actual.kind}`;
}

type MapEntries = ReadonlyMap<Scalar, HostValue | Scalar>;

function compareMaps(
  actual: MapEntries,
  expected: MapEntries,
  what: string,
  options: CompareOptions,
): string | undefined {
  if (actual.size !== expected.size) return `${what}: expected a map of ${expected.size}, got ${actual.size}`;
  // Keys may be numbers or bigints.
  const byText = new Map([...actual].map(([key, value]) => [String(key), value]));
  return firstDefined([...expected], ([key, value]) => {
    const got = byText.get(String(key));
    const place = `${what}[${JSON.stringify(String(key))}]`;
    if (got === undefined) return `${place}: missing`;
    const a = scalarOf(got);
    const e = scalarOf(value);
    if (a !== undefined && e !== undefined) return compareScalars(a, e, place, options);
    if (typeof got !== 'object' || typeof value !== 'object') return `${place}: a scalar against a container`;
    return compareValues(got, value, place, options);
  });
}

function scalarOf(value: HostValue | Scalar): Scalar | undefined {
  if (typeof value !== 'object') return value;
  return Tensor.is(value) && value.size === 1 ? decodeElements(value)[0] : undefined;
}

function compareScalars(actual: Scalar, expected: Scalar, what: string, options: CompareOptions): string | undefined {
  if (options.typesOnly) return undefined;
  const isText = typeof actual === 'string' || typeof expected === 'string';
  const same = isText ? actual === expected : isClose(Number(actual), Number(expected), options.tolerance);
  return same ? undefined : `${what}: expected ${String(expected)}, got ${String(actual)}`;
}

function compareTensors(actual: Tensor, expected: Tensor, what: string, options: CompareOptions): string | undefined {
  if (actual.type !== expected.type) return `${what}: expected ${expected.type}, got ${actual.type}`;
  if (String(actual.dims) !== String(expected.dims)) {
    return `${what}: expected shape [${expected.dims.join(', ')}], got [${actual.dims.join(', ')}]`;
  }
  if (options.typesOnly) return undefined;
  const got = decodeElements(actual) as ArrayLike<Scalar>;
  const want = decodeElements(expected) as ArrayLike<Scalar>;
  const { type } = expected;
  if (type === 'complex64' || type === 'complex128') return compareComplex(got, want, what, options.tolerance);
  if (isFloat(type))
    return compareFloats(got as ArrayLike<number>, want as ArrayLike<number>, expected.dims, what, options);
  return compareExactly(got, want, type, expected.dims, what);
}

function compareExactly(
  got: ArrayLike<Scalar>,
  want: ArrayLike<Scalar>,
  dtype: DType,
  dims: readonly number[],
  what: string,
): string | undefined {
  let wrong = 0;
  let first = -1;
  for (let at = 0; at < want.length; at++) {
    // Any byte but 0 is true.
    const same = dtype === 'bool' ? Boolean(got[at]) === Boolean(want[at]) : got[at] === want[at];
    if (same) continue;
    if (wrong++ === 0) first = at;
  }
  if (wrong === 0) return undefined;
  const show = (value: Scalar): string => (typeof value === 'string' ? JSON.stringify(value) : String(value));
  return `${what}: ${countText(wrong, want.length)}; at ${placeText(first, dims)} expected ${show(want[first])}, got ${show(got[first])}`;
}

function compareFloats(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  dims: readonly number[],
  what: string,
  { tolerance }: CompareOptions,
): string | undefined {
  let wrong = 0;
  let worst = -1;
  let worstExcess = -Infinity;
  let errorSum = 0;
  for (let at = 0; at < want.length; at++) {
    const a = got[at];
    const e = want[at];
    const error = a === e ? 0 : Math.abs(a - e);
    if (error < Infinity) errorSum += error;
    if (isClose(a, e, tolerance)) continue;
    wrong++;
    // How far beyond the allowed error; a NaN or infinity on one side alone is the worst there is.
    const excess = error < Infinity ? error / (tolerance.atol + tolerance.rtol * Math.abs(e)) : Infinity;
    if (excess > worstExcess) {
      worst = at;
      worstExcess = excess;
    }
  }
  if (wrong > 0) {
    const error = Math.abs(got[worst] - want[worst]);
    const size = Number.isFinite(error) ? ` (off by ${error.toPrecision(3)})` : '';
    return `${what}: ${countText(wrong, want.length)}; worst at ${placeText(worst, dims)}: expected ${want[worst]}, got ${got[worst]}${size}`;
  }
  const mean = want.length > 0 ? errorSum / want.length : 0;
  if (tolerance.meanAtol !== undefined && mean > tolerance.meanAtol) {
    return `${what}: the mean error ${mean.toPrecision(3)} is above ${tolerance.meanAtol}`;
  }
  return undefined;
}

function compareComplex(
  got: ArrayLike<Scalar>,
  want: ArrayLike<Scalar>,
  what: string,
  tolerance: Tolerance,
): string | undefined {
  const [a, e] = [got as ArrayLike<number>, want as ArrayLike<number>];
  let wrong = 0;
  for (let at = 0; at < e.length; at += 2) {
    const sameParts = sameNumber(a[at], e[at]) && sameNumber(a[at + 1], e[at + 1]);
    const error = Math.hypot(a[at] - e[at], a[at + 1] - e[at + 1]);
    if (!sameParts && !(error <= tolerance.atol + tolerance.rtol * Math.hypot(e[at], e[at + 1]))) wrong++;
  }
  return wrong === 0 ? undefined : `${what}: ${countText(wrong, e.length / 2)}`;
}

/** NaN equals NaN; an infinity equals only itself. */
function isClose(actual: number, expected: number, { rtol, atol }: Tolerance): boolean {
  if (sameNumber(actual, expected)) return true;
  return Number.isFinite(expected) && Math.abs(actual - expected) <= atol + rtol * Math.abs(expected);
}

function sameNumber(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b));
}

function countText(wrong: number, total: number): string {
  return `${wrong} of ${total} element${total === 1 ? '' : 's'} differ${total === 1 ? 's' : ''}`;
}

function placeText(at: number, dims: readonly number[]): string {
  const index: number[] = [];
  let rest = at;
  for (const size of [...dims].reverse()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${index.join(', ')}]`;
}

function firstDefined<T>(items: readonly T[], look: (item: T, at: number) => string | undefined): string | undefined {
  for (const [at, item] of items.entries()) {
    const found = look(item, at);
    if (found !== undefined) return found;
  }
  return undefined;
}
