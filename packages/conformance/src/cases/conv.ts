// Convolutions of 1 to 3 spatial axes, with every way to pad.

import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import type { Attributes } from '../graph-builder.ts';
import { countOf } from '../random.ts';
import { drawIntegers, encodeTensor, type ValueKind } from '../values.ts';
import { factorKinds } from './matmul.ts';

const kinds: readonly ValueKind[] = ['small', 'unit', 'normal'];

export interface Window {
  readonly kernel: number[];
  readonly image: number[];
  /** Sizes of the result, for zero pads and for those given. */
  readonly attributes: Attributes;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
  readonly autoPad: string | undefined;
}

export interface WindowOptions {
  readonly dilates?: boolean;
  /** Pads must be smaller than the kernel. */
  readonly smallPads?: boolean;
  readonly autoPads?: readonly (string | undefined)[];
}

const defaultAutoPads = [undefined, 'NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER'];

/** A window over an image that holds it at least once. */
export function drawWindow(b: CaseBuilder, options: WindowOptions = {}): Window {
  const { dilates = true, smallPads = false, autoPads = defaultAutoPads } = options;
  const rank = b.draws.pick([2, 1, 3]);
  const largest = [b.draws.oneIn(5) ? 70 : 20, b.draws.oneIn(8) ? 33 : 12, 6][rank - 1];
  const autoPad = b.draws.pickEarly(autoPads);
  const isExplicit = autoPad === undefined || autoPad === 'NOTSET';
  const axes = Array.from({ length: rank }, () => {
    const kernel = b.draws.pickEarly([3, 1, 2, 5, 4, 7]);
    const dilation = dilates ? b.draws.pickEarly([1, 2, 3]) : 1;
    const reach = dilation * (kernel - 1) + 1;
    const most = smallPads ? kernel - 1 : 3;
    const pads = isExplicit ? [Math.min(most, b.draws.below(3)), Math.min(most, b.draws.below(4))] : [0, 0];
    const least = Math.max(1, autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER' ? 1 : reach - pads[0] - pads[1]);
    return {
      kernel,
      dilation,
      pads,
      stride: b.draws.pickEarly([1, 2, 3, 5]),
      image: b.draws.between(least, Math.max(least, largest)),
    };
  });
  const pads = [...axes.map((axis) => axis.pads[0]), ...axes.map((axis) => axis.pads[1])];
  const strides = axes.map((axis) => axis.stride);
  const dilations = axes.map((axis) => axis.dilation);
  const hasPads = isExplicit && (pads.some((pad) => pad > 0) || b.draws.coin());
  return {
    kernel: axes.map((axis) => axis.kernel),
    image: axes.map((axis) => axis.image),
    strides,
    dilations,
    pads,
    autoPad,
    attributes: {
      auto_pad: autoPad,
      pads: hasPads ? pads : undefined,
      strides: strides.some((stride) => stride > 1) || b.draws.coin() ? strides : undefined,
      dilations: dilates && (dilations.some((dilation) => dilation > 1) || b.draws.coin()) ? dilations : undefined,
    },
  };
}

interface Channels {
  readonly batch: number;
  readonly group: number;
  /** Of one group. */
  readonly from: number;
  readonly to: number;
}

function drawChannels(b: CaseBuilder): Channels {
  const style = b.draws.below(6);
  const batch = b.draws.oneIn(40) && !b.isPeer ? 0 : b.draws.pick([1, 2, 3]);
  // Enough of them for several panels of a template.
  if (style === 5) return { batch, group: 1, from: b.draws.pick([32, 24, 65]), to: b.draws.pick([32, 40, 70]) };
  if (style === 3) return { batch, group: b.draws.pick([3, 8, 4, 16, 17]), from: 1, to: b.draws.pick([1, 2]) };
  if (style === 4)
    return { batch, group: b.draws.pick([2, 3, 4]), from: b.draws.pick([2, 3, 4]), to: b.draws.pick([2, 1, 3]) };
  return { batch, group: 1, from: b.draws.pick([1, 2, 3, 4, 8, 16]), to: b.draws.pick([1, 2, 3, 4, 8, 16, 17]) };
}

function conv(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, group, from, to } = drawChannels(b);
  const window = drawWindow(b);
  b.allowSums(from * countOf(window.kernel) + 1, 2);
  const inputs = [
    // What padding is times a weight that is not finite is left open.
    b.random(dtype, [batch, group * from, ...window.image], factorKinds(b)),
    b.random(dtype, [group * to, from, ...window.kernel], kinds),
    b.draws.maybe(() => b.random(dtype, [group * to], kinds)),
  ];
  const attributes = {
    ...window.attributes,
    group: group > 1 || b.draws.coin() ? group : undefined,
    kernel_shape: b.draws.maybe(() => window.kernel),
  };
  b.output(b.op('Conv', inputs, attributes), dtype);
}

