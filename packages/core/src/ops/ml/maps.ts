// Maps between keys and numbers or texts: ZipMap makes them, CastMap and DictVectorizer turn them into tensors.

import { allocateBuffer, Dim, type DType } from '@onnx-ts/tensor-ir';
import { tensorType, typeText, type ValueType } from '../../graph/types.ts';
import { Tensor } from '../../session/tensor.ts';
import {
  defineOperator,
  type EvaluateContext,
  type HostMap,
  type HostValue,
  int,
  ints,
  type NodeContext,
  string,
  strings,
} from '../define.ts';
import { expectRank } from '../expect.ts';
import { requireDType } from '../pointwise.ts';
import { int64List, type Labels, labelType, readLabels } from './class-labels.ts';
import { domain, featureRows } from './feature-rows.ts';

type Item = string | number | bigint;

function mapType(context: NodeContext): { readonly key: DType; readonly item: DType } {
  const type = context.type(0);
  if (type.kind === 'map' && type.value.kind === 'tensor') return { key: type.key, item: type.value.dtype };
  return context.fail(`input 0 must be a map to numbers or strings, not a ${typeText(type)}.`);
}

/** Entries of the map with integer keys as bigints and one-element tensors as what they hold. */
function entriesOf(context: EvaluateContext): ReadonlyMap<string | bigint, Item> {
  const map = context.hostValue(0);
  if (map === undefined || Tensor.is(map) || map.kind !== 'map') return context.fail('input 0 must be a map.');
  const itemOf = (item: HostValue | Item): Item => {
    if (typeof item !== 'object') return item;
    return Tensor.is(item) && item.size === 1 ? item.data[0] : context.fail('the map holds more than single values.');
  };
  return new Map(
    Array.from(map.entries, ([key, item]) => [typeof key === 'number' ? BigInt(key) : key, itemOf(item)] as const),
  );
}

const labelAttributes = { strings: 'classlabels_strings', ints: 'classlabels_int64s' } as const;

const zipMapType = (labels: Labels): ValueType => ({
  kind: 'map',
  key: labelType(labels),
  value: tensorType('float32', []),
});

/** A map from labels to scores for each row. */
export const ZipMap = defineOperator({
  domain,
  name: 'ZipMap',
  since: 1,
  attributes: { classlabels_int64s: ints(), classlabels_strings: strings() },
  infer(context) {
    requireDType(context, 0, ['float32']);
    const labels = readLabels(context, labelAttributes);
    const shape = expectRank(context, 0, 1, 2);
    context.requireEqual(shape[shape.length - 1], Dim.constant(labels.length), 'the numbers of scores and labels');
    return [{ kind: 'sequence', element: zipMapType(labels) }];
  },
  evaluate(context) {
    const labels = readLabels(context, labelAttributes);
    const { count, width, values } = featureRows(context.tensor(0));
    const items = Array.from({ length: count }, (_, row): HostMap => {
      const entries = new Map<string | bigint, number>();
      for (let at = 0; at < width; at++) entries.set(labels[at], values[row * width + at]);
      return { kind: 'map', entries };
    });
    return { kind: 'sequence', items, element: zipMapType(labels) };
  },
});

/** The values of a map in the order of a vocabulary, which lists all keys; missing ones are zero or empty. */
export const DictVectorizer = defineOperator({
  domain,
  name: 'DictVectorizer',
  since: 1,
  attributes: { int64_vocabulary: ints(), string_vocabulary: strings() },
  infer(context) {
    const { key, item } = mapType(context);
    const { int64_vocabulary: numbers, string_vocabulary: words } = context.attributes;
    const vocabulary = key === 'string' ? words : numbers;
    if (!vocabulary?.length) return context.fail(`it has no vocabulary for ${key} keys.`);
    return [tensorType(item, [Dim.constant(1), Dim.constant(vocabulary.length)])];
  },
  evaluate(context) {
    const { key, item: dtype } = mapType(context);
    const entries = entriesOf(context);
    const vocabulary: Labels =
      key === 'string' ? (context.attributes.string_vocabulary ?? []) : int64List(context, 'int64_vocabulary');
    const items = vocabulary.map((word: string | bigint) => entries.get(word));
    return rowOf(dtype, items);
  },
});

/** A tensor [1, n]; undefined items are zero or empty. */
function rowOf(dtype: DType, items: readonly (Item | undefined)[], absent = ''): Tensor {
  const dims = [1, items.length];
  if (dtype === 'string')
    return new Tensor(
      'string',
      items.map((item) => (item ?? absent) as string),
      dims,
    );
  const { data } = allocateBuffer(dtype, dims);
  items.forEach((item, at) => {
    data[at] = (item ?? (dtype === 'int64' ? 0n : 0)) as number;
  });
  return new Tensor(dtype, data, dims);
}

type Conversion = (item: Item) => Item | undefined;

const casts: Readonly<Record<string, { readonly dtype: DType; readonly convert: Conversion }>> = {
  TO_FLOAT: { dtype: 'float32', convert: (item) => known(Number.parseFloat(String(item))) },
  TO_INT64: {
    dtype: 'int64',
    convert(item) {
      if (typeof item === 'bigint') return item;
      const digits = /^\s*([+-]?\d+)/.exec(String(item))?.[1];
      if (typeof item === 'string') return digits === undefined ? undefined : BigInt(digits.replace('+', ''));
      return Number.isFinite(item) ? BigInt(Math.trunc(item)) : undefined;
    },
  },
  // Numbers as C's "%f" writes them.
  TO_STRING: { dtype: 'string', convert: (item) => (typeof item === 'number' ? item.toFixed(6) : String(item)) },
};

const known = (number: number): number | undefined => (Number.isNaN(number) ? undefined : number);

/**
 * The values of a map in ascending order of their keys, converted: all of them (DENSE), or a row of `max_map` in which
 * each lies at its key (SPARSE). Texts that are missing there read "0.f", as in ONNX Runtime.
 */
export const CastMap = defineOperator({
  domain,
  name: 'CastMap',
  since: 1,
  attributes: { cast_to: string('TO_FLOAT'), map_form: string('DENSE'), max_map: int(1) },
  infer(context) {
    const { key } = mapType(context);
    if (key !== 'int64') context.fail(`the keys must be int64, not ${key}.`);
    const { cast_to: target, map_form: form, max_map: length } = context.attributes;
    if (!casts[target]) context.fail(`cast_to "${target}" is not one of ${Object.keys(casts).join(', ')}.`);
    if (form !== 'DENSE' && form !== 'SPARSE') context.fail(`map_form "${form}" is not DENSE or SPARSE.`);
    const width = form === 'SPARSE' ? Dim.constant(length) : context.freshDim('entries');
    return [tensorType(casts[target].dtype, [Dim.constant(1), width])];
  },
  evaluate(context) {
    const { cast_to: target, map_form: form, max_map: length } = context.attributes;
    const { dtype, convert } = casts[target];
    const converted = Array.from(entriesOf(context), ([key, item]) => {
      const value = convert(item) ?? context.fail(`"${item}" cannot be cast to ${dtype}.`);
      return [key as bigint, value] as const;
    });
    const sorted = converted.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    if (form === 'DENSE')
      return rowOf(
        dtype,
        sorted.map(([, item]) => item),
      );
    const [first] = sorted;
    if (first && first[0] < 0n) context.fail(`the key ${first[0]} is negative.`);
    const row = Array<Item | undefined>(length).fill(undefined);
    for (const [key, item] of sorted) if (key < length) row[Number(key)] = item;
    return rowOf(dtype, row, '0.f');
  },
});
