// PNG files of every colour type and bit depth, interlaced or not. Transparency is ignored.

import { ByteReader, checkSize, type DecodedImage } from './image.ts';
import { inflate } from './inflate.ts';

/** Samples of a pixel by colour type: grey, colour, palette, grey and alpha, colour and alpha. */
const samplesOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** First column and row of each of the seven passes of an interlaced image, and the steps. */
const passes = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

function paeth(a: number, b: number, c: number): number {
  const [toA, toB, toC] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return toA <= toB && toA <= toC ? a : toB <= toC ? b : c;
}

/** Undoes the filter of one line in place. `step` is the distance to the pixel on the left. */
function unfilter(kind: number, line: Uint8Array, above: Uint8Array | undefined, step: number): void {
  for (let at = 0; at < line.length; at++) {
    const left = at < step ? 0 : line[at - step];
    const up = above ? above[at] : 0;
    const corner = above && at >= step ? above[at - step] : 0;
    if (kind === 1) line[at] += left;
    else if (kind === 2) line[at] += up;
    else if (kind === 3) line[at] += (left + up) >> 1;
    else if (kind === 4) line[at] += paeth(left, up, corner);
    else if (kind !== 0) throw new Error(`its filter ${kind} is not known`);
  }
}

export function decodePng(bytes: Uint8Array): DecodedImage {
  const reader = new ByteReader(bytes, 8);
  let [width, height, depth, type, interlaced] = [0, 0, 0, 0, 0];
  let palette = new Uint8Array(0);
  const parts: Uint8Array[] = [];
  for (let name = ''; name !== 'IEND'; ) {
    const length = reader.u32();
    name = String.fromCharCode(...reader.take(4));
    const body = new ByteReader(reader.take(length));
    if (name === 'IHDR') {
      [width, height] = [body.u32(), body.u32()];
      [depth, type] = [body.u8(), body.u8()];
      body.position += 2;
      interlaced = body.u8();
    } else if (name === 'PLTE') palette = body.bytes.slice();
    else if (name === 'IDAT') parts.push(body.bytes);
    reader.position += 4;
    if (reader.isAtEnd) break;
  }
  checkSize(width, height);
  const samples = samplesOf[type];
  if (!samples || ![1, 2, 4, 8, 16].includes(depth)) throw new Error('its colour type is not known');
  const compressed = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => {
    compressed.set(part, at);
    return at + part.length;
  }, 0);
  const isGrey = type === 0 || type === 4;
  const channels = isGrey ? 1 : 3;
  const data = new Uint8Array(width * height * channels);
  const pixels = new ByteReader(inflate(compressed, (width * samples * depth * height) / 8 + height));
  const most = (1 << Math.min(depth, 8)) - 1;
  /** Sample `k` of a line as a byte; entries of the palette stay numbers. */
  const sampleAt = (line: Uint8Array, k: number): number => {
    if (depth === 8) return line[k];
    if (depth === 16) return line[2 * k];
    const value = (line[(k * depth) >> 3] >> (8 - depth - ((k * depth) & 7))) & most;
    return type === 3 ? value : (value * 255) / most;
  };
  for (const [x, y, dx, dy] of interlaced ? passes : ([[0, 0, 1, 1]] as const)) {
    const [columns, rows] = [Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)];
    if (columns <= 0 || rows <= 0) continue;
    let above: Uint8Array | undefined;
    for (let row = 0; row < rows; row++) {
      const kind = pixels.u8();
      const line = pixels.take(Math.ceil((columns * samples * depth) / 8)).slice();
      unfilter(kind, line, above, Math.max(1, (samples * depth) >> 3));
      above = line;
      for (let column = 0; column < columns; column++) {
        const to = ((y + row * dy) * width + x + column * dx) * channels;
        if (type === 3) data.set(palette.subarray(sampleAt(line, column) * 3, sampleAt(line, column) * 3 + 3), to);
        else for (let k = 0; k < channels; k++) data[to + k] = sampleAt(line, column * samples + k);
      }
    }
  }
  return { width, height, channels, data };
}
