// TIFF files, first page: grey, palette and RGB in strips or tiles of 1, 4, 8 or 16 bits, plain or compressed by PackBits, LZW
// or Deflate.

import { ByteReader, checkSize, type DecodedImage } from './image.ts';
import { inflate } from './inflate.ts';

/** Bytes of a value by its type's number: BYTE, ASCII, SHORT, LONG, RATIONAL … */
const sizes = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];

type Tags = ReadonlyMap<number, readonly number[]>;

function readTags(bytes: Uint8Array, littleEndian: boolean): Tags {
  const reader = new ByteReader(bytes, 4, littleEndian);
  reader.position = reader.u32();
  const tags = new Map<number, number[]>();
  for (let count = reader.u16(); count > 0; count--) {
    const [tag, type, length] = [reader.u16(), reader.u16(), reader.u32()];
    const next = reader.position + 4;
    if (length * (sizes[type] ?? 1) > 4) reader.position = reader.u32();
    const read = (): number => (sizes[type] === 1 ? reader.u8() : sizes[type] === 2 ? reader.u16() : reader.u32());
    if (length <= bytes.length) tags.set(tag, Array.from({ length }, read));
    reader.position = next;
  }
  return tags;
}

function unpackBits(bytes: Uint8Array): Uint8Array {
  const output: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const count = bytes[at++];
    if (count < 128) for (let k = 0; k <= count; k++) output.push(bytes[at++]);
    else if (count > 128) {
      for (let k = 0; k < 257 - count; k++) output.push(bytes[at]);
      at++;
    }
  }
  return Uint8Array.from(output);
}

/** LZW with codes of 9 to 12 bits, high bits first; 256 clears the table, 257 ends. */
function unpackLzw(bytes: Uint8Array): Uint8Array {
  const output: number[] = [];
  let table: (readonly number[])[] = [];
  let [buffer, count, width] = [0, 0, 9];
  let previous: readonly number[] | undefined;
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xffffff;
    count += 8;
    if (count < width) continue;
    count -= width;
    const code = (buffer >> count) & ((1 << width) - 1);
    if (code === 257) break;
    if (code === 256) {
      table = [];
      [width, previous] = [9, undefined];
      continue;
    }
    const known = code < 256 ? [code] : table[code - 258];
    const entry: readonly number[] | undefined = known ?? (previous && [...previous, previous[0]]);
    if (!entry) throw new Error('its compressed data is damaged');
    for (const value of entry) output.push(value);
    if (previous) table.push([...previous, entry[0]]);
    previous = entry;
    const size = table.length + 259;
    width = size >= 2048 ? 12 : size >= 1024 ? 11 : size >= 512 ? 10 : 9;
  }
  return Uint8Array.from(output);
}

function unpack(bytes: Uint8Array, compression: number): Uint8Array {
  if (compression === 1) return bytes;
  if (compression === 5) return unpackLzw(bytes);
  if (compression === 8 || compression === 32946) return inflate(bytes);
  if (compression === 32773) return unpackBits(bytes);
  throw new Error(`its compression ${compression} is not supported`);
}

export function decodeTiff(bytes: Uint8Array): DecodedImage {
  const littleEndian = bytes[0] === 0x49;
  const tags = readTags(bytes, littleEndian);
  const number = (tag: number, fallback = 0): number => tags.get(tag)?.[0] ?? fallback;
  const [width, height] = [number(256), number(257)];
  checkSize(width, height);
  const [bits, photometric, samples] = [number(258, 1), number(262), number(277, 1)];
  const isPlanar = number(284, 1) === 2;
  const isPredicted = number(317, 1) === 2;
  if (![1, 4, 8, 16].includes(bits)) throw new Error(`its ${bits} bits a sample are not supported`);
  if (![0, 1, 2, 3].includes(photometric)) throw new Error(`its colour space ${photometric} is not supported`);
  const isTiled = tags.has(322);
  const [partWidth, partHeight] = isTiled ? [number(322), number(323)] : [width, Math.min(height, number(278, height))];
  const offsets = tags.get(isTiled ? 324 : 273) ?? [];
  const counts = tags.get(isTiled ? 325 : 279) ?? [];
  const across = Math.ceil(width / partWidth);
  const perPlane = across * Math.ceil(height / partHeight);
  const channels = photometric >= 2 ? 3 : 1;
  const inPart = isPlanar ? 1 : samples;
  const colors = tags.get(320) ?? [];
  const data = new Uint8Array(width * height * channels);
  for (const [part, offset] of offsets.entries()) {
    const plane = isPlanar ? Math.floor(part / perPlane) : 0;
    const place = part % perPlane;
    const [left, top] = [(place % across) * partWidth, Math.floor(place / across) * partHeight];
    const raw = unpack(bytes.subarray(offset, offset + (counts[part] ?? bytes.length)), number(259, 1));
    const stride = Math.ceil((partWidth * inPart * bits) / 8);
    for (let row = 0; row < partHeight && top + row < height; row++) {
      const line = raw.slice(row * stride, (row + 1) * stride);
      if (line.length < stride) throw new Error('it ends too early');
      if (isPredicted && bits === 8) for (let at = inPart; at < line.length; at++) line[at] += line[at - inPart];
      const sampleAt = (k: number): number => {
        if (bits === 8) return line[k];
        if (bits === 16) return line[2 * k + (littleEndian ? 1 : 0)];
        return (line[(k * bits) >> 3] >> (8 - bits - ((k * bits) & 7))) & ((1 << bits) - 1);
      };
      for (let column = 0; column < partWidth && left + column < width; column++) {
        const to = ((top + row) * width + left + column) * channels;
        if (photometric === 3) {
          const at = sampleAt(column * inPart);
          for (let k = 0; k < 3; k++) data[to + k] = (colors[at + k * (1 << bits)] ?? 0) >> 8;
          continue;
        }
        for (let k = 0; k < Math.min(inPart, channels); k++) {
          const most = (1 << Math.min(bits, 8)) - 1;
          const value = (sampleAt(column * inPart + k) * 255) / most;
          data[to + plane + k] = photometric === 0 ? 255 - value : value;
        }
      }
    }
  }
  return { width, height, channels, data };
}
