// Decoders against hashes of what Pillow (libjpeg, libpng, libtiff) makes of the same files, and against small files by hand.

import { deflateSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { OperatorRegistry } from '../registry.ts';
import { decodeBmp } from './bmp.ts';
import type { DecodedImage, ImageDecoder } from './image.ts';
import { ImageDecoder as builtIn, formatOf, imageDecoder } from './image-decoder.ts';
import { inflate } from './inflate.ts';
import { decodeJpeg } from './jpeg.ts';
import { decodePng } from './png.ts';
import { decodePnm } from './pnm.ts';
import { decodeTiff } from './tiff.ts';

/** FNV-1a */
function hashOf(bytes: Uint8Array): number {
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, 16777619), 2166136261 | 0) >>> 0;
}

const files: readonly (readonly [string, ImageDecoder, number, string])[] = [
  [
    'a progressive JPEG with colours in a quarter of the pixels',
    decodeJpeg,
    1370309227,
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYV' +
      'pQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//wgARCAAJ' +
      'AAsDASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABAAD/8QAFAEBAAAAAAAAAAAAAAAAAAAAAv/aAAwDAQACEAMQAAABkFyB/8QAGRAAAw' +
      'ADAAAAAAAAAAAAAAAAAAECEBES/9oACAEBAAEFAl0atk4//8QAFxEAAwEAAAAAAAAAAAAAAAAAAAESEf/aAAgBAwEBPwGqeH//xAAYEQACAwAA' +
      'AAAAAAAAAAAAAAAAAQISIf/aAAgBAgEBPwGadcP/xAAZEAACAwEAAAAAAAAAAAAAAAAAAQIQITL/2gAIAQEABj8CxHMR1//EABsQAAEEAwAAAA' +
      'AAAAAAAAAAAAEAEBExUYHw/9oACAEBAAE/IZKdlASU05lv/9oADAMBAAIAAwAAABBP/8QAFhEBAQEAAAAAAAAAAAAAAAAAAQAh/9oACAEDAQE/' +
      'EDRL/8QAGREAAgMBAAAAAAAAAAAAAAAAAREAIWHR/9oACAECAQE/EBmJX3Z//8QAHxABAAEDBAMAAAAAAAAAAAAAAQARQVEhMWFxgaGx/9oACA' +
      'EBAAE/EBqPUpyVw9S9OtjM9g+wbeZ//9k=',
  ],
  [
    'a baseline JPEG with colours in half of the pixels and restart markers',
    decodeJpeg,
    3221862962,
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKBTmCNl4' +
      'x9lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHz/wAARCAAJ' +
      'AAsDASEAAhEBAxEB/8QAFwAAAwEAAAAAAAAAAAAAAAAAAAIDBP/EACIQAAEDAQkBAAAAAAAAAAAAAAEAAgMTBBESITEyUWFxsf/EABUBAQEAAA' +
      'AAAAAAAAAAAAAAAAAD/8QAHxEAAgECBwAAAAAAAAAAAAAAAQMAAjIREiGBocHh/90ABAAB/9oADAMBAAIRAxEAPwAbVOyNpv5Pa1tjtDxiowZ+' +
      'KLGhdOPXsVZSNTzP/9BYtHej6VAI2zeTXeZ//9k=',
  ],
  [
    'a PNG with a palette and four bits a pixel',
    decodePng,
    3208559785,
    'iVBORw0KGgoAAAANSUhEUgAAAAsAAAAJBAMAAAAWSsseAAAAMFBMVEWTx4SQoI6kiXBshoOceHdtdXF/WXcAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
      'AAAAAAAAD9TjcaAAAASklEQVR4nAE/AMD/ASUfAADQHAQfH9Hd7+wE/sDuABH/BCDjMQTe/ATzQAEA8BoCEMH+/v7QATXu7v/x/wIAAvAAAAAE' +
      'ADAOAAAdQ9kZBrL2AtYAAAAASUVORK5CYII=',
  ],
  [
    'a TIFF compressed by LZW',
    decodeTiff,
    3349664510,
    'SUkqAFoBAACAJY/mE8Ig1IQ+n9EnU8Jw4ndZn1Epg8otVmRDqJDJtLHlGn9AHxGnE5Ik9mxBms9m1AnkyJk+qhBpNJpFGK2cKlpMlbstVH1uLZ' +
      'Qn06pRKGlSIExoFBHdEoFQrtJLVHm9ZHpEL09rdpKlRrNErhcI8zmpGoMotJFkU4oUnJI+l1kno0KEtlFQlYipxDFBXlEgJlBhxBHI8kIxlVBG' +
      'YoCksI4gklUmQfKcqkVSnogIwwmxKoUUJs1ms+H8upQ/mw2stCDVKl8vJIwHhLmM/JEyolLGEhoBHm1Tmslq9agc5oFAGk9GFZnUlntDIdKKdK' +
      'ptKYJOK5arY3pNgJ9aJ5PMlxjs7INMGg9GNmKEa+cwoZgH1GqmSpxGpNlFwxMA9EsURIkqegWjWOxNiUNg5EKPophoOg8C2V5aDMTBCiqQhVi0' +
      'SpQAqRZUioLRTDuNweICAAoAAAEDAAEAAAALAAAAAQEDAAEAAAAJAAAAAgEDAAMAAADYAQAAAwEDAAEAAAAFAAAABgEDAAEAAAACAAAAEQEEAA' +
      'EAAAAIAAAAFQEDAAEAAAADAAAAFgEDAAEAAAAJAAAAFwEEAAEAAABRAQAAHAEDAAEAAAABAAAAAAAAAAgACAAIAA==',
  ],
];

