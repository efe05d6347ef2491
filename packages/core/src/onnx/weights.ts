// External data: where the bytes of large initializers are, and that they stay inside the model's folder.

import type { TensorProto } from '@onnx-ts/onnx-proto';
import { type ErrorPlace, OnnxTsError } from '../errors.ts';
import type { TensorBytes, WeightPlace } from '../session/tensor.ts';

/** One file of external data, opened. Reads are synchronous: the bytes are in memory or in a local file. */
export interface WeightFile {
  readonly byteLength: number;
  readonly view?: Uint8Array;
  read(offset: number, target: Uint8Array): void;
  close?(): void;
}

export function weightFileOf(bytes: Uint8Array): WeightFile {
  return {
    byteLength: bytes.byteLength,
    view: bytes,
    read: (offset, target) => target.set(bytes.subarray(offset, offset + target.byteLength)),
  };
}

/** Where a tensor says that its bytes are. */
export interface ExternalPlace {
  readonly location: string;
  readonly offset: number;
  readonly length: number | undefined;
}

/**
 * @throws OnnxTsError EXTERNAL_DATA for a location that could leave the model's folder, or numbers that are none
 */
export function externalPlace(proto: TensorProto): ExternalPlace {
  const entries = new Map(proto.externalData.map((entry) => [entry.key ?? '', entry.value ?? '']));
  const location = (entries.get('location') ?? '').replaceAll('\\', '/').replace(/^(\.\/)+/, '');
  const fail = (what: string): never => {
    throw new OnnxTsError('EXTERNAL_DATA', `the tensor "${proto.name ?? ''}" ${what}`, {
      place: { path: location },
      hint: 'External data must be a file beside the model or below its folder.',
    });
  };
  if (location === '') fail('names no file for its external data.');
  if (location.startsWith('/') || /^[A-Za-z][A-Za-z0-9+.-]*:/.test(location) || location.includes('\0')) {
    fail('has an absolute path as place of its external data.');
  }
  if (location.split('/').includes('..')) fail('has external data outside the folder of the model.');
  const number = (key: string): number | undefined => {
    const text = entries.get(key);
    if (text === undefined || text === '') return undefined;
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) fail(`has "${text}" as ${key} of its external data.`);
    return value;
  };
  return { location, offset: number('offset') ?? 0, length: number('length') };
}

/** Bytes from which on the data of an initializer is a weight: it may change while the model stays the same program. */
export const largeWeight = 1024;

export type WeightReadListener = (place: WeightPlace, length: number) => void;

/** Resolves tensors with external data against files that were opened beforehand. */
export class WeightResolver {
  readonly #files: ReadonlyMap<string, WeightFile>;
  /** Told of each read of bytes that may be other ones while the rest of the model is the same. */
  readonly onRead: WeightReadListener | undefined;

  /** @param files by location; '' is the model's own file */
  constructor(files: ReadonlyMap<string, WeightFile>, onRead?: WeightReadListener) {
    this.#files = files;
    this.onRead = onRead;
  }

  /** @throws OnnxTsError EXTERNAL_DATA when the file is missing or too short */
  read({ location, offset }: WeightPlace, target: Uint8Array): void {
    this.#file(location, offset, target.byteLength, { path: location }).read(offset, target);
  }

  /** The bytes of a file, to be read when they are wanted. @throws OnnxTsError as `read` */
  bytesAt(weight: WeightPlace, byteLength: number, value = ''): TensorBytes {
    const { location, offset } = weight;
    const file = this.#file(location, offset, byteLength, { value, path: location });
    const view = file.view?.subarray(offset, offset + byteLength);
    const { onRead } = this;
    return {
      byteLength,
      read: (target, start) => file.read(offset + start, target),
      ...(view && { view }),
      weight,
      ...(onRead && {
        onRead: (start: number, length: number) => onRead({ location, offset: offset + start }, length),
      }),
    };
  }

  /** A part of the model's own bytes as the weight that it is; undefined when they are others. */
  ownBytes(part: Uint8Array): TensorBytes | undefined {
    const model = this.#files.get('')?.view;
    if (model?.buffer !== part.buffer) return undefined;
    return this.bytesAt({ location: '', offset: part.byteOffset - model.byteOffset }, part.byteLength);
  }

  #file(location: string, offset: number, byteLength: number, place: ErrorPlace): WeightFile {
    const file = this.#files.get(location);
    if (!file) {
      throw new OnnxTsError('EXTERNAL_DATA', 'this file of external data is missing.', {
        place,
        hint: 'Load the model by path or URL, or pass the file in the option `externalData`.',
      });
    }
    if (offset + byteLength <= file.byteLength) return file;
    const what = `bytes ${offset} to ${offset + byteLength} are needed, but the file ends at ${file.byteLength}.`;
    throw new OnnxTsError('EXTERNAL_DATA', what, { place });
  }

  /** @throws OnnxTsError EXTERNAL_DATA when the file is missing or too short */
  resolve(proto: TensorProto, byteLength: number): TensorBytes {
    const { location, offset, length } = externalPlace(proto);
    const place = { value: proto.name ?? '', path: location };
    if (length !== undefined && length !== byteLength) {
      throw new OnnxTsError('EXTERNAL_DATA', `the tensor needs ${byteLength} bytes, the model states ${length}.`, {
        place,
      });
    }
    return this.bytesAt({ location, offset }, byteLength, proto.name);
  }
}
