// JPEG files (ITU-T T.81): baseline and progressive, Huffman coded, with 8 bits a sample, grey or in colour.

import { ByteReader, checkSize, type DecodedImage } from './image.ts';
import { inverseTransform, type Plane, toRgb, upsample } from './jpeg-transform.ts';

/** Where in a block the coefficients lie, in the order in which they are stored. */
const zigzag = Uint8Array.of(
  0,
  1,
  8,
  16,
  9,
  2,
  3,
  10,
  17,
  24,
  32,
  25,
  18,
  11,
  4,
  5,
  12,
  19,
  26,
  33,
  40,
  48,
  41,
  34,
  27,
  20,
  13,
  6,
  7,
  14,
  21,
  28,
  35,
  42,
  49,
  56,
  57,
  50,
  43,
  36,
  29,
  22,
  15,
  23,
  30,
  37,
  44,
  51,
  58,
  59,
  52,
  45,
  38,
  31,
  39,
  46,
  53,
  60,
  61,
  54,
  47,
  55,
  62,
  63,
);

interface HuffmanTable {
  readonly counts: Uint8Array;
  readonly symbols: Uint8Array;
}

interface Component {
  readonly id: number;
  readonly h: number;
  readonly v: number;
  readonly quantisation: number;
  /** Blocks that the coefficients have room for: those of whole interleaved units. */
  readonly blocksAcross: number;
  readonly blocksDown: number;
  readonly coefficients: Int16Array;
  previous: number;
}

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly isProgressive: boolean;
  readonly components: readonly Component[];
  readonly most: readonly [number, number];
}

/** Bits of a scan, up to the next marker. */
class BitReader {
  readonly #bytes: Uint8Array;
  position: number;
  #buffer = 0;
  #count = 0;

  constructor(bytes: Uint8Array, position: number) {
    this.#bytes = bytes;
    this.position = position;
  }

  bit(): number {
    if (this.#count === 0) {
      let byte = this.#bytes[this.position] ?? 0;
      if (byte === 0xff && this.#bytes[this.position + 1] !== 0) byte = 0;
      else this.position += byte === 0xff ? 2 : 1;
      this.#buffer = byte;
      this.#count = 8;
    }
    return (this.#buffer >> --this.#count) & 1;
  }

  bits(count: number): number {
    let value = 0;
    for (let k = 0; k < count; k++) value = (value << 1) | this.bit();
    return value;
  }

  /** A number of `count` bits whose first bit tells its sign. */
  signed(count: number): number {
    if (count === 0) return 0;
    const value = this.bits(count);
    return value < 1 << (count - 1) ? value - (1 << count) + 1 : value;
  }

  symbol({ counts, symbols }: HuffmanTable): number {
    let [code, first, index] = [0, 0, 0];
    for (let length = 0; length < 16; length++) {
      code |= this.bit();
      if (code - first < counts[length]) return symbols[index + code - first];
      index += counts[length];
      first = (first + counts[length]) << 1;
      code <<= 1;
    }
    throw new Error('its compressed data is damaged');
  }

  /** Skips to the restart marker that must come here. */
  restart(): void {
    this.#count = 0;
    while (this.position < this.#bytes.length - 1) {
      const marker = this.#bytes[this.position] === 0xff ? this.#bytes[this.position + 1] : 0;
      if (marker >= 0xd0 && marker <= 0xd7) {
        this.position += 2;
        return;
      }
      this.position++;
    }
  }
}

interface Scan {
  readonly components: readonly {
    readonly component: Component;
    readonly dc?: HuffmanTable;
    readonly ac?: HuffmanTable;
  }[];
  readonly start: number;
  readonly end: number;
  /** Bits of precision that earlier scans have given, and that are missing after this one. */
  readonly high: number;
  readonly low: number;
}

class JpegDecoder {
  readonly #reader: ByteReader;
  readonly #quantisation: Int32Array[] = [];
  readonly #dc: HuffmanTable[] = [];
  readonly #ac: HuffmanTable[] = [];
  #frame: Frame | undefined;
  #interval = 0;
  /** Blocks in which no coefficient of the band follows. */
  #endOfBand = 0;
  #adobeTransform: number | undefined;

  constructor(bytes: Uint8Array) {
    this.#reader = new ByteReader(bytes, 2);
  }

  run(): DecodedImage {
    const reader = this.#reader;
    for (let isDone = false; !isDone && !reader.isAtEnd; ) {
      if (reader.u8() !== 0xff) continue;
      let marker = reader.u8();
      while (marker === 0xff) marker = reader.u8();
      if (marker === 0xd9) isDone = true;
      else if (marker !== 0 && marker !== 1 && !(marker >= 0xd0 && marker <= 0xd8)) this.#segment(marker);
    }
    if (!this.#frame) throw new Error('it holds no image');
    return this.#image(this.#frame);
  }

  #segment(marker: number): void {
    const reader = this.#reader;
    const end = reader.position + reader.u16();
    const body = new ByteReader(reader.bytes.subarray(0, end), reader.position);
    reader.position = end;
    switch (marker) {
      case 0xc4:
        while (!body.isAtEnd) this.#huffman(body);
        break;
      case 0xdb:
        while (!body.isAtEnd) this.#table(body);
        break;
      case 0xdd:
        this.#interval = body.u16();
        break;
      case 0xee:
        if (String.fromCharCode(...body.take(Math.min(5, end - body.position))) === 'Adobe') {
          body.position += 6;
          this.#adobeTransform = body.u8();
        }
        break;
      case 0xc0:
      case 0xc1:
      case 0xc2:
        this.#frame = readFrame(body, marker === 0xc2);
        break;
      case 0xda:
        reader.position = this.#scan(this.#readScan(body), end);
        break;
      default:
        if (marker >= 0xc3 && marker <= 0xcf && marker !== 0xc8 && marker !== 0xcc) {
          throw new Error('its way of coding (lossless, hierarchical or arithmetic) is not supported');
        }
    }
  }

  #huffman(body: ByteReader): void {
    const kind = body.u8();
    const counts = body.take(16);
    const symbols = body.take(counts.reduce((sum, count) => sum + count, 0));
    (kind >> 4 ? this.#ac : this.#dc)[kind & 15] = { counts, symbols };
  }

  #table(body: ByteReader): void {
    const kind = body.u8();
    const table = new Int32Array(64);
    for (let k = 0; k < 64; k++) table[zigzag[k]] = kind >> 4 ? body.u16() : body.u8();
    this.#quantisation[kind & 15] = table;
  }

  #readScan(body: ByteReader): Scan {
    const frame = this.#frame;
    if (!frame) throw new Error('a scan comes before the frame');
    const components = Array.from({ length: body.u8() }, () => {
      const id = body.u8();
      const tables = body.u8();
      const component = frame.components.find((item) => item.id === id);
      if (!component) throw new Error('a scan names no component of the image');
      const [dc, ac] = [this.#dc[tables >> 4], this.#ac[tables & 15]];
      return { component, ...(dc && { dc }), ...(ac && { ac }) };
    });
    const [start, end, precision] = [body.u8(), body.u8(), body.u8()];
    if (start > end || end > 63) throw new Error('a scan has an impossible band');
    return { components, start, end, high: precision >> 4, low: precision & 15 };
  }

  /** Decodes a scan that starts at `position`; returns where it ends. */
  #scan(scan: Scan, position: number): number {
    const frame = this.#frame!;
    const bits = new BitReader(this.#reader.bytes, position);
    const decode = this.#blockDecoder(bits, scan, frame.isProgressive);
    const [maxH, maxV] = frame.most;
    const isSingle = scan.components.length === 1;
    const [{ component: only }] = scan.components;
    // The blocks of a single component end with the image; several are interleaved in whole units.
    const across = isSingle
      ? Math.ceil(Math.ceil((frame.width * only.h) / maxH) / 8)
      : Math.ceil(frame.width / (8 * maxH));
    const down = isSingle
      ? Math.ceil(Math.ceil((frame.height * only.v) / maxV) / 8)
      : Math.ceil(frame.height / (8 * maxV));
    this.#restart(scan);
    for (let unit = 0; unit < across * down; unit++) {
      if (this.#interval > 0 && unit > 0 && unit % this.#interval === 0) {
        bits.restart();
        this.#restart(scan);
      }
      const [column, row] = [unit % across, Math.floor(unit / across)];
      for (const part of scan.components) {
        const { component } = part;
        const [h, v] = isSingle ? [1, 1] : [component.h, component.v];
        for (let k = 0; k < h * v; k++) {
          const block = (row * v + Math.floor(k / h)) * component.blocksAcross + column * h + (k % h);
          decode(part, block * 64);
        }
      }
    }
    return bits.position;
  }

  #restart(scan: Scan): void {
    this.#endOfBand = 0;
    for (const { component } of scan.components) component.previous = 0;
  }

  #blockDecoder(bits: BitReader, scan: Scan, isProgressive: boolean) {
    const missing = (): never => {
      throw new Error('a code table is missing');
    };
    return ({ component, dc = missing(), ac }: Scan['components'][number], at: number): void => {
      const values = component.coefficients;
      if (!isProgressive) {
        this.#first(bits, values, at, component, dc, 0);
        this.#band(bits, values, at, ac ?? missing(), { ...scan, start: 1, end: 63, low: 0 });
      } else if (scan.start === 0) {
        if (scan.high === 0) this.#first(bits, values, at, component, dc, scan.low);
        else values[at] |= bits.bit() << scan.low;
      } else if (scan.high === 0) this.#band(bits, values, at, ac ?? missing(), scan);
      else this.#refine(bits, values, at, ac ?? missing(), scan);
    };
  }

  #first(
    bits: BitReader,
    values: Int16Array,
    at: number,
    component: Component,
    table: HuffmanTable,
    low: number,
  ): void {
    component.previous += bits.signed(bits.symbol(table));
    values[at] = component.previous << low;
  }

  /** First bits of a band of coefficients. */
  #band(bits: BitReader, values: Int16Array, at: number, table: HuffmanTable, { start, end, low }: Scan): void {
    if (this.#endOfBand > 0) {
      this.#endOfBand--;
      return;
    }
    for (let k = start; k <= end; k++) {
      const symbol = bits.symbol(table);
      const [run, size] = [symbol >> 4, symbol & 15];
      if (size > 0) {
        k += run;
        if (k > 63) throw new Error('its compressed data is damaged');
        values[at + zigzag[k]] = bits.signed(size) * (1 << low);
      } else if (run === 15) k += 15;
      else {
        this.#endOfBand = (1 << run) - 1 + bits.bits(run);
        return;
      }
    }
  }

  /** One more bit of every coefficient of a band that is not 0 yet, and new ones of ±1. */
  #refine(bits: BitReader, values: Int16Array, at: number, table: HuffmanTable, { start, end, low }: Scan): void {
    const unit = 1 << low;
    const correct = (place: number): void => {
      const value = values[place];
      if (bits.bit() && (value & unit) === 0) values[place] += value > 0 ? unit : -unit;
    };
    let k = start;
    if (this.#endOfBand === 0) {
      for (; k <= end; k++) {
        const symbol = bits.symbol(table);
        let run = symbol >> 4;
        let added = 0;
        if ((symbol & 15) !== 0) added = bits.bit() ? unit : -unit;
        else if (run < 15) {
          this.#endOfBand = (1 << run) + bits.bits(run);
          break;
        }
        for (; k <= end; k++) {
          const place = at + zigzag[k];
          if (values[place] !== 0) correct(place);
          else if (run-- === 0) {
            if (added !== 0) values[place] = added;
            break;
          }
        }
      }
    }
    if (this.#endOfBand === 0) return;
    for (; k <= end; k++) if (values[at + zigzag[k]] !== 0) correct(at + zigzag[k]);
    this.#endOfBand--;
  }

  #image({ width, height, components, most }: Frame): DecodedImage {
    const planes = components.map((component) => {
      const plane = this.#plane(component, width, height, most);
      return upsample(plane, [most[0] / component.h, most[1] / component.v], width, height);
    });
    const isRgb = this.#adobeTransform === 0 || String.fromCharCode(...components.map(({ id }) => id)) === 'RGB';
    if (planes.length === 3 && !isRgb) return { width, height, channels: 3, data: toRgb(planes, width, height) };
    if (planes.length !== 1 && planes.length !== 3)
      throw new Error(`its ${planes.length} components are not supported`);
    const channels = planes.length;
    const data = new Uint8Array(width * height * channels);
    planes.forEach((plane, k) => {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) data[(y * width + x) * channels + k] = plane.data[y * plane.stride + x];
      }
    });
    return { width, height, channels, data };
  }

  #plane(component: Component, width: number, height: number, [maxH, maxV]: readonly [number, number]): Plane {
    const table = this.#quantisation[component.quantisation];
    if (!table) throw new Error('a quantisation table is missing');
    const { blocksAcross, blocksDown, coefficients, h, v } = component;
    const stride = blocksAcross * 8;
    const data = new Uint8Array(stride * blocksDown * 8);
    const block = new Int32Array(64);
    for (let at = 0; at < blocksAcross * blocksDown; at++) {
      for (let k = 0; k < 64; k++) block[k] = coefficients[at * 64 + k] * table[k];
      inverseTransform(block, data, Math.floor(at / blocksAcross) * 8 * stride + (at % blocksAcross) * 8, stride);
    }
    return { data, stride, width: Math.ceil((width * h) / maxH), height: Math.ceil((height * v) / maxV) };
  }
}

function readFrame(body: ByteReader, isProgressive: boolean): Frame {
  const precision = body.u8();
  if (precision !== 8) throw new Error(`its ${precision} bits a sample are not supported`);
  const [height, width] = [body.u16(), body.u16()];
  checkSize(width, height);
  const raw = Array.from({ length: body.u8() }, () => {
    const [id, sampling, quantisation] = [body.u8(), body.u8(), body.u8()];
    const [h, v] = [sampling >> 4, sampling & 15];
    if (h < 1 || h > 4 || v < 1 || v > 4) throw new Error('a sampling factor is impossible');
    return { id, h, v, quantisation };
  });
  const most: [number, number] = [Math.max(...raw.map(({ h }) => h)), Math.max(...raw.map(({ v }) => v))];
  const components = raw.map((item) => {
    const blocksAcross = Math.ceil(width / (8 * most[0])) * item.h;
    const blocksDown = Math.ceil(height / (8 * most[1])) * item.v;
    const coefficients = new Int16Array(blocksAcross * blocksDown * 64);
    return { ...item, blocksAcross, blocksDown, coefficients, previous: 0 };
  });
  return { width, height, isProgressive, components, most };
}

export function decodeJpeg(bytes: Uint8Array): DecodedImage {
  return new JpegDecoder(bytes).run();
}
