// Reads the protobuf wire format. `generated/decode.ts` says which field is read how; typed arrays are in `arrays.ts`.

import { extend } from './arrays.ts';
import { ProtoDecodeError } from './decode-error.ts';
import { HIGH, LOW, signed, unsigned, words } from './words.ts';

/** Messages may nest this deep, as in the C++ and Java implementations of protobuf. */
export const NESTING_LIMIT = 100;

/** A function of `generated/decode.ts`: reads fields up to `reader.end`, into `target` where there is one. */
export type MessageDecoder<T> = (reader: WireReader, target?: T) => T;

const SHORT_STRING = 48;
const TWO_32 = 0x1_0000_0000;
// A byte order mark is part of a name like any other character. Broken UTF-8 becomes U+FFFD: proto2 does not forbid it,
// and old exporters wrote documentation strings in other encodings.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * A cursor over bytes that it never copies, and never reads past `end`.
 * Every length is compared with the bytes at hand before anything is allocated for it.
 */
export class WireReader {
  /** Offset of the next byte. */
  pos = 0;
  /** End of the message being read. */
  end: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #depth = 0;
  // The last varint: two words, as unsigned 32-bit numbers.
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array) {
    if (!ArrayBuffer.isView(bytes)) throw new TypeError('expected a Uint8Array of protobuf bytes');
    // A Buffer of Node would give Buffers as its parts, whose `slice` does not copy.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.byteLength;
  }

  /** The field number and wire type. */
  tag(): number {
    const start = this.pos;
    this.#varint();
    if (this.#high !== 0 || this.#low < 8) throw new ProtoDecodeError('invalid field number', start);
    return this.#low;
  }

  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  /** A signed 64-bit integer whose value must be exact as a number. */
  int53(): number {
    const start = this.pos;
    this.#varint();
    const value = (this.#high | 0) * TWO_32 + this.#low;
    if (!Number.isSafeInteger(value)) throw new ProtoDecodeError('an integer is beyond 2^53', start);
    return value;
  }

  int64(): bigint {
    this.#varint();
    words[LOW] = this.#low;
    words[HIGH] = this.#high;
    return signed[0];
  }

  uint64(): bigint {
    this.int64();
    return unsigned[0];
  }

  float(): number {
    return this.#view.getFloat32(this.#advance(4), true);
  }

  double(): number {
    return this.#view.getFloat64(this.#advance(8), true);
  }

  /** A view of the input, not a copy. */
  bytes(): Uint8Array {
    const start = this.#advance(this.#size());
    return this.#bytes.subarray(start, this.pos);
  }

  string(): string {
    const start = this.#advance(this.#size());
    if (this.pos - start <= SHORT_STRING) {
      let text = '';
      let index = start;
      while (index < this.pos && this.#bytes[index] < 128) text += String.fromCharCode(this.#bytes[index++]);
      if (index === this.pos) return text;
    }
    try {
      // The copy is for input in shared memory, which a TextDecoder refuses.
      return utf8.decode(this.#bytes.slice(start, this.pos));
    } catch (cause) {
      throw new ProtoDecodeError('a string is too long for this JavaScript engine', start, { cause });
    }
  }

  /** A submessage; a field that occurs again is merged into its earlier value. */
  message<T>(decode: MessageDecoder<T>, target?: T): T {
    const outer = this.#enter();
    const message = decode(this, target);
    this.#leave(outer);
    return message;
  }

  /** The packed form of a repeated field, appended to `array`. */
  packed<T>(array: T[], read: () => T): void {
    const outer = this.#enter();
    while (this.pos < this.end) array.push(read());
    this.#leave(outer);
  }

  /** Packed values appended to `array`, which may be overwritten: use the result. The same holds for those below. */
  floats(array: Float32Array): Float32Array {
    const size = this.#fixedSize(4);
    const result = extend(array, size / 4);
    for (let index = array.length; index < result.length; ++index, this.pos += 4) {
      result[index] = this.#view.getFloat32(this.pos, true);
    }
    return result;
  }

  doubles(array: Float64Array): Float64Array {
    const size = this.#fixedSize(8);
    const result = extend(array, size / 8);
    for (let index = array.length; index < result.length; ++index, this.pos += 8) {
      result[index] = this.#view.getFloat64(this.pos, true);
    }
    return result;
  }

  int32s(array: Int32Array): Int32Array {
    const outer = this.#enter();
    const result = extend(array, this.#countVarints());
    for (let index = array.length; index < result.length; ++index) result[index] = this.int32();
    this.#leave(outer);
    return result;
  }

  int64s(array: BigInt64Array): BigInt64Array {
    const outer = this.#enter();
    const result = extend(array, this.#countVarints());
    this.#fillWords(result, array.length);
    this.#leave(outer);
    return result;
  }

  uint64s(array: BigUint64Array): BigUint64Array {
    const outer = this.#enter();
    const result = extend(array, this.#countVarints());
    this.#fillWords(result, array.length);
    this.#leave(outer);
    return result;
  }

  /** Passes over a field that the descriptor does not know, or knows with another wire type. */
  skip(wireType: number, field: number): void {
    if (wireType === 0) this.#varint();
    else if (wireType === 1) this.#advance(8);
    else if (wireType === 2) this.#advance(this.#size());
    else if (wireType === 5) this.#advance(4);
    else if (wireType === 3) this.#skipGroup(field);
    else throw new ProtoDecodeError(`invalid wire type ${wireType}`, this.pos);
  }

  #skipGroup(field: number): void {
    this.#deepen();
    for (let tag = this.tag(); tag !== ((field << 3) | 4) >>> 0; tag = this.tag()) this.skip(tag & 7, tag >>> 3);
    --this.#depth;
  }

  /** Narrows the reader to a length-delimited part; returns where the enclosing one ends. */
  #enter(): number {
    this.#deepen();
    const size = this.#size();
    const outer = this.end;
    this.end = this.pos + size;
    return outer;
  }

  #leave(outer: number): void {
    this.end = outer;
    --this.#depth;
  }

  #deepen(): void {
    if (++this.#depth > NESTING_LIMIT) {
      throw new ProtoDecodeError(`messages nest deeper than ${NESTING_LIMIT}`, this.pos);
    }
  }

  /** A length prefix; the bytes it promises are there. */
  #size(): number {
    const start = this.pos;
    this.#varint();
    const size = this.#high * TWO_32 + this.#low;
    if (size > this.end - this.pos) {
      throw new ProtoDecodeError(`a length of ${size} where ${this.end - this.pos} bytes are left`, start);
    }
    return size;
  }

  #fixedSize(width: number): number {
    const start = this.pos;
    const size = this.#size();
    if (size % width !== 0) {
      throw new ProtoDecodeError(`packed values of ${width} bytes have a length of ${size}`, start);
    }
    return size;
  }

  #advance(size: number): number {
    const start = this.pos;
    if (size > this.end - start) throw this.#truncated();
    this.pos = start + size;
    return start;
  }

  /** How many varints end between here and `end`. */
  #countVarints(): number {
    let count = 0;
    for (let index = this.pos; index < this.end; ++index) if (this.#bytes[index] < 128) ++count;
    if (this.end > this.pos && this.#bytes[this.end - 1] >= 128) throw this.#truncated();
    return count;
  }

  #fillWords(array: BigInt64Array | BigUint64Array, from: number): void {
    const halves = new Uint32Array(array.buffer, array.byteOffset, array.length * 2);
    for (let index = from; index < array.length; ++index) {
      this.#varint();
      halves[2 * index + LOW] = this.#low;
      halves[2 * index + HIGH] = this.#high;
    }
  }

  #varint(): void {
    const bytes = this.#bytes;
    const start = this.pos;
    const end = Math.min(this.end, start + 10);
    let low = 0;
    let high = 0;
    for (let pos = start, shift = 0; pos < end; ++pos, shift += 7) {
      const byte = bytes[pos];
      const bits = byte & 127;
      if (shift < 32) low |= bits << shift;
      if (shift === 28) high = bits >>> 4;
      else if (shift > 28) high |= bits << (shift - 32);
      if (byte < 128) {
        this.pos = pos + 1;
        this.#low = low >>> 0;
        this.#high = high >>> 0;
        return;
      }
    }
    if (end === this.end && end < start + 10) throw this.#truncated();
    throw new ProtoDecodeError('a varint is longer than 10 bytes', start);
  }

  #truncated(): ProtoDecodeError {
    return new ProtoDecodeError('it ends in the middle of a value', this.pos);
  }
}
