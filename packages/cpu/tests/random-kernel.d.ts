import { type DType, type Kernel } from '@onnx-ts/tensor-ir';
import type { Random } from './random.ts';
import { ValueMaker } from './random-values.ts';
export interface RandomKernel {
    readonly kernel: Kernel;
    readonly maker: ValueMaker;
}
export declare function randomMap(random: Random, dtypes: readonly DType[]): RandomKernel;
export declare function randomReduce(random: Random, dtypes: readonly DType[]): RandomKernel;
/** Stages that share their rows, each reading params and earlier stages. */
export declare function randomRows(random: Random, dtypes: readonly DType[]): RandomKernel;
export declare function randomSegments(random: Random, dtypes: readonly DType[]): RandomKernel;
export declare function randomScan(random: Random, dtypes: readonly DType[]): RandomKernel;
export declare function randomScatter(random: Random, dtypes: readonly DType[]): RandomKernel;
export declare function randomContraction(random: Random, dtypes: readonly DType[]): RandomKernel;
//# sourceMappingURL=random-kernel.d.ts.map