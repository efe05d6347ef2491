// NumPy's .npy files, format versions 1 to 3 (numpy/lib/format.py): a header in Python syntax, then the elements.
// Types that NumPy lacks (bfloat16, float8, 4 and 2 bits) are written as the next wider type that holds them exactly.

import { OnnxTsError, Tensor, type TypedArray } from '@onnx-ts/core';
import { arrayTypeOf, elementCount } from '@onnx-ts/core/internal';
import { type DType, isPacked, isSmallFloat } from '@onnx-ts/tensor-ir';
import { decodeElements } from './elements.ts';

const magic = '\x93NUMPY';

const dtypeByCode: Readonly<Record<string, Exclude<DType, 'string'>>> = {
  b1: 'bool',
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  f2: 'float16',
  f4: 'float32',
  f8: 'float64',
  c8: 'complex64',
  c16: 'complex128',
};

const codeByDType = new Map<DType, string>(Object.entries(dtypeByCode).map(([code, dtype]) => [dtype, code]));

interface Header {
  readonly descr: string;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  /** Where the elements start. */
  readonly end: number;
}

/**
 * @throws OnnxTsError INVALID_INPUT saying what is wrong with the file
 */
export function readNpy(bytes: Uint8Array): Tensor {
  const { descr, fortranOrder, shape, end } = readHeader(bytes);
  const match = /^([<>|=]?)([a-zA-Z])(\d*)$/.exec(descr);
  if (!match) throw bad(`elements of type ${descr} cannot be read`, 'Save one array of plain numbers or strings.');
  const [, order, kind, width] = match;
  const swap = order === '>';
  const count = elementCount(shape);
  if (!Number.isSafeInteger(count)) throw bad(`the shape (${shape.join(', ')}) is too large`);
  if (kind === 'U' || kind === 'S') {
    const size = Number(width) * (kind === 'U' ? 4 : 1);
    const body = bodyOf(bytes, end, count * size);
    const strings = Array.from({ length: count }, (_, at) =>
      readString(body.subarray(at * size, at * size + size), kind === 'U', swap),
    );
    return new Tensor('string', fortranOrder ? toRowMajor(strings, shape) : strings, shape);
  }
  const dtype = dtypeByCode[kind + width];
  if (!dtype)
    throw bad(`elements of type ${descr} cannot be read`, `Known are ${Object.keys(dtypeByCode).join(', ')}.`);
  const ArrayType = arrayTypeOf(dtype);
  const entries = count * (kind === 'c' ? 2 : 1);
  const body = bodyOf(bytes, end, entries * ArrayType.BYTES_PER_ELEMENT);
  // A copy, so that the elements are aligned.
  const own = new Uint8Array(body);
  if (swap) swapBytes(own, ArrayType.BYTES_PER_ELEMENT);
  const data = new ArrayType(own.buffer, 0, entries);
  return new Tensor(dtype, fortranOrder ? reorder(data, shape, kind === 'c' ? 2 : 1) : data, shape);
}

