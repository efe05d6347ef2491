// PNG images as image tensors.

import { OnnxTsError, type Tensor } from '@onnx-ts/core';
import { isFloat } from '@onnx-ts/tensor-ir';
import { PNG } from 'pngjs';
import type { DeclaredValue } from '../model/declared-values.ts';
import { encodeElements } from './elements.ts';

/** What becomes of an image, for help texts. */
export const pngHelp = `.png: the input must have the shape [N, C, H, W], [N, H, W, C], [C, H, W], [H, W, C] or [H, W], with C = 1
(grey: 0.299 R + 0.587 G + 0.114 B) or 3 (red, green, blue). Transparency is ignored. The image is
resized (bilinear) to H and W where the model fixes them. Values are 0..1 for float inputs and 0..255
for integers; no mean or deviation is applied.`;

interface Layout {
  readonly channels: number;
  readonly channelsFirst: boolean;
  readonly height: number | undefined;
  readonly width: number | undefined;
}

/** A plane of 8-bit values per channel. */
interface Image {
  readonly width: number;
  readonly height: number;
  readonly planes: readonly Float64Array[];
}

/** @throws OnnxTsError INVALID_INPUT */
export function imageTensor(bytes: Uint8Array, input: DeclaredValue): Tensor {
  const { type } = input;
  const layout = type?.kind === 'tensor' && type.shape ? layoutOf(type.shape.map((dim) => dim.constant)) : undefined;
  if (type?.kind !== 'tensor' || !type.shape || !layout || type.dtype === 'string') {
    throw new OnnxTsError('INVALID_INPUT', 'this input has no shape that an image fits.', {
      place: { value: input.name },
      hint: 'Images need [N, C, H, W] or [N, H, W, C] with 1 or 3 channels.',
    });
  }
  let png: PNG;
  try {
    png = PNG.sync.read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (cause) {
    throw new OnnxTsError('INVALID_INPUT', `the file is no PNG image: ${(cause as Error).message}.`, { cause });
  }
  const image = resize(decode(png, layout.channels), layout.width ?? png.width, layout.height ?? png.height);
  const scale = isFloat(type.dtype) ? 1 / 255 : 1;
  const values = interleave(image, layout.channelsFirst).map((value) =>
    scale === 1 ? Math.round(value) : Math.fround(value * scale),
  );
  const { channels, channelsFirst } = layout;
  const pixels = [image.height, image.width];
  const rank = type.shape.length;
  const dims = rank === 2 ? pixels : channelsFirst ? [channels, ...pixels] : [...pixels, channels];
  return encodeElements(type.dtype, values, rank === 4 ? [1, ...dims] : dims);
}

/** Channels first wins where both readings are possible. */
function layoutOf(shape: readonly (number | undefined)[]): Layout | undefined {
  const isChannels = (size: number | undefined): size is number => size === 1 || size === 3;
  if (shape.length === 2) return { channels: 1, channelsFirst: true, height: shape[0], width: shape[1] };
  if (shape.length !== 3 && shape.length !== 4) return undefined;
  if (shape.length === 4 && shape[0] !== undefined && shape[0] !== 1) return undefined;
  const [first, second, third] = shape.slice(-3);
  if (isChannels(first)) return { channels: first, channelsFirst: true, height: second, width: third };
  if (isChannels(third)) return { channels: third, channelsFirst: false, height: first, width: second };
  return undefined;
}

function decode(png: PNG, channels: number): Image {
  const count = png.width * png.height;
  const planes = Array.from({ length: channels }, () => new Float64Array(count));
  for (let at = 0; at < count; at++) {
    const [red, green, blue] = png.data.subarray(at * 4, at * 4 + 3);
    // Equal channels stay exactly as they are: the weights need not sum to 1 in floating point.
    if (channels === 1)
      planes[0][at] = red === green && green === blue ? red : 0.299 * red + 0.587 * green + 0.114 * blue;
    else for (const [channel, plane] of planes.entries()) plane[at] = png.data[at * 4 + channel];
  }
  return { width: png.width, height: png.height, planes };
}

/** Bilinear with half-pixel centres, edges repeated. */
function resize(image: Image, width: number, height: number): Image {
  if (image.width === width && image.height === height) return image;
  const columns = samplesOf(image.width, width);
  const rows = samplesOf(image.height, height);
  const planes = image.planes.map((plane) => {
    const target = new Float64Array(width * height);
    for (const [y, row] of rows.entries()) {
      for (const [x, column] of columns.entries()) {
        const at = (from: number): number => {
          const left = plane[from * image.width + column.low];
          return left + (plane[from * image.width + column.high] - left) * column.fraction;
        };
        const top = at(row.low);
        target[y * width + x] = top + (at(row.high) - top) * row.fraction;
      }
    }
    return target;
  });
  return { width, height, planes };
}

function samplesOf(
  from: number,
  to: number,
): { readonly low: number; readonly high: number; readonly fraction: number }[] {
  return Array.from({ length: to }, (_, at) => {
    const place = Math.min(Math.max(((at + 0.5) * from) / to - 0.5, 0), from - 1);
    const low = Math.floor(place);
    return { low, high: Math.min(low + 1, from - 1), fraction: place - low };
  });
}

function interleave(image: Image, channelsFirst: boolean): Float64Array {
  const { planes } = image;
  const count = image.width * image.height;
  const values = new Float64Array(count * planes.length);
  for (const [channel, plane] of planes.entries()) {
    if (channelsFirst) values.set(plane, channel * count);
    else for (let at = 0; at < count; at++) values[at * planes.length + channel] = plane[at];
  }
  return values;
}
