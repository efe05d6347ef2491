// Values as JSON, in and out.
//
// In: nested arrays (or one number) for a tensor, `{ "dims": [...], "data": [...] }` where flat data is easier, an array of
// tensors for a sequence, null or a value for an optional, an object for a map. Text stands for integers beyond 2^53, NaN
// and infinities. Out: `{ "type", "dims", "data" }` with flat data in row-major order, and the same containers.

import { type HostValue, OnnxTsError, Tensor } from '@onnx-ts/core';
import type { ValueType } from '@onnx-ts/core/internal';
import type { DType } from '@onnx-ts/tensor-ir';
import { decodeElements, encodeElements } from './elements.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What JSON inputs look like, for help texts. */
export const jsonHelp = `.json: nested arrays, or {"dims": [2, 3], "data": [flat, row-major]}; a sequence is an array of tensors, an
empty optional is null, a map is an object. Strings hold NaN, Infinity and integers beyond 2^53.`;

/** @throws OnnxTsError INVALID_INPUT naming the input */
export function valueFromJson(json: Json, type: ValueType | undefined, name: string): HostValue {
  const fail = (what: string): never => {
    throw new OnnxTsError('INVALID_INPUT', `${what}.`, { place: { value: name } });
  };
  switch (type?.kind) {
    case undefined:
    case 'tensor':
      return tensorFromJson(json, type?.dtype, fail);
    case 'sequence':
      if (!Array.isArray(json)) return fail('a sequence must be given as an array');
      return {
        kind: 'sequence',
        items: json.map((item, at) => valueFromJson(item, type.element, `${name}[${at}]`)),
        element: type.element,
      };
    case 'optional':
      return { kind: 'optional', value: json === null ? undefined : valueFromJson(json, type.element, name) };
    case 'map': {
      if (typeof json !== 'object' || json === null || Array.isArray(json))
        return fail('a map must be given as an object');
      const entries = Object.entries(json as { readonly [key: string]: Json });
      const keyOf = (key: string): string | bigint => (type.key === 'string' ? key : BigInt(key));
      return {
        kind: 'map',
        entries: new Map(entries.map(([key, item]) => [keyOf(key), valueFromJson(item, type.value, `${name}.${key}`)])),
      };
    }
    case 'sparse-tensor':
      return fail('sparse tensors cannot be given as JSON');
  }
}

function tensorFromJson(json: Json, dtype: DType | undefined, fail: (what: string) => never): Tensor {
  let values: readonly Json[];
  let dims: readonly number[];
  let type = dtype;
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
    const record = json as { readonly [key: string]: Json };
    if (!Array.isArray(record.data) || !Array.isArray(record.dims)) return fail('an object needs "dims" and "data"');
    values = record.data;
    dims = record.dims as readonly number[];
    type ??= record.type as DType | undefined;
  } else {
    dims = dimsOf(json);
    values = flatten(json, dims, fail);
  }
  const [head] = values;
  type ??= typeof head === 'string' ? 'string' : typeof head === 'boolean' ? 'bool' : 'float32';
  const count = dims.reduce((product, size) => product * size, 1);
  if (count !== values.length)
    return fail(`dims [${dims.join(', ')}] need ${count} values, there are ${values.length}`);
  try {
    return encodeElements(type, values, dims);
  } catch (error) {
    return fail((error as Error).message);
  }
}

/** Sizes along the first entries. */
function dimsOf(json: Json): number[] {
  return Array.isArray(json) ? [json.length, ...(json.length > 0 ? dimsOf(json[0]) : [])] : [];
}

function flatten(json: Json, dims: readonly number[], fail: (what: string) => never): Json[] {
  const [size, ...rest] = dims;
  if (size === undefined) return Array.isArray(json) ? fail('the nesting of the arrays is uneven') : [json];
  if (!Array.isArray(json) || json.length !== size) return fail('the nesting of the arrays is uneven');
  return json.flatMap((item: Json) => flatten(item, rest, fail));
}

export function jsonOfValue(value: HostValue): Json {
  if (Tensor.is(value)) {
    return {
      type: value.type,
      dims: value.dims,
      data: Array.from(decodeElements(value) as ArrayLike<unknown>, jsonOfScalar),
    };
  }
  switch (value.kind) {
    case 'sequence':
      return value.items.map(jsonOfValue);
    case 'optional':
      return value.value === undefined ? null : jsonOfValue(value.value);
    case 'map': {
      const entries = [...value.entries].map(([key, item]) => [
        String(key),
        typeof item === 'object' ? jsonOfValue(item) : jsonOfScalar(item),
      ]);
      return Object.fromEntries(entries);
    }
    case 'sparse-tensor':
      return { dims: value.dims, values: jsonOfValue(value.values), indices: jsonOfValue(value.indices) };
  }
}

function jsonOfScalar(value: unknown): Json {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  return value as Json;
}
