// Geometry of sliding windows: how convolutions and pools map an output position and a kernel tap to an input position.

import { add, and, Dim, dimension, type Expr, ge, lt, mul, sub } from '@onnx-ts/tensor-ir';
import { int, ints, type NodeContext, string } from './define.ts';

/** One spatial axis of a window. input position = output position · stride + tap · dilation − padBegin */
export interface WindowAxis {
  readonly input: Dim;
  readonly output: Dim;
  readonly kernel: Dim;
  readonly stride: number;
  readonly dilation: number;
  readonly padBegin: Dim;
  readonly padEnd: Dim;
  /** Windows stay within the padded input: not so with `ceil_mode`, where the last one may stick out. */
  readonly staysInside: boolean;
}

export const windowAttributes = {
  auto_pad: string('NOTSET'),
  dilations: ints(),
  kernel_shape: ints(),
  pads: ints(),
  strides: ints(),
};

export const poolAttributes = { ...windowAttributes, ceil_mode: int(0) };

export interface WindowAttributes {
  readonly auto_pad: string;
  readonly dilations: readonly number[] | undefined;
  readonly kernel_shape: readonly number[] | undefined;
  readonly pads: readonly number[] | undefined;
  readonly strides: readonly number[] | undefined;
  readonly ceil_mode?: number;
}

/** A per-axis attribute with its length and lower bound checked. */
export function perAxis(
  ctx: NodeContext,
  name: string,
  values: readonly number[] | undefined,
  count: number,
  fallback: number,
  least: number,
): readonly number[] {
  // Some exporters write an empty list for "default".
  if (!values || values.length === 0) return Array<number>(count).fill(fallback);
  if (values.length !== count) ctx.fail(`${name} must have ${count} entries, not ${values.length}.`);
  if (values.some((value) => value < least)) ctx.fail(`${name} must be at least ${least}, not [${values.join(', ')}].`);
  return values;
}

/** Pixels from the first tap of a window to the last, both included. */
export function windowExtent(kernel: Dim, dilation: number): Dim {
  return kernel.sub(1).mul(dilation).add(1);
}

/**
 * Windows over the given spatial sizes.
 * @param kernel sizes of the kernel; the attribute `kernel_shape`, if there is one, must agree
 */
export function windowAxes(
  ctx: NodeContext,
  attributes: WindowAttributes,
  spatial: readonly Dim[],
  kernel: readonly Dim[],
): readonly WindowAxis[] {
  const count = spatial.length;
  if (kernel.length !== count) ctx.fail(`the kernel has ${kernel.length} spatial axes, the input ${count}.`);
  const strides = perAxis(ctx, 'strides', attributes.strides, count, 1, 1);
  const dilations = perAxis(ctx, 'dilations', attributes.dilations, count, 1, 1);
  const pads = perAxis(ctx, 'pads', attributes.pads, 2 * count, 0, -Infinity);
  return spatial.map((input, axis) => {
    const [stride, dilation] = [strides[axis], dilations[axis]];
    const shared = { input, kernel: kernel[axis], stride, dilation };
    const extent = windowExtent(kernel[axis], dilation);
    switch (attributes.auto_pad) {
      case 'SAME_UPPER':
      case 'SAME_LOWER': {
        const output = input.ceilDiv(stride);
        const total = output.sub(1).mul(stride).add(extent).sub(input).max(0);
        const less = total.floorDiv(2);
        const [padBegin, padEnd] =
          attributes.auto_pad === 'SAME_UPPER' ? [less, total.sub(less)] : [total.sub(less), less];
        return { ...shared, output, padBegin, padEnd, staysInside: true };
      }
      case 'NOTSET':
      case '':
      case 'VALID': {
        const isValid = attributes.auto_pad === 'VALID';
        const padBegin = Dim.constant(isValid ? 0 : pads[axis]);
        const padEnd = Dim.constant(isValid ? 0 : pads[axis + count]);
        const free = input.add(padBegin).add(padEnd).sub(extent);
        if (free.constant !== undefined && free.constant < 0) {
          ctx.fail(`a window of ${extent} pixels does not fit into axis ${axis + 2}: ${input} pixels and padding.`);
        }
        if (!attributes.ceil_mode) {
          return { ...shared, output: free.floorDiv(stride).add(1), padBegin, padEnd, staysInside: true };
        }
        // A window that would start in the padding after the input is left out.
        const output = free.ceilDiv(stride).add(1).min(input.add(padBegin).ceilDiv(stride));
        return { ...shared, output, padBegin, padEnd, staysInside: false };
      }
      default:
        return ctx.fail(`auto_pad "${attributes.auto_pad}" is not one of NOTSET, SAME_UPPER, SAME_LOWER, VALID.`);
    }
  });
}

/** Sizes of the kernel from the attribute, for operators that have no weight to tell them. */
export function kernelShape(ctx: NodeContext, attributes: WindowAttributes, count: number): readonly Dim[] {
  const sizes = attributes.kernel_shape;
  if (!sizes) return ctx.fail('the attribute "kernel_shape" is missing.');
  return perAxis(ctx, 'kernel_shape', sizes, count, 1, 1).map((size) => Dim.constant(size));
}

export interface WindowTap {
  /** Input positions, one for each axis. */
  readonly position: readonly Expr[];
  /** Whether the tap lies inside the image; absent when it always does. */
  readonly inside: Expr | undefined;
}

/** Where tap `tap` of window `at` reads. */
export function windowTap(axes: readonly WindowAxis[], at: readonly Expr[], tap: readonly Expr[]): WindowTap {
  const conditions: Expr[] = [];
  const position = axes.map((axis, n) => {
    const shifted = add(mul(at[n], axis.stride), mul(tap[n], axis.dilation));
    const position = axis.padBegin.is(0) ? shifted : sub(shifted, dimension(axis.padBegin));
    if (!axis.padBegin.atMost(0)) conditions.push(ge(position, 0));
    if (!axis.padEnd.atMost(0) || !axis.staysInside) conditions.push(lt(position, dimension(axis.input)));
    return position;
  });
  return { position, inside: every(...conditions) };
}

/** Conjunction of conditions of which the first may be absent. */
export function both(a: Expr | undefined, b: Expr): Expr {
  return a ? and(a, b) : b;
}

/** The conjunction of the conditions that are there; undefined, which stands for true, when none is. */
export function every(...conditions: readonly (Expr | undefined)[]): Expr | undefined {
  const present = conditions.filter((condition) => condition !== undefined);
  return present.length === 0 ? undefined : present.reduce((a, b) => and(a, b));
}

/** Guard of a load that gives 0 where the condition is false. */
export function zeroUnless(condition: Expr | undefined) {
  return condition && { when: condition, otherwise: 0 };
}
