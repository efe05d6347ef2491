// Features made comparable: thresholds, scales, norms, and values for missing ones.

import {
  abs,
  cast,
  constant,
  type DType,
  div,
  type Expr,
  eq,
  gt,
  integerRange,
  isFloat,
  mul,
  select,
  sqrt,
} from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import { defineOperator, type ExpandContext, float, floats, int, ints, type NodeContext, string } from '../define.ts';
import { expectRank } from '../expect.ts';
import { likeInput, pointwise, requireDType } from '../pointwise.ts';
import { Rows } from '../rows.ts';
import { domain, featureTypes } from './feature-rows.ts';

/** The threshold in the type of the elements: x > t is x > ⌊t⌋ for integers. */
function thresholdFor(dtype: DType, threshold: number): number {
  if (isFloat(dtype)) return threshold;
  const { min, max } = integerRange(dtype);
  return Math.max(Number(min), Math.min(Number(max), Math.floor(threshold)));
}

/** 1 above the threshold, 0 elsewhere. */
export const Binarizer = pointwise(
  'Binarizer',
  { domain, since: 1, dtypes: featureTypes, attributes: { threshold: float(0) } },
  (x, { threshold }) => cast(x.type, gt(x, thresholdFor(x.type as DType, threshold))),
);

/** Checks a list that has one entry for all features or one for each of them, which lie along the last axis. */
function expectPerFeature(context: NodeContext, name: string, length: number): void {
  const shape = expectRank(context, 0, 1, Infinity);
  const features = shape[shape.length - 1];
  if (length === 1 || features.constant === undefined || features.is(length)) return;
  context.fail(
    `${name} has ${length} entries, but there are ${features} features.`,
    'Give one entry, or one for each.',
  );
}

/** A literal that broadcasts along the features. */
function perFeature(context: ExpandContext, dtype: DType, values: readonly number[]): Value {
  return context.literal(dtype, values, [values.length]);
}

/** (x − offset) · scale */
export const Scaler = defineOperator({
  domain,
  name: 'Scaler',
  since: 1,
  attributes: { offset: floats(), scale: floats() },
  infer(context) {
    requireDType(context, 0, featureTypes);
    const { offset, scale } = context.attributes;
    if (offset) expectPerFeature(context, 'offset', offset.length);
    if (scale) expectPerFeature(context, 'scale', scale.length);
    return [likeInput(context, 0, 'float32')];
  },
  expand(context) {
    const { offset, scale } = context.attributes;
    // Only double inputs have more digits than the result.
    const wide = context.dtype(0) === 'float64' ? 'float64' : 'float32';
    let x = castTo(context, context.value(0)!, wide);
    if (offset) x = context.op('Sub', [x, perFeature(context, wide, offset)]);
    if (scale) x = context.op('Mul', [x, perFeature(context, wide, scale)]);
    return castTo(context, x, 'float32');
  },
});

function castTo(context: ExpandContext, value: Value, dtype: 'float32' | 'float64'): Value {
  if (context.typeOf(value).dtype === dtype) return value;
  return context.op('Cast', [value], { to: dtype === 'float32' ? 1 : 11 });
}

/** Replaces one value, which may be NaN, by others. */
export const Imputer = defineOperator({
  domain,
  name: 'Imputer',
  since: 1,
  attributes: {
    imputed_value_floats: floats(),
    imputed_value_int64s: ints(),
    replaced_value_float: float(0),
    replaced_value_int64: int(0),
  },
  infer(context) {
    const dtype = requireDType(context, 0, featureTypes);
    const name = isFloat(dtype) ? 'imputed_value_floats' : 'imputed_value_int64s';
    const values = context.attributes[name];
    if (!values?.length) return context.fail(`it needs the attribute ${name} for ${dtype} features.`);
    expectPerFeature(context, name, values.length);
    return [likeInput(context, 0)];
  },
  expand(context) {
    const { attributes } = context;
    const x = context.value(0)!;
    const dtype = context.dtype(0);
    const [replaced, imputed] = isFloat(dtype)
      ? [attributes.replaced_value_float, attributes.imputed_value_floats!]
      : [attributes.replaced_value_int64, attributes.imputed_value_int64s!];
    const isReplaced = Number.isNaN(replaced)
      ? context.op('IsNaN', [x])
      : context.op('Equal', [x, context.literal(dtype, replaced)]);
    return context.op('Where', [isReplaced, perFeature(context, dtype, imputed), x]);
  },
});

/** What each row is divided by. MAX takes the greatest element with its sign, as ONNX Runtime does. */
const norms: Readonly<Record<string, (rows: Rows, dtype: DType, x: (index: readonly Expr[]) => Expr) => Norm>> = {
  MAX: (rows, dtype, x) => ({ stage: rows.reduce('max', dtype, x, 'greatest'), finish: (norm) => norm }),
  L1: (rows, dtype, x) => ({
    stage: rows.reduce('sum', dtype, (index) => abs(x(index)), 'total'),
    finish: (norm) => norm,
  }),
  L2: (rows, dtype, x) => ({
    stage: rows.reduce('sum', dtype, (index) => mul(x(index), x(index)), 'squares'),
    finish: sqrt,
  }),
};

interface Norm {
  readonly stage: ReturnType<Rows['reduce']>;
  finish(norm: Expr): Expr;
}

/** Divides each row by its norm. Rows whose norm is zero stay. */
export const Normalizer = defineOperator({
  domain,
  name: 'Normalizer',
  since: 1,
  attributes: { norm: string('MAX') },
  infer(context) {
    requireDType(context, 0, featureTypes);
    expectRank(context, 0, 1, 2);
    const { norm } = context.attributes;
    if (!norms[norm]) context.fail(`norm "${norm}" is not one of ${Object.keys(norms).join(', ')}.`);
    return [likeInput(context, 0, 'float32')];
  },
  lower(context) {
    const shape = context.shape(0);
    const wide = context.dtype(0) === 'float64' ? 'float64' : 'float32';
    const rows = new Rows(context, shape, [shape.length - 1]);
    const x = (index: readonly Expr[]): Expr => cast(wide, context.at(0, index));
    const { stage, finish } = norms[context.attributes.norm](rows, wide, x);
    const divisor = rows.mapRows(
      wide,
      (row) => {
        const norm = finish(context.at(stage, row));
        return select(eq(norm, 0), constant(wide, 1), norm);
      },
      'divisor',
    );
    return context.map('float32', shape, (index) => cast('float32', div(x(index), rows.perRow(divisor, index))));
  },
});
