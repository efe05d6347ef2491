// Categories: labels turned into other labels, or into columns of zeros and ones.

import { Dim, type DType, isBigInteger, isInteger } from '@onnx-ts/tensor-ir';
import { tensorType } from '../../graph/types.ts';
import { arrayTypeOf, Tensor, type TypedArray } from '../../session/tensor.ts';
import {
  defineOperator,
  type EvaluateContext,
  float,
  floats,
  int,
  ints,
  type NodeContext,
  string,
  strings,
  tensor,
} from '../define.ts';
import { elementsOf } from '../host-elements.ts';
import { likeInput, requireDType } from '../pointwise.ts';
import { int64List, int64Value } from './class-labels.ts';
import { domain, featureTypes } from './feature-rows.ts';
import { oncePerNode } from './once-per-node.ts';

type Category = string | number | bigint;

/** Where the keys of one input type lead. NaN is found, too, since Map looks keys up as `Object.is` nearly does. */
interface Mapping {
  readonly dtype: DType;
  readonly targets: ReadonlyMap<Category, Category>;
  readonly fallback: Category;
}

/** A category as the elements of a type are: bigint, number or string. */
function asElement(dtype: DType, value: Category): Category {
  if (dtype === 'string') return String(value);
  if (isBigInteger(dtype)) return typeof value === 'bigint' ? value : BigInt(Math.trunc(Number(value)));
  return dtype === 'float32' ? Math.fround(Number(value)) : Number(value);
}

/** Of equal keys the first counts. */
function newMapping(
  context: NodeContext,
  from: DType,
  keys: readonly Category[],
  to: DType,
  values: readonly Category[],
  fallback: Category,
): Mapping {
  if (keys.length !== values.length) context.fail(`it has ${keys.length} keys, but ${values.length} values.`);
  const targets = new Map<Category, Category>();
  keys.forEach((key, at) => {
    const element = asElement(from, key);
    if (!targets.has(element)) targets.set(element, asElement(to, values[at]));
  });
  return { dtype: to, targets, fallback: asElement(to, fallback) };
}

function applyMapping({ dtype, targets, fallback }: Mapping, input: Tensor): Tensor {
  const elements = elementsOf(input) as readonly Category[];
  const { length } = elements;
  const result = (dtype === 'string' ? new Array<string>(length) : new (arrayTypeOf(dtype))(length)) as Category[];
  for (let at = 0; at < length; at++) result[at] = targets.get(elements[at]) ?? fallback;
  return new Tensor(dtype, result as unknown as TypedArray | string[], input.dims);
}

/** Both directions between strings and integers: the type of the input tells which. */
function twoWay(context: NodeContext, words: readonly string[], numbers: readonly bigint[]): Mapping {
  const toNumber = context.dtype(0) === 'string';
  const { attributes } = context.node;
  const word = attributes.get('default_string');
  return toNumber
    ? newMapping(context, 'string', words, 'int64', numbers, int64Value(context, 'default_int64', -1n))
    : newMapping(context, 'int64', numbers, 'string', words, word?.type === 'string' ? word.value : '_Unused');
}

function inferTwoWay(context: NodeContext) {
  return [likeInput(context, 0, requireDType(context, 0, ['string', 'int64']) === 'string' ? 'int64' : 'string')];
}

const categoryMapping = oncePerNode((context: EvaluateContext) => {
  const words = context.node.attributes.get('cats_strings');
  return twoWay(context, words?.type === 'strings' ? words.value : [], int64List(context, 'cats_int64s'));
});

/** Strings to integers or back, by two lists of equal length. */
export const CategoryMapper = defineOperator({
  domain,
  name: 'CategoryMapper',
  since: 1,
  attributes: {
    cats_int64s: ints(),
    cats_strings: strings(),
    default_int64: int(-1),
    default_string: string('_Unused'),
  },
  infer: inferTwoWay,
  evaluate: (context) => applyMapping(categoryMapping(context as EvaluateContext), context.tensor(0)),
});

const classMapping = oncePerNode((context: EvaluateContext) => {
  const classes = context.node.attributes.get('classes_strings');
  const words = classes?.type === 'strings' ? classes.value : [];
  return twoWay(
    context,
    words,
    words.map((_, at) => BigInt(at)),
  );
});

/** Strings to their positions in a list, or back. */
export const LabelEncoder1 = defineOperator({
  domain,
  name: 'LabelEncoder',
  since: 1,
  attributes: { classes_strings: strings(), default_int64: int(-1), default_string: string('_Unused') },
  infer: inferTwoWay,
  evaluate: (context) => applyMapping(classMapping(context as EvaluateContext), context.tensor(0)),
});

interface CategoryList {
  readonly dtype: DType;
  readonly items: readonly Category[];
}

