// Texts that tell equal constants from others without reading much of them.

import type { Tensor } from '../session/tensor.ts';

/** Bytes up to which constants are compared by all that they hold. */
const largestRead = 1 << 12;

/** Of tensors that were asked about: each round of rewrites asks again. */
const knownTexts = new WeakMap<Tensor, string>();

export class ConstantKeys {
  /** The same text exactly for tensors of the same type, dims and bits. Undefined for tensors that are large. */
  of(tensor: Tensor): string | undefined {
    const before = knownTexts.get(tensor);
    if (before !== undefined) return before;
    const isText = tensor.type === 'string';
    if (isText ? tensor.size > 64 : tensor.byteLength > largestRead) return undefined;
    const content = isText ? JSON.stringify(tensor.data) : bitsText(tensor, 0, tensor.byteLength);
    const text = `${tensor.type}[${tensor.dims.join()}]${content}`;
    knownTexts.set(tensor, text);
    return text;
  }

  /** For large tensors of numbers: different texts for tensors that differ in type, dims, or at places looked at. */
  sampleOf(tensor: Tensor): string {
    const { byteLength } = tensor;
    const length = Math.min(64, byteLength);
    const places = [0, 1, 2, 3].map((quarter) => Math.floor(((byteLength - length) * quarter) / 3));
    return `${tensor.type}[${tensor.dims.join()}]${places.map((place) => bitsText(tensor, place, length)).join('')}`;
  }
}

/** Bytes as characters, two by two: −0 differs from 0, and NaN equals NaN. */
function bitsText(tensor: Tensor, offset: number, length: number): string {
  const bytes = new Uint8Array((length + 1) & ~1);
  tensor.readBytes(offset, bytes.subarray(0, length));
  return String.fromCharCode(...new Uint16Array(bytes.buffer));
}

/** Compares two tensors of numbers of the same size, part by part. */
export function haveEqualBytes(a: Tensor, b: Tensor): boolean {
  const part = 1 << 20;
  const [left, right] = [new Uint8Array(part), new Uint8Array(part)];
  for (let offset = 0; offset < a.byteLength; offset += part) {
    const length = Math.min(part, a.byteLength - offset);
    a.readBytes(offset, left.subarray(0, length));
    b.readBytes(offset, right.subarray(0, length));
    for (let at = 0; at < length; at++) if (left[at] !== right[at]) return false;
  }
  return true;
}
