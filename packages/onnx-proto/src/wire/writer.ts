// Writes the protobuf wire format. `generated/encode.ts` says which field is written how.

import { NESTING_LIMIT } from './reader.ts';
import { HIGH, LOW, signed, unsigned, words } from './words.ts';

/** A function of `generated/encode.ts`: writes the fields of a message, without its length. */
export type MessageEncoder<T> = (message: T, writer: WireWriter) => void;

const FIRST_BLOCK = 1024;
const LARGEST_BLOCK = 65536;
/** Byte strings above this are referred to until `finish`, not copied twice. */
const LARGE = 256;
const TWO_32 = 0x1_0000_0000;
const utf8 = new TextEncoder();

/**
 * Collects chunks, so that the length in front of a submessage can be filled in without moving what follows it.
 * Throws a RangeError for numbers outside the range of their field, and for messages that nest too deep or in a circle.
 */
export class WireWriter {
  readonly #chunks: Uint8Array[] = [];
  #chunkBytes = 0;
  #depth = 0;
  // The block being filled: bytes from `#start` up to `#pos` are not yet a chunk.
  #block = new Uint8Array(FIRST_BLOCK);
  #view = new DataView(this.#block.buffer);
  #start = 0;
  #pos = 0;

  uint32(value: number): this {
    this.#varint(value, 0);
    return this;
  }

  int32(value: number): void {
    if ((value | 0) !== value) throw new RangeError(`${value} is not a 32-bit integer`);
    this.int53(value);
  }

  /** A signed 64-bit integer given as a number. */
  int53(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not an integer below 2^53`);
    this.#varint(value, Math.floor(value / TWO_32));
  }

  int64(value: bigint): void {
    if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${value} is not a signed 64-bit integer`);
    signed[0] = value;
    this.#varint(words[LOW], words[HIGH]);
  }

  uint64(value: bigint): void {
    if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${value} is not an unsigned 64-bit integer`);
    unsigned[0] = value;
    this.#varint(words[LOW], words[HIGH]);
  }

  float(value: number): void {
    this.#reserve(4);
    this.#view.setFloat32(this.#pos, value, true);
    this.#pos += 4;
  }

  double(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#pos, value, true);
    this.#pos += 8;
  }

  bytes(value: Uint8Array): void {
    this.#length(value.length);
    if (value.length > LARGE) {
      this.#flush();
      this.#push(value);
    } else {
      this.#reserve(value.length);
      this.#block.set(value, this.#pos);
      this.#pos += value.length;
    }
  }

  string(value: string): void {
    this.bytes(utf8.encode(value));
  }

  message<T>(encode: MessageEncoder<T>, message: T): void {
    if (++this.#depth > NESTING_LIMIT) throw new RangeError(`messages nest deeper than ${NESTING_LIMIT}`);
    this.#delimited(() => encode(message, this));
    --this.#depth;
  }

  floats(values: ArrayLike<number>): void {
    this.#length(values.length * 4);
    for (let index = 0; index < values.length; ++index) this.float(values[index]);
  }

  doubles(values: ArrayLike<number>): void {
    this.#length(values.length * 8);
    for (let index = 0; index < values.length; ++index) this.double(values[index]);
  }

  int32s(values: ArrayLike<number>): void {
    this.#delimited(() => {
      for (let index = 0; index < values.length; ++index) this.int32(values[index]);
    });
  }

  int64s(values: ArrayLike<bigint>): void {
    this.#delimited(() => {
      for (let index = 0; index < values.length; ++index) this.int64(values[index]);
    });
  }

  uint64s(values: ArrayLike<bigint>): void {
    this.#delimited(() => {
      for (let index = 0; index < values.length; ++index) this.uint64(values[index]);
    });
  }

  /** All that was written, in memory of its own. The writer is spent. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#flush();
    const result = new Uint8Array(this.#chunkBytes);
    let offset = 0;
    for (const chunk of this.#chunks) {
      result.set(chunk, offset);
      offset += chunk.length;
    }
    return result;
  }

  /** Runs `write` and puts the length of what it wrote in front. */
  #delimited(write: () => void): void {
    this.#flush();
    const slot = this.#chunks.push(this.#block) - 1;
    const before = this.#chunkBytes;
    write();
    this.#flush();
    this.#length(this.#chunkBytes - before);
    this.#chunks[slot] = this.#take();
  }

  #length(value: number): void {
    this.#varint(value, Math.floor(value / TWO_32));
  }

  #flush(): void {
    if (this.#pos > this.#start) this.#chunks.push(this.#take());
  }

  #take(): Uint8Array {
    const chunk = this.#block.subarray(this.#start, this.#pos);
    this.#start = this.#pos;
    this.#chunkBytes += chunk.length;
    return chunk;
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#chunkBytes += chunk.length;
  }

  #reserve(size: number): void {
    if (this.#block.length - this.#pos >= size) return;
    this.#flush();
    this.#block = new Uint8Array(Math.min(2 * this.#block.length, LARGEST_BLOCK));
    this.#view = new DataView(this.#block.buffer);
    this.#start = this.#pos = 0;
  }

  /** Both words may be any integer; the lowest 32 bits count. */
  #varint(low: number, high: number): void {
    this.#reserve(10);
    while (high >>> 0 > 0 || low >>> 0 > 127) {
      this.#block[this.#pos++] = (low & 127) | 128;
      low = (low >>> 7) | (high << 25);
      high >>>= 7;
    }
    this.#block[this.#pos++] = low;
  }
}
