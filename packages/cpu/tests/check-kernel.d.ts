import { type DimBinding, type Kernel, type Program, type TensorBuffer, type TensorRef } from '@onnx-ts/tensor-ir';
import { type PrepareOptions } from '../src/kernel/run-kernel.ts';
export interface CheckOptions extends PrepareOptions {
    /** Relative (and, below 1, absolute) difference allowed for floats. */
    readonly tolerance?: number;
}
/** @throws Error that shows the first difference */
export declare function checkKernel(kernel: Kernel, inputs: ReadonlyMap<TensorRef, TensorBuffer>, binding: DimBinding, options?: CheckOptions): void;
export declare function programOf(kernel: Kernel): Program;
export declare function compareBuffers(name: string, actual: TensorBuffer, expected: TensorBuffer, tolerance?: number): void;
//# sourceMappingURL=check-kernel.d.ts.map