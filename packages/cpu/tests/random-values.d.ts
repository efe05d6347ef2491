import { type Axis, Dim, type DType, type Expr, type TensorBuffer, type TensorRef } from '@onnx-ts/tensor-ir';
import type { Random } from './random.ts';
/** Makes the parts of one kernel and remembers its params, their data and the values of its symbols. */
export declare class ValueMaker {
    #private;
    readonly random: Random;
    readonly binding: Map<string, number>;
    readonly inputs: Map<TensorRef, TensorBuffer>;
    /** Largest size of an axis. */
    limit: number;
    /** Whether floats may be NaN or infinite, and often equal. */
    hasSpecials: boolean;
    /** Whether indices from data may be out of range. */
    allowErrors: boolean;
    /** Whether sizes may be 0. */
    allowEmpty: boolean;
    constructor(random: Random);
    get params(): TensorRef[];
    valueOf(dim: Dim): number;
    size(limit?: number): Dim;
    symbol(value: number): Dim;
    shape(rank: number, limit?: number): Dim[];
    order(rank: number): {
        order?: readonly number[];
    };
    tensor(dtype: DType, shape: readonly Dim[], values?: () => number): TensorRef;
    /** An element of a new tensor of `dtype` at a place that depends on the axes. */
    access(dtype: DType, axes: readonly Axis[]): Expr;
    /** A random value of `dtype` at each point of the axes. `leaf` may supply some of the elements. */
    expression(dtype: DType, axes: readonly Axis[], depth: number, leaf?: (dtype: DType) => Expr | undefined): Expr;
}
//# sourceMappingURL=random-values.d.ts.map