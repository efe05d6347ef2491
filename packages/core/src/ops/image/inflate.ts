// Decompression of zlib streams (RFC 1950, RFC 1951), for PNG and TIFF.

/** Codes of a Huffman tree by their lengths: how many have each length, and the symbols in the order of their codes. */
interface Tree {
  readonly counts: Uint16Array;
  readonly symbols: Uint16Array;
}

function treeOf(lengths: ArrayLike<number>): Tree {
  const counts = new Uint16Array(16);
  for (let k = 0; k < lengths.length; k++) counts[lengths[k]]++;
  counts[0] = 0;
  const starts = new Uint16Array(16);
  for (let length = 1; length < 16; length++) starts[length] = starts[length - 1] + counts[length - 1];
  const symbols = new Uint16Array(lengths.length);
  for (let k = 0; k < lengths.length; k++) if (lengths[k] > 0) symbols[starts[lengths[k]]++] = k;
  return { counts, symbols };
}

const lengthBase = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
];
const lengthBits = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const distanceBits = (code: number): number => (code < 4 ? 0 : (code >> 1) - 1);
const distanceBase = (code: number): number => (code < 4 ? code + 1 : ((2 + (code & 1)) << distanceBits(code)) + 1);
/** In which order the lengths of the codes of code lengths come. */
const lengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

const fixedLengths = Uint8Array.from({ length: 288 }, (_, k) => (k < 144 ? 8 : k < 256 ? 9 : k < 280 ? 7 : 8));

class Inflation {
  readonly #bytes: Uint8Array;
  #position: number;
  #buffer = 0;
  #count = 0;
  #output: Uint8Array;
  #length = 0;

  constructor(bytes: Uint8Array, position: number, expected: number) {
    this.#bytes = bytes;
    this.#position = position;
    this.#output = new Uint8Array(expected);
  }

  run(): Uint8Array {
    for (let isLast = false; !isLast; ) {
      isLast = this.#bits(1) === 1;
      const kind = this.#bits(2);
      if (kind === 0) this.#stored();
      else if (kind === 1) this.#compressed(treeOf(fixedLengths), treeOf(new Uint8Array(30).fill(5)));
      else if (kind === 2) this.#dynamic();
      else throw new Error('its compressed data is damaged');
    }
    return this.#output.subarray(0, this.#length);
  }

  #bits(count: number): number {
    while (this.#count < count) {
      if (this.#position >= this.#bytes.length) throw new Error('its compressed data ends too early');
      this.#buffer |= this.#bytes[this.#position++] << this.#count;
      this.#count += 8;
    }
    const value = this.#buffer & ((1 << count) - 1);
    this.#buffer >>>= count;
    this.#count -= count;
    return value;
  }

  #symbol({ counts, symbols }: Tree): number {
    let [code, first, index] = [0, 0, 0];
    for (let length = 1; length < 16; length++) {
      code |= this.#bits(1);
      if (code - first < counts[length]) return symbols[index + code - first];
      index += counts[length];
      first = (first + counts[length]) << 1;
      code <<= 1;
    }
    throw new Error('its compressed data is damaged');
  }

  #write(byte: number): void {
    if (this.#length === this.#output.length) {
      const longer = new Uint8Array(Math.max(1024, 2 * this.#length));
      longer.set(this.#output);
      this.#output = longer;
    }
    this.#output[this.#length++] = byte;
  }

  #stored(): void {
    this.#buffer = this.#count = 0;
    const length = this.#bits(16);
    this.#bits(16);
    for (let k = 0; k < length; k++) this.#write(this.#bits(8));
  }

  #dynamic(): void {
    const [literals, distances, codes] = [this.#bits(5) + 257, this.#bits(5) + 1, this.#bits(4) + 4];
    const codeLengths = new Uint8Array(19);
    for (let k = 0; k < codes; k++) codeLengths[lengthOrder[k]] = this.#bits(3);
    const tree = treeOf(codeLengths);
    const lengths: number[] = [];
    while (lengths.length < literals + distances) {
      const symbol = this.#symbol(tree);
      if (symbol < 16) lengths.push(symbol);
      else {
        const previous = symbol === 16 ? (lengths.at(-1) ?? 0) : 0;
        const repeats = symbol === 16 ? 3 + this.#bits(2) : symbol === 17 ? 3 + this.#bits(3) : 11 + this.#bits(7);
        for (let k = 0; k < repeats; k++) lengths.push(previous);
      }
    }
    this.#compressed(treeOf(lengths.slice(0, literals)), treeOf(lengths.slice(literals)));
  }

  #compressed(literals: Tree, distances: Tree): void {
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol === 256) return;
      if (symbol < 256) {
        this.#write(symbol);
        continue;
      }
      if (symbol > 285) throw new Error('its compressed data is damaged');
      const length = lengthBase[symbol - 257] + this.#bits(lengthBits[symbol - 257]);
      const code = this.#symbol(distances);
      const distance = distanceBase(code) + this.#bits(distanceBits(code));
      if (distance > this.#length) throw new Error('its compressed data is damaged');
      for (let k = 0; k < length; k++) this.#write(this.#output[this.#length - distance]);
    }
  }
}

/** @param expected size of the result, as far as it is known */
export function inflate(bytes: Uint8Array, expected = 0): Uint8Array {
  if (bytes.length < 2 || (bytes[0] & 15) !== 8) throw new Error('its compressed data is damaged');
  return new Inflation(bytes, 2, expected).run();
}
