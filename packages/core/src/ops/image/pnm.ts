// Netpbm files: PBM, PGM and PPM, as text (P1 to P3) or binary (P4 to P6), with up to 16 bits a sample.

import { ByteReader, checkSize, type DecodedImage } from './image.ts';

const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);

/** The next number of the header or of a text body; comments run from # to the end of the line. */
function readNumber(reader: ByteReader): number {
  let byte = reader.u8();
  while (isSpace(byte) || byte === 35) {
    if (byte === 35) while (byte !== 10 && byte !== 13) byte = reader.u8();
    byte = reader.u8();
  }
  let value = 0;
  let digits = 0;
  for (; byte >= 48 && byte <= 57; digits++) {
    value = value * 10 + byte - 48;
    if (reader.isAtEnd) return value;
    byte = reader.u8();
  }
  if (digits === 0) throw new Error('a number is missing');
  return value;
}

function readBits(reader: ByteReader, width: number, height: number, isText: boolean): Uint8Array {
  const data = new Uint8Array(width * height);
  for (let row = 0, at = 0; row < height; row++) {
    let byte = 0;
    for (let column = 0; column < width; column++, at++) {
      if (isText) {
        // Digits may follow each other without spaces.
        do byte = reader.u8();
        while (isSpace(byte));
        data[at] = byte === 49 ? 0 : 255;
        continue;
      }
      if (column % 8 === 0) byte = reader.u8();
      data[at] = (byte >> (7 - (column % 8))) & 1 ? 0 : 255;
    }
  }
  return data;
}

export function decodePnm(bytes: Uint8Array): DecodedImage {
  const reader = new ByteReader(bytes, 2);
  const kind = bytes[1] - 48;
  const [width, height] = [readNumber(reader), readNumber(reader)];
  checkSize(width, height);
  const isText = kind <= 3;
  if (kind === 1 || kind === 4) {
    return { width, height, channels: 1, data: readBits(reader, width, height, isText) };
  }
  const most = readNumber(reader);
  if (!(most >= 1 && most <= 65535)) throw new Error(`its greatest sample is ${most}`);
  const channels = kind === 2 || kind === 5 ? 1 : 3;
  const data = new Uint8Array(width * height * channels);
  for (let at = 0; at < data.length; at++) {
    const sample = isText ? readNumber(reader) : most > 255 ? reader.u16() : reader.u8();
    data[at] = most === 255 ? sample : Math.round((Math.min(sample, most) * 255) / most);
  }
  return { width, height, channels, data };
}
