// Runs a kernel in WebAssembly and in the reference interpreter, and compares.

import {
  type DimBinding,
  type DType,
  decodeFloat,
  getPacked,
  interpretProgram,
  isFloat,
  isPacked,
  isSmallFloat,
  type Kernel,
  type Program,
  type TensorBuffer,
  type TensorRef,
  verifyKernel,
  verifyPhase,
} from '@onnx-ts/tensor-ir';
import { loadKernel, type PrepareOptions } from '../src/kernel/run-kernel.ts';
import { scheduleKernel } from '../src/schedule/schedule-kernel.ts';

export interface CheckOptions extends PrepareOptions {
  /** Relative (and, below 1, absolute) difference allowed for floats. */
  readonly tolerance?: number;
}

/** @throws Error that shows the first difference */
export function checkKernel(
  kernel: Kernel,
  inputs: ReadonlyMap<TensorRef, TensorBuffer>,
  binding: DimBinding,
  options: CheckOptions = {},
): void {
  verifyKernel(kernel);
  const { phases, aliases } = scheduleKernel(kernel);
  const outputs = [...kernel.outputs.map(({ tensor }) => tensor), ...aliases.keys()];
  for (const phase of phases) verifyPhase(phase, { params: kernel.params, outputs });
  let outside = 0;
  const expected = interpretProgram(programOf(kernel), inputs, binding, { onOutOfRange: () => outside++ });
  const prepared = loadKernel(kernel).prepare(inputs, binding, options);
  prepared.launch();
  for (const { tensor } of kernel.outputs) {
    compareBuffers(tensor.name, prepared.read(tensor), expected.get(tensor)!, options.tolerance);
  }
  if (!options.aliases && prepared.hasStrayWrites()) throw new Error('bytes outside the outputs were written');
  // A kernel may look at both branches of a select, and so find errors that the interpreter does not see.
  if (outside > 0 && prepared.error() === undefined) throw new Error('an index out of range was not reported');
}

export function programOf(kernel: Kernel): Program {
  return {
    inputs: kernel.params,
    stages: kernel.stages,
    outputs: kernel.outputs.map(({ stage, tensor }) => ({ source: stage, tensor })),
  };
}

export function compareBuffers(name: string, actual: TensorBuffer, expected: TensorBuffer, tolerance?: number): void {
  const [a, b] = [valuesOf(actual), valuesOf(expected)];
  if (a.length !== b.length) throw new Error(`${name} has ${a.length} elements instead of ${b.length}`);
  for (let i = 0; i < a.length; i++) {
    if (agree(a[i], b[i], expected.dtype, tolerance)) continue;
    throw new Error(`${name}[${i}] of [${expected.dims.join(', ')}] is ${a[i]} instead of ${b[i]} (${expected.dtype})`);
  }
}

const defaultTolerance: Partial<Record<DType, number>> = {
  float64: 1e-9,
  float32: 1e-4,
  float16: 4e-3,
  bfloat16: 3e-2,
};

function agree(
  a: number | bigint,
  b: number | bigint,
  dtype: DType,
  tolerance = defaultTolerance[dtype] ?? 0.2,
): boolean {
  if (a === b) return true;
  if (!isFloat(dtype) || typeof a === 'bigint' || typeof b === 'bigint') return false;
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b);
  return Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b));
}

function valuesOf({ dtype, dims, data }: TensorBuffer): ArrayLike<number | bigint> {
  // Bits behind the last element of a packed tensor mean nothing.
  if (isPacked(dtype)) {
    const count = dims.reduce((product, size) => product * size, 1);
    return Array.from({ length: count }, (_, at) => getPacked(dtype, data as Uint8Array, at));
  }
  if (isSmallFloat(dtype)) return Array.from(data as Uint16Array, (pattern) => decodeFloat(dtype, pattern));
  return data as ArrayLike<number | bigint>;
}