function readHeader(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 10 || latin1(bytes.subarray(0, 6)) !== magic)
    throw bad('this is no .npy file: its first bytes differ');
  const version = bytes[6];
  if (version < 1 || version > 3) throw bad(`version ${version} of the .npy format is not known`);
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : bytes.length < 12 ? Infinity : view.getUint32(8, true);
  const end = start + length;
  if (end > bytes.length) throw bad('the file ends within its header');
  const text =
    version === 3 ? new TextDecoder().decode(bytes.subarray(start, end)) : latin1(bytes.subarray(start, end));
  const descr = /['"]descr['"]\s*:\s*(?:'([^']*)'|"([^"]*)"|(\[))/.exec(text);
  const order = /['"]fortran_order['"]\s*:\s*(True|False)/.exec(text);
  const shape = /['"]shape['"]\s*:\s*\(([\d\s,L]*)\)/.exec(text);
  if (!descr || !order || !shape) throw bad(`the header ${JSON.stringify(text.trim())} cannot be read`);
  if (descr[3]) throw bad('structured arrays cannot be read', 'Save each field as an array of its own.');
  const dims = shape[1]
    .split(',')
    .map((size) => size.trim().replace(/L$/, ''))
    .filter((size) => size !== '')
    .map(Number);
  return { descr: descr[1] ?? descr[2], fortranOrder: order[1] === 'True', shape: dims, end };
}

function bodyOf(bytes: Uint8Array, start: number, length: number): Uint8Array {
  if (bytes.length - start < length) {
    throw bad(`the header promises ${length} bytes of elements, but ${bytes.length - start} follow`);
  }
  return bytes.subarray(start, start + length);
}

/** NumPy pads with zeros. */
function readString(bytes: Uint8Array, wide: boolean, swap: boolean): string {
  if (!wide) return new TextDecoder().decode(bytes).replace(/\0+$/, '');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = '';
  for (let at = 0; at < bytes.length; at += 4) text += String.fromCodePoint(view.getUint32(at, !swap));
  return text.replace(/\0+$/, '');
}

function swapBytes(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

/** Column-major to row-major; an element is `width` consecutive entries. */
function reorder(data: TypedArray, shape: readonly number[], width: number): TypedArray {
  const target = data.slice();
  for (const [to, from] of columnMajorPlaces(shape).entries()) {
    for (let part = 0; part < width; part++) target[to * width + part] = data[from * width + part];
  }
  return target;
}

function toRowMajor(items: readonly string[], shape: readonly number[]): string[] {
  return columnMajorPlaces(shape).map((from) => items[from]);
}

/** For each element in row-major order, its place in column-major order. */
function columnMajorPlaces(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let stride = 1;
  for (const size of shape) {
    strides.push(stride);
    stride *= size;
  }
  const index = shape.map(() => 0);
  const places: number[] = [];
  let place = 0;
  for (let at = 0; at < stride; at++) {
    places.push(place);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += strides[axis];
      if (++index[axis] < shape[axis]) break;
      place -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return places;
}

/** Format version 1.0, in row-major order. */
export function writeNpy(tensor: Tensor): Uint8Array {
  const { descr, bytes } = elementsForNumpy(tensor);
  const { dims } = tensor;
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`;
  const fields = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const headerLength = Math.ceil((10 + fields.length + 1) / 64) * 64 - 10;
  const header = `${fields.padEnd(headerLength - 1)}\n`;
  const file = new Uint8Array(10 + headerLength + bytes.length);
  for (const [at, char] of [...`${magic}\x01\x00`].entries()) file[at] = char.charCodeAt(0);
  new DataView(file.buffer).setUint16(8, headerLength, true);
  for (let at = 0; at < headerLength; at++) file[10 + at] = header.charCodeAt(at);
  file.set(bytes, 10 + headerLength);
  return file;
}

function elementsForNumpy(tensor: Tensor): { readonly descr: string; readonly bytes: Uint8Array } {
  const { type } = tensor;
  if (type === 'string') return wideStrings(tensor.data as string[]);
  const code = codeByDType.get(type);
  if (code) return { descr: `${/1$/.test(code) ? '|' : '<'}${code}`, bytes: bytesOf(tensor.data as TypedArray) };
  const values = decodeElements(tensor) as ArrayLike<number>;
  if (!isPacked(type) || isSmallFloat(type)) return { descr: '<f4', bytes: bytesOf(Float32Array.from(values)) };
  if (type === 'int4' || type === 'int2') return { descr: '|i1', bytes: bytesOf(Int8Array.from(values)) };
  return { descr: '|u1', bytes: bytesOf(Uint8Array.from(values)) };
}

function wideStrings(strings: readonly string[]): { readonly descr: string; readonly bytes: Uint8Array } {
  const points = strings.map((text) => Array.from(text, (char) => char.codePointAt(0)!));
  const width = points.reduce((most, text) => Math.max(most, text.length), 1);
  const data = new Uint32Array(strings.length * width);
  for (const [at, text] of points.entries()) data.set(text, at * width);
  return { descr: `<U${width}`, bytes: bytesOf(data) };
}

function bytesOf(data: TypedArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function bad(what: string, hint?: string): OnnxTsError {
  return new OnnxTsError('INVALID_INPUT', `${what}.`, hint ? { hint } : {});
}