/** The keys or values of a LabelEncoder: one of four attributes. */
function readList(context: NodeContext, kind: 'keys' | 'values'): CategoryList {
  const { attributes } = context.node;
  const given = attributes.get(`${kind}_tensor`);
  if (given?.type === 'tensor') {
    return { dtype: given.value.type, items: Array.from(elementsOf(given.value) as readonly Category[]) };
  }
  const words = attributes.get(`${kind}_strings`);
  if (words?.type === 'strings' && words.value.length > 0) return { dtype: 'string', items: words.value };
  const integers = int64List(context, `${kind}_int64s`);
  if (integers.length > 0) return { dtype: 'int64', items: integers };
  const reals = attributes.get(`${kind}_floats`);
  if (reals?.type === 'floats' && reals.value.length > 0) return { dtype: 'float32', items: reals.value };
  return context.fail(`it has no ${kind}.`);
}

function defaultOf(context: NodeContext, dtype: DType): Category {
  const { attributes } = context.node;
  const given = attributes.get('default_tensor');
  if (given?.type === 'tensor' && given.value.size > 0) return (elementsOf(given.value) as readonly Category[])[0];
  if (isInteger(dtype)) return int64Value(context, 'default_int64', -1n);
  const found = attributes.get(dtype === 'string' ? 'default_string' : 'default_float');
  if (found?.type === 'string' || found?.type === 'float') return found.value;
  return dtype === 'string' ? '_Unused' : -0;
}

const labelMapping = oncePerNode((context: EvaluateContext) => {
  const [keys, values] = [readList(context, 'keys'), readList(context, 'values')];
  const { dtype } = values;
  return newMapping(context, context.dtype(0), keys.items, dtype, values.items, defaultOf(context, dtype));
});

const listAttributes = {
  default_float: float(-0),
  default_int64: int(-1),
  default_string: string('_Unused'),
  keys_floats: floats(),
  keys_int64s: ints(),
  keys_strings: strings(),
  values_floats: floats(),
  values_int64s: ints(),
  values_strings: strings(),
};

/** Keys of the input's type to values of any type. */
export const LabelEncoder = [
  { since: 2, attributes: listAttributes },
  {
    since: 4,
    attributes: { ...listAttributes, default_tensor: tensor(), keys_tensor: tensor(), values_tensor: tensor() },
  },
].map((version) =>
  defineOperator({
    domain,
    name: 'LabelEncoder',
    ...version,
    infer(context) {
      const dtype = requireDType(context, 0, ['string', 'int64', 'float32', 'int32', 'int16', 'float64']);
      const keys = readList(context, 'keys');
      if ((dtype === 'string') !== (keys.dtype === 'string')) {
        context.fail(`the keys are ${keys.dtype}, but the labels ${dtype}.`);
      }
      return [likeInput(context, 0, readList(context, 'values').dtype)];
    },
    evaluate: (context) => applyMapping(labelMapping(context as EvaluateContext), context.tensor(0)),
  }),
);

const columnsOf = oncePerNode((context: EvaluateContext): ReadonlyMap<Category, number> => {
  const words = context.node.attributes.get('cats_strings');
  const integers = int64List(context, 'cats_int64s');
  const categories = integers.length > 0 ? integers : words?.type === 'strings' ? words.value : [];
  return new Map(categories.map((category: Category, at: number) => [category, at]));
});

/** Adds an axis with a one in the column of the category. Numbers are truncated to integers first. */
export const OneHotEncoder = defineOperator({
  domain,
  name: 'OneHotEncoder',
  since: 1,
  attributes: { cats_int64s: ints(), cats_strings: strings(), zeros: int(1) },
  infer(context) {
    const { cats_int64s: integers, cats_strings: words } = context.attributes;
    const dtype = requireDType(context, 0, [...featureTypes, 'string']);
    const categories = dtype === 'string' ? words : integers;
    if (!categories?.length) return context.fail(`it has no categories for ${dtype} elements.`);
    return [tensorType('float32', [...context.shape(0), Dim.constant(categories.length)])];
  },
  evaluate(context) {
    const { cats_int64s: integers, cats_strings: words, zeros } = context.attributes;
    const input = context.tensor(0);
    const width = ((input.type === 'string' ? words : integers) ?? []).length;
    const columns = columnsOf(context as EvaluateContext);
    const elements = elementsOf(input) as readonly Category[];
    const result = new Float32Array(elements.length * width);
    for (let at = 0; at < elements.length; at++) {
      const element = elements[at];
      const category =
        typeof element !== 'number' ? element : Number.isFinite(element) ? BigInt(Math.trunc(element)) : undefined;
      const column = category === undefined ? undefined : columns.get(category);
      if (column !== undefined) result[at * width + column] = 1;
      else if (!zeros) context.fail(`"${element}" is none of the categories.`);
    }
    return new Tensor('float32', result, [...input.dims, width]);
  },
});