function convTranspose(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, group, from, to } = drawChannels(b);
  const window = drawWindow(b, { smallPads: true });
  const image = window.image.map((size) => Math.min(size, 7));
  const rank = image.length;
  // What lies over the image's border may be cut off again, but not all of it.
  const full = image.map(
    (size, axis) => (size - 1) * window.strides[axis] + (window.kernel[axis] - 1) * window.dilations[axis] + 1,
  );
  const isEmpty = full.some((size, axis) => size - window.pads[axis] - window.pads[axis + rank] < 1);
  const pads = isEmpty ? undefined : window.attributes.pads;
  const extra = window.strides.map((stride, axis) => b.draws.below(Math.max(stride, window.dilations[axis])));
  const output =
    b.draws.oneIn(4) && !isEmpty
      ? full.map((size, axis) => Math.max(1, size - b.draws.below(window.kernel[axis]) + b.draws.below(2)))
      : undefined;
  b.allowSums(from * countOf(window.kernel) + 1, 2);
  const inputs = [
    b.random(dtype, [batch, group * from, ...image], kinds),
    b.random(dtype, [group * from, to, ...window.kernel], kinds),
    b.draws.maybe(() => b.random(dtype, [group * to], kinds)),
  ];
  const attributes = {
    ...window.attributes,
    pads: output ? undefined : pads,
    output_shape: output,
    output_padding: !output && b.draws.coin() ? extra : undefined,
    group: group > 1 || b.draws.coin() ? group : undefined,
    kernel_shape: b.draws.maybe(() => window.kernel),
  };
  b.output(b.op('ConvTranspose', inputs, attributes), dtype);
}

function zeroPoint(b: CaseBuilder, dtype: DType, dims: readonly number[]): string {
  const low = dtype === 'uint8' ? 0 : -100;
  return b.operand(drawIntegers(b.draws, dtype, dims, low, dtype === 'uint8' ? 200 : 100));
}

function convInteger(b: CaseBuilder): void {
  const [imageType, kernelType] = [b.dtype('T1'), b.dtype('T2')];
  const { batch, group, from, to } = drawChannels(b);
  const window = drawWindow(b);
  const values: readonly ValueKind[] = ['small', 'wide'];
  const inputs = [
    b.random(imageType, [batch, group * from, ...window.image], values),
    b.random(kernelType, [group * to, from, ...window.kernel], values),
    b.draws.maybe(() => zeroPoint(b, imageType, [])),
    b.draws.maybe(() => zeroPoint(b, kernelType, b.draws.coin() && !b.isPeer ? [group * to] : [])),
  ];
  b.output(b.op('ConvInteger', inputs, { ...window.attributes, group: group > 1 ? group : undefined }), 'int32');
}

function qlinearConv(b: CaseBuilder): void {
  const [imageType, kernelType, dtype] = [b.dtype('T1'), b.dtype('T2'), b.dtype('T3')];
  const { batch, group, from, to } = drawChannels(b);
  const window = drawWindow(b);
  const count = group * to;
  const perChannel = b.draws.coin();
  const scales = (dims: readonly number[]): string => {
    const generator = b.draws.generator();
    return b.operand(
      encodeTensor(
        'float32',
        dims,
        Array.from({ length: countOf(dims) }, () => 0.01 + generator.uniform() * 0.1),
      ),
    );
  };
  b.allow({ integers: 1 });
  const kernelDims = perChannel ? [count] : [];
  const inputs = [
    b.random(imageType, [batch, group * from, ...window.image], ['wide', 'small']),
    scales([]),
    zeroPoint(b, imageType, []),
    b.random(kernelType, [count, from, ...window.kernel], ['wide', 'small']),
    scales(kernelDims),
    // Some runtimes take no different zero points for the channels.
    b.operand(
      encodeTensor(
        kernelType,
        kernelDims,
        Array(countOf(kernelDims)).fill(kernelType === 'uint8' ? b.draws.below(200) : 0),
      ),
    ),
    scales([]),
    zeroPoint(b, dtype, []),
    b.draws.maybe(() => b.operand(drawIntegers(b.draws, 'int32', [count], -1000, 1000))),
  ];
  b.output(b.op('QLinearConv', inputs, { ...window.attributes, group: group > 1 ? group : undefined }));
}

function deformConv(b: CaseBuilder): void {
  const dtype = b.dtype();
  const { batch, group, from, to } = drawChannels(b);
  const window = drawWindow(b, { autoPads: [undefined] });
  const [kernel, image] = [window.kernel.slice(0, 2), window.image.slice(0, 2)];
  if (kernel.length < 2) {
    kernel.push(kernel[0]);
    image.push(image[0]);
  }
  const axes = kernel.map((size, axis) => {
    const dilation = b.draws.between(1, 2);
    const pads = [b.draws.below(2), b.draws.below(2)];
    const reach = dilation * (size - 1) + 1;
    const extent = Math.max(image[axis], reach);
    const stride = b.draws.between(1, 2);
    return { dilation, pads, stride, extent, count: Math.floor((extent + pads[0] + pads[1] - reach) / stride) + 1 };
  });
  const offsetGroup = b.draws.pick([1, group * from]);
  const result = axes.map(({ count }) => count);
  b.allowSums(from * countOf(kernel) * 4 + 1, 32);
  const points = countOf(kernel);
  const inputs = [
    b.random(dtype, [batch, group * from, ...axes.map(({ extent }) => extent)], kinds),
    b.random(dtype, [group * to, from, ...kernel], kinds),
    b.random(dtype, [batch, offsetGroup * points * 2, ...result], ['unit', 'normal']),
    b.draws.maybe(() => b.random(dtype, [group * to], kinds)),
    b.draws.maybe(() => b.random(dtype, [batch, offsetGroup * points, ...result], ['unit'])),
  ];
  const attributes = {
    dilations: axes.map(({ dilation }) => dilation),
    strides: axes.map(({ stride }) => stride),
    pads: [...axes.map(({ pads }) => pads[0]), ...axes.map(({ pads }) => pads[1])],
    group,
    offset_group: offsetGroup,
    kernel_shape: b.draws.maybe(() => kernel),
  };
  b.output(b.op('DeformConv', inputs, attributes), dtype);
}

export const convolutions: Family = {
  name: 'conv',
  cases: {
    Conv: conv,
    ConvTranspose: convTranspose,
    ConvInteger: convInteger,
    QLinearConv: qlinearConv,
    DeformConv: deformConv,
  },
};
