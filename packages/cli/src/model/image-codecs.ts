// Decoders of the image formats that core has none for, for models with an ImageDecoder.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { imageDecoder, type OperatorDefinition } from '@onnx-ts/core/operators';
import type { GraphProto, ModelProto, NodeProto } from '@onnx-ts/onnx-proto';

/** What `imageDecoder` wants of a decoder. */
type DecodedImage = ReturnType<NonNullable<Parameters<typeof imageDecoder>[0]['webp']>>;

const require = createRequire(import.meta.url);

/** Drops every fourth byte: ONNX's results have no opacity. */
function withoutAlpha(rgba: Uint8Array | Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

function decodeWebp(bytes: Uint8Array): DecodedImage {
  const webp = require('@cwasm/webp') as typeof import('@cwasm/webp');
  const { width, height, data } = webp.decode(bytes);
  return { width, height, channels: 3, data: withoutAlpha(data) };
}

/** The part of @cornerstonejs/codec-openjpeg that is used; the package has no types. */
interface OpenJpegDecoder {
  getEncodedBuffer(length: number): Uint8Array;
  decode(): void;
  getFrameInfo(): { width: number; height: number; bitsPerSample: number; componentCount: number; isSigned: boolean };
  getDecodedBuffer(): Uint8Array | Uint8ClampedArray;
  delete(): void;
}

interface OpenJpeg {
  J2KDecoder: new () => OpenJpegDecoder;
}

let openJpeg: OpenJpeg | undefined;

/** The codec, made at once: its own way of loading is asynchronous, and decoders are not. */
function loadOpenJpeg(): OpenJpeg {
  if (openJpeg) return openJpeg;
  const code = new WebAssembly.Module(readFileSync(require.resolve('@cornerstonejs/codec-openjpeg/decodewasm')));
  const silent = () => {};
  const module = {
    print: silent,
    printErr: silent,
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      const instance = new WebAssembly.Instance(code, imports);
      done(instance);
      return instance.exports;
    },
  };
  require('@cornerstonejs/codec-openjpeg/decodewasmjs')(module);
  openJpeg = module as unknown as OpenJpeg;
  return openJpeg;
}

function decodeJpeg2000(bytes: Uint8Array): DecodedImage {
  const decoder = new (loadOpenJpeg().J2KDecoder)();
  try {
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.decode();
    const { width, height, bitsPerSample, componentCount, isSigned } = decoder.getFrameInfo();
    if (width === 0 || height === 0) throw new Error('it is damaged or ends too early');
    if (bitsPerSample !== 8 || isSigned) {
      throw new Error(
        `it has ${isSigned ? 'signed ' : ''}samples of ${bitsPerSample} bits, and 8 unsigned ones are read`,
      );
    }
    const data = decoder.getDecodedBuffer();
    if (componentCount === 1 || componentCount === 3) {
      return { width, height, channels: componentCount, data: new Uint8Array(data) };
    }
    if (componentCount === 4) return { width, height, channels: 3, data: withoutAlpha(data) };
    throw new Error(`it has ${componentCount} components, and 1, 3 or 4 are read`);
  } finally {
    decoder.delete();
  }
}

const operators = [imageDecoder({ webp: decodeWebp, jpeg2000: decodeJpeg2000 })];

const decodesImages = (nodes: readonly NodeProto[]): boolean =>
  nodes.some(
    ({ opType, attribute }) =>
      opType === 'ImageDecoder' || attribute.some(({ g }) => g != null && decodesImages((g as GraphProto).node)),
  );

/** Session option `operators` for a model: all formats of ImageDecoder when it has one, otherwise nothing. */
export function imageOperators({ graph, functions }: ModelProto): readonly OperatorDefinition[] | undefined {
  const isUsed = decodesImages(graph?.node ?? []) || functions.some(({ node }) => decodesImages(node));
  return isUsed ? operators : undefined;
}