it.each(files)('%s', (_, decode, hash, file) => {
  const image = decode(new Uint8Array(Buffer.from(file, 'base64')));
  expect([image.width, image.height, image.channels]).toEqual([11, 9, 3]);
  expect(hashOf(image.data)).toBe(hash);
});

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const pixels = ({ data }: DecodedImage): number[] => [...data];

it('text and binary Netpbm files with comments', () => {
  expect(pixels(decodePnm(ascii('P2 # grey\n2 2\n3\n0 1 2 3\n')))).toEqual([0, 85, 170, 255]);
  expect(pixels(decodePnm(ascii('P1\n3 1\n101')))).toEqual([0, 255, 0]);
  expect(pixels(decodePnm(Uint8Array.of(...ascii('P6 1 1 255\n'), 1, 2, 3)))).toEqual([1, 2, 3]);
  expect(() => decodePnm(ascii('P6 9 9 255\n'))).toThrow('ends too early');
});

it('a bitmap stored from the bottom up', () => {
  const header = new DataView(new ArrayBuffer(54 + 16));
  const put = (at: number, value: number): void => header.setUint32(at, value, true);
  header.setUint16(0, 0x4d42, true);
  for (const [at, value] of [
    [10, 54],
    [14, 40],
    [18, 2],
    [22, 2],
    [26, 1 | (24 << 16)],
  ])
    put(at, value);
  const bytes = new Uint8Array(header.buffer);
  bytes.set([3, 2, 1, 6, 5, 4, 0, 0, 9, 8, 7, 12, 11, 10], 54);
  expect(pixels(decodeBmp(bytes))).toEqual([7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6]);
});

it('inflates stored, fixed and dynamic blocks', () => {
  const bytes = Uint8Array.from({ length: 5000 }, (_, k) => ((k * k) % 251) & 0x7f);
  for (const level of [0, 1, 9]) expect(inflate(deflateSync(bytes, { level }))).toEqual(bytes);
  expect(inflate(deflateSync(ascii('abcabcabc')))).toEqual(ascii('abcabcabc'));
  expect(() => inflate(deflateSync(bytes).subarray(0, 50))).toThrow('ends too early');
});

it('tells formats by their first bytes', () => {
  expect(formatOf(ascii('RIFF0000WEBP'))).toBe('webp');
  expect(formatOf(Uint8Array.of(0xff, 0x4f, 0xff, 0x51))).toBe('jpeg2000');
  expect(formatOf(ascii('P7'))).toBeUndefined();
});

it('other decoders come in by an operator that takes the place of the one that is there', () => {
  const own = imageDecoder({ webp: () => ({ width: 1, height: 1, channels: 1, data: Uint8Array.of(7) }) });
  expect(new OperatorRegistry([builtIn, own]).find('', 'ImageDecoder', 20)).toBe(own);
  expect(() => new OperatorRegistry([builtIn, builtIn])).toThrow('defined twice');
});
