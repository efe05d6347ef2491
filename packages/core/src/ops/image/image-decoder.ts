// ImageDecoder: the bytes of an image file to pixels, on the host. Which formats it reads is told by their first bytes.

import { Dim } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../../errors.ts';
import { tensorType } from '../../graph/types.ts';
import { Tensor } from '../../session/tensor.ts';
import { placeOf } from '../context.ts';
import { defineOperator, type EvaluateContext, type OperatorDefinition, string } from '../define.ts';
import { expectRank } from '../expect.ts';
import { requireDType } from '../pointwise.ts';
import { decodeBmp } from './bmp.ts';
import type { DecodedImage, ImageDecoder as Decoder } from './image.ts';
import { decodeJpeg } from './jpeg.ts';
import { decodePng } from './png.ts';
import { decodePnm } from './pnm.ts';
import { decodeTiff } from './tiff.ts';

/** Formats that ONNX names. */
export type ImageFormat = 'bmp' | 'jpeg' | 'jpeg2000' | 'png' | 'pnm' | 'tiff' | 'webp';

type Decoders = Readonly<Partial<Record<ImageFormat, Decoder>>>;

const ownDecoders: Decoders = {
  bmp: decodeBmp,
  jpeg: decodeJpeg,
  png: decodePng,
  pnm: decodePnm,
  tiff: decodeTiff,
};

/** First bytes; undefined ones may be any. */
const signatures: readonly (readonly [ImageFormat, readonly (number | undefined)[]])[] = [
  ['png', [0x89, 0x50, 0x4e, 0x47]],
  ['jpeg', [0xff, 0xd8, 0xff]],
  ['bmp', [0x42, 0x4d]],
  ['tiff', [0x49, 0x49, 0x2a, 0]],
  ['tiff', [0x4d, 0x4d, 0, 0x2a]],
  ['webp', [0x52, 0x49, 0x46, 0x46, undefined, undefined, undefined, undefined, 0x57, 0x45, 0x42, 0x50]],
  ['jpeg2000', [0, 0, 0, 0x0c, 0x6a, 0x50, 0x20, 0x20]],
  ['jpeg2000', [0xff, 0x4f, 0xff, 0x51]],
];

export function formatOf(bytes: Uint8Array): ImageFormat | undefined {
  const known = signatures.find(([, start]) => start.every((byte, at) => byte === undefined || bytes[at] === byte));
  if (known) return known[0];
  return bytes[0] === 0x50 && bytes[1] >= 0x31 && bytes[1] <= 0x36 ? 'pnm' : undefined;
}

function decode(ctx: EvaluateContext, bytes: Uint8Array, decoders: Decoders): DecodedImage {
  const format = formatOf(bytes);
  if (!format) return ctx.fail('these bytes are none of the image formats that ONNX names.');
  const decoder = decoders[format];
  if (!decoder) {
    throw new OnnxTsError(
      'UNSUPPORTED',
      `images of format ${format} need a decoder that is not part of this package.`,
      {
        place: placeOf(ctx.node),
        hint: `Install one and pass it in the session option: operators: [imageDecoder({ ${format}: decode })].`,
      },
    );
  }
  try {
    return decoder(bytes);
  } catch (error) {
    return ctx.fail(`this ${format} image cannot be read: ${(error as Error).message}.`);
  }
}

const pixelFormats = ['RGB', 'BGR', 'Grayscale'];

/** Luma of ITU-R 601, rounded. */
const luma = (red: number, green: number, blue: number): number =>
  (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16;

function arrange({ width, height, channels, data }: DecodedImage, pixelFormat: string): Tensor {
  const isGrey = pixelFormat === 'Grayscale';
  if (channels === (isGrey ? 1 : 3) && pixelFormat !== 'BGR') {
    return new Tensor('uint8', data, [height, width, channels]);
  }
  const wanted = isGrey ? 1 : 3;
  const result = new Uint8Array(width * height * wanted);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const [red, green, blue] =
      channels === 1 ? Array<number>(3).fill(data[pixel]) : data.subarray(pixel * 3, pixel * 3 + 3);
    if (isGrey) result[pixel] = luma(red, green, blue);
    else result.set(pixelFormat === 'BGR' ? [blue, green, red] : [red, green, blue], pixel * 3);
  }
  return new Tensor('uint8', result, [height, width, wanted]);
}

/**
 * ImageDecoder with decoders of more formats (webp, jpeg2000), or other ones: for the session option `operators`, where it
 * takes the place of the one that is there. Its result holds pixels [height, width, channels].
 */
export function imageDecoder(decoders: Decoders): OperatorDefinition {
  const all = { ...ownDecoders, ...decoders };
  const definition = defineOperator({
    name: 'ImageDecoder',
    since: 20,
    attributes: { pixel_format: string('RGB') },
    infer(ctx) {
      requireDType(ctx, 0, ['uint8']);
      expectRank(ctx, 0, 1);
      const { pixel_format: format } = ctx.attributes;
      if (!pixelFormats.includes(format))
        ctx.fail(`pixel_format "${format}" is not one of ${pixelFormats.join(', ')}.`);
      const channels = Dim.constant(format === 'Grayscale' ? 1 : 3);
      return [tensorType('uint8', [ctx.freshDim('height'), ctx.freshDim('width'), channels])];
    },
    evaluate: (ctx) => arrange(decode(ctx, ctx.tensor(0).data as Uint8Array, all), ctx.attributes.pixel_format),
  });
  return { ...definition, overrides: true };
}

export const ImageDecoder: OperatorDefinition = { ...imageDecoder({}), overrides: false };
