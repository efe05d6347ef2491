// Files of benchmark inputs: cases whose inputs are made from seeds, with summaries of the outputs to expect.

import { OnnxTsError, type Tensor } from '@onnx-ts/core';
import type { DType } from '@onnx-ts/tensor-ir';
import { readJson } from '../model/json-file.ts';
import { generateTensor, type TensorSpec } from '../tensors/generator.ts';
import { numbersOf, type PlainTensors, type RelativeTolerance } from './plain-tensor.ts';

/** Summary of one output. */
export interface ExpectedOutput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The first values in row-major order. */
  readonly first: readonly number[];
  /** Values `stride` elements apart. */
  readonly sample: { readonly stride: number; readonly values: readonly number[] };
  /** Largest magnitude. */
  readonly absmax: number;
}

export interface InputsCase {
  readonly name: string;
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly expected: readonly ExpectedOutput[];
  /** Undefined where the file states none. */
  readonly tolerance: RelativeTolerance | undefined;
}

interface InputsJson {
  readonly tolerance?: { readonly max_over_absmax: number; readonly mean_over_absmax: number };
  readonly cases: readonly {
    readonly name: string;
    readonly inputs: readonly (TensorSpec & { readonly name: string })[];
    readonly outputs?: readonly ExpectedOutput[];
  }[];
}

/**
 * @param caseName the first case when undefined
 * @throws OnnxTsError INVALID_INPUT
 */
export function readInputsFile(path: string, caseName: string | undefined): InputsCase {
  const json = readJson(path) as InputsJson;
  const fail = (what: string, cause?: unknown): never => {
    throw new OnnxTsError('INVALID_INPUT', what, { place: { path }, cause });
  };
  if (!Array.isArray(json.cases) || json.cases.length === 0) return fail('the file has no "cases".');
  const found: InputsJson['cases'][number] | undefined =
    caseName === undefined ? json.cases[0] : json.cases.find((item) => item.name === caseName);
  if (!found)
    return fail(`there is no case "${caseName}"; the cases are ${json.cases.map((item) => item.name).join(', ')}.`);
  const feeds = found.inputs.map((input) => {
    try {
      return [input.name, generateTensor(input)] as const;
    } catch (cause) {
      return fail(`the input "${input.name}" cannot be made: ${(cause as Error).message}.`, cause);
    }
  });
  const { tolerance } = json;
  return {
    name: found.name,
    feeds: Object.fromEntries(feeds),
    expected: found.outputs ?? [],
    tolerance: tolerance && { max: tolerance.max_over_absmax, mean: tolerance.mean_over_absmax },
  };
}

export interface CheckResult {
  readonly output: string;
  /** Largest and mean error over the stored values, relative to the largest magnitude. */
  readonly maxError: number;
  readonly meanError: number;
  /** Undefined when the output is as expected. */
  readonly problem?: string;
}

export function checkOutputs(
  outputs: PlainTensors,
  expected: readonly ExpectedOutput[],
  tolerance: RelativeTolerance,
): CheckResult[] {
  return expected.map((want): CheckResult => {
    const got = outputs[want.name];
    const bad = (problem: string): CheckResult => ({
      output: want.name,
      maxError: Infinity,
      meanError: Infinity,
      problem,
    });
    if (!got) return bad('it is missing');
    if (got.type !== want.dtype) return bad(`it is ${got.type}, not ${want.dtype}`);
    if (got.dims.join() !== want.shape.join())
      return bad(`its shape is [${got.dims.join(', ')}], not [${want.shape.join(', ')}]`);
    const values = numbersOf(got);
    const pairs = [
      ...want.first.map((value, at) => [Number(values[at]), value]),
      ...want.sample.values.map((value, at) => [Number(values[at * want.sample.stride]), value]),
    ];
    const scale = want.absmax || 1;
    const errors = pairs.map(([a, e]) => (Object.is(a, e) ? 0 : Math.abs(a - e) / scale));
    // Math.max keeps NaN.
    const maxError = Math.max(0, ...errors);
    const meanError = errors.reduce((sum, error) => sum + error, 0) / (errors.length || 1);
    const fine = maxError <= tolerance.max && meanError <= tolerance.mean;
    return {
      output: want.name,
      maxError,
      meanError,
      ...(!fine && { problem: `the errors exceed ${tolerance.max} (largest) or ${tolerance.mean} (mean)` }),
    };
  });
}
