// What the decoders of image files have in common.

/** Pixels row by row, `channels` bytes each: 1 grey, 3 red, green, blue. */
export interface DecodedImage {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** Bytes of a file to pixels. Throws an Error that says what is wrong with the file. */
export type ImageDecoder = (bytes: Uint8Array) => DecodedImage;

/** More pixels than this are taken for a damaged header. */
const mostPixels = 2 ** 28;

/** @throws Error unless both sizes are sensible */
export function checkSize(width: number, height: number): void {
  if (!(width > 0 && height > 0 && width * height <= mostPixels)) throw new Error(`its size is ${width}×${height}`);
}

/** Big- and little-endian numbers of a file; reading past its end throws. */
export class ByteReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly #littleEndian: boolean;

  constructor(bytes: Uint8Array, position = 0, littleEndian = false) {
    this.bytes = bytes;
    this.position = position;
    this.#littleEndian = littleEndian;
  }

  get isAtEnd(): boolean {
    return this.position >= this.bytes.length;
  }

  u8(): number {
    if (this.position >= this.bytes.length) throw new Error('it ends too early');
    return this.bytes[this.position++];
  }

  u16(): number {
    const [a, b] = [this.u8(), this.u8()];
    return this.#littleEndian ? (b << 8) | a : (a << 8) | b;
  }

  u32(): number {
    const [a, b] = [this.u16(), this.u16()];
    return (this.#littleEndian ? (b << 16) | a : (a << 16) | b) >>> 0;
  }

  i32(): number {
    return this.u32() | 0;
  }

  take(count: number): Uint8Array {
    if (this.position + count > this.bytes.length) throw new Error('it ends too early');
    const part = this.bytes.subarray(this.position, this.position + count);
    this.position += count;
    return part;
  }
}
