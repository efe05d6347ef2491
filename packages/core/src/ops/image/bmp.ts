// Windows bitmaps: 1, 4, 8, 16, 24 and 32 bits a pixel, without compression or with bit fields.

import { ByteReader, checkSize, type DecodedImage } from './image.ts';

/** Where a channel lies in a pixel, and how its values become bytes. */
interface Field {
  readonly shift: number;
  readonly most: number;
}

function fieldOf(mask: number): Field {
  const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
  return { shift, most: mask >>> shift };
}

export function decodeBmp(bytes: Uint8Array): DecodedImage {
  const reader = new ByteReader(bytes, 10, true);
  const [start, headerSize] = [reader.u32(), reader.u32()];
  const isOld = headerSize === 12;
  const [width, signedHeight] = isOld ? [reader.u16(), reader.u16()] : [reader.i32(), reader.i32()];
  const height = Math.abs(signedHeight);
  checkSize(width, height);
  reader.u16();
  const bits = reader.u16();
  const compression = isOld ? 0 : reader.u32();
  if (compression !== 0 && compression !== 3) throw new Error(`its compression ${compression} is not supported`);
  const masks = bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
  if (!isOld) reader.position += 12;
  const given = isOld ? 0 : reader.u32();
  reader.position = 14 + (compression === 3 ? 40 : headerSize);
  if (compression === 3) for (let k = 0; k < 3; k++) masks[k] = reader.u32();
  const fields = masks.map(fieldOf);
  const palette: number[][] = [];
  reader.position = 14 + headerSize;
  for (let k = 0; bits <= 8 && k < (given || 1 << bits); k++) {
    const [blue, green, red] = [reader.u8(), reader.u8(), reader.u8()];
    palette.push([red, green, blue]);
    if (!isOld) reader.u8();
  }
  const data = new Uint8Array(width * height * 3);
  const stride = Math.ceil((width * bits) / 32) * 4;
  for (let line = 0; line < height; line++) {
    const row = signedHeight > 0 ? height - 1 - line : line;
    const pixels = new ByteReader(bytes, start + line * stride, true);
    let byte = 0;
    for (let column = 0; column < width; column++) {
      const to = (row * width + column) * 3;
      if (bits <= 8) {
        const inByte = (column * bits) % 8;
        if (inByte === 0) byte = pixels.u8();
        const color = palette[(byte >> (8 - bits - inByte)) & ((1 << bits) - 1)];
        if (!color) throw new Error('a pixel is outside its palette');
        data.set(color, to);
        continue;
      }
      const pixel =
        bits === 16
          ? pixels.u16()
          : bits === 24
            ? pixels.u8() | (pixels.u8() << 8) | (pixels.u8() << 16)
            : pixels.u32();
      fields.forEach(({ shift, most }, k) => {
        data[to + k] = most === 255 ? (pixel >>> shift) & 255 : Math.round((((pixel >>> shift) & most) * 255) / most);
      });
    }
  }
  return { width, height, channels: 3, data };
}
