// Tensors as plain data, for messages between processes and for other runtimes.

import { type HostValue, OnnxTsError, Tensor, type TensorData } from '@onnx-ts/core';
import { type DType, isFloat } from '@onnx-ts/tensor-ir';
import { decodeElements } from '../tensors/elements.ts';

export interface PlainTensor {
  readonly type: DType;
  readonly dims: readonly number[];
  readonly data: TensorData;
}

export type PlainTensors = Readonly<Record<string, PlainTensor>>;

/** @throws OnnxTsError UNSUPPORTED for sequences, maps and the like */
export function plainTensors(values: Readonly<Record<string, HostValue>>): PlainTensors {
  const entries = Object.entries(values).map(([name, value]): [string, PlainTensor] => {
    if (!Tensor.is(value)) {
      throw new OnnxTsError('UNSUPPORTED', `only tensors can be measured, this is a ${value.kind}.`, {
        place: { value: name },
      });
    }
    return [name, { type: value.type, dims: value.dims, data: value.data }];
  });
  return Object.fromEntries(entries);
}

/** Bounds of errors relative to the largest magnitude of an output. */
export interface RelativeTolerance {
  readonly max: number;
  readonly mean: number;
}

/** @returns the first difference, in words */
export function differenceOf(
  actual: PlainTensors,
  expected: PlainTensors,
  tolerance: RelativeTolerance,
): string | undefined {
  for (const [name, want] of Object.entries(expected)) {
    const got = actual[name];
    const what = `output "${name}"`;
    if (!got) return `${what} is missing`;
    if (got.type !== want.type) return `${what} is ${got.type}, not ${want.type}`;
    if (got.dims.join() !== want.dims.join())
      return `${what} has shape [${got.dims.join(', ')}], not [${want.dims.join(', ')}]`;
    const difference = isFloat(want.type)
      ? floatDifference(numbersOf(got), numbersOf(want), tolerance)
      : exactDifference(got, want);
    if (difference !== undefined) return `${what}: ${difference}`;
  }
  return undefined;
}

export function numbersOf({ type, data, dims }: PlainTensor): ArrayLike<number> {
  return decodeElements(new Tensor(type, data, dims)) as ArrayLike<number>;
}

function exactDifference(got: PlainTensor, want: PlainTensor): string | undefined {
  for (let at = 0; at < want.data.length; at++) {
    if (got.data[at] !== want.data[at]) return `element ${at} is ${String(got.data[at])}, not ${String(want.data[at])}`;
  }
  return undefined;
}

function floatDifference(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  tolerance: RelativeTolerance,
): string | undefined {
  let [largest, worst, sum, worstAt] = [0, 0, 0, -1];
  for (let at = 0; at < want.length; at++) {
    if (Object.is(got[at], want[at])) {
      if (Number.isFinite(want[at])) largest = Math.max(largest, Math.abs(want[at]));
      continue;
    }
    const error = Math.abs(got[at] - want[at]);
    if (!Number.isFinite(error)) return `element ${at} is ${got[at]}, not ${want[at]}`;
    largest = Math.max(largest, Math.abs(want[at]));
    sum += error;
    if (error > worst) [worst, worstAt] = [error, at];
  }
  const [relativeWorst, relativeMean] = [worst / (largest || 1), sum / (want.length || 1) / (largest || 1)];
  if (relativeWorst <= tolerance.max && relativeMean <= tolerance.mean) return undefined;
  const values = worstAt >= 0 ? ` (element ${worstAt} is ${got[worstAt]}, not ${want[worstAt]})` : '';
  return (
    `the largest error is ${relativeWorst.toExponential(2)} of the largest magnitude, the mean error ${relativeMean.toExponential(2)}` +
    `${values}; allowed are ${tolerance.max} and ${tolerance.mean}`
  );
}
