// Conversions between element types: Cast, CastLike, BitCast. Strings are converted on the host.

import { TensorDataType } from '@onnx-ts/onnx-proto';
import {
  add,
  and,
  bitcast,
  bitsOf,
  cast,
  Dim,
  type DType,
  type Expr,
  elementAt,
  eq,
  gt,
  interpretProgram,
  isFloat,
  isInteger,
  isNotANumber,
  isSmallFloat,
  lt,
  newTensorRef,
  or,
  type RoundMode,
  roundToFormat,
  StageBuilder,
  select,
  shr,
} from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import { dtypeOfCode } from '../onnx/import-tensor.ts';
import { arrayTypeOf, Tensor, type TypedArray } from '../session/tensor.ts';
import {
  defineOperator,
  type EvaluateContext,
  int,
  type LowerContext,
  type NodeContext,
  required,
  string,
} from './define.ts';
import { decimalText, parseInteger, parseReal } from './number-text.ts';
import { likeInput } from './pointwise.ts';
import { certainlyEqual, mapContents, negation } from './symbolic.ts';

interface Rounding {
  /** Out of range, a float8 becomes its greatest value, not infinity or NaN. */
  readonly saturate?: boolean;
  /** For float8e8m0 only. */
  readonly roundMode?: RoundMode;
}

/** An element type given by ONNX's number for it in an attribute. */
export function dtypeAttribute(ctx: NodeContext, name: string, code: number): DType {
  try {
    return dtypeOfCode(code, `the attribute "${name}"`);
  } catch (error) {
    return ctx.fail(OnnxTsError.is(error) ? error.message : String(error));
  }
}

/** x as another type, with the rules of ONNX's Cast. */
function convert(type: DType, x: Expr, { saturate = true, roundMode = 'up' }: Rounding = {}): Expr {
  if (x.type === type) return x;
  if (type === 'float8e8m0' && roundMode !== 'up') return toPowerOfTwo(x, saturate, roundMode);
  // Floats of 6 and 4 bits have no NaN; ONNX's conformance data have −0 in its place.
  if (isSmallFloat(type) && bitsOf(type) < 8 && isFloat(x.type)) return cast(type, select(isNotANumber(x), -0, x));
  if (isFloat(type)) return cast(type, x, { saturate });
  if (!isFloat(x.type) || !isInteger(type)) return cast(type, x);
  // What a float out of range becomes is left open by ONNX. Narrow integers keep the low bits of the int32, as C
  // programs do on common processors; the wide ones are clamped, which every target has an instruction for.
  if (bitsOf(type) >= 32) return cast(type, x, { saturate: true });
  return cast(type, cast('int32', x, { saturate: true }));
}

/**
 * float8e8m0 is the exponent field of a float32. Its sign is dropped; infinity and NaN have the field 255. Rounding up is
 * what a plain cast does.
 */
function toPowerOfTwo(x: Expr, saturate: boolean, roundMode: 'down' | 'nearest'): Expr {
  const bits = bitcast('uint32', cast('float32', x));
  const exponent = and(shr(bits, 23), 0xff);
  const result =
    roundMode === 'down' ? exponent : select(isPastHalf(bits, exponent, saturate), add(exponent, 1), exponent);
  return bitcast('float8e8m0', cast('uint8', result));
}

/** Whether the next power of two is nearer, and there. Halves go up, but not from below the normal numbers. */
function isPastHalf(bits: Expr, exponent: Expr, saturate: boolean): Expr {
  const fraction = and(bits, 0x7fffff);
  const half = 0x400000;
  const isNearer = or(gt(fraction, half), and(eq(fraction, half), gt(exponent, 0)));
  return and(isNearer, lt(exponent, saturate ? 254 : 255));
}

function roundingOf(
  ctx: NodeContext & { readonly attributes: { readonly saturate: number; readonly round_mode: string } },
): Rounding {
  const { saturate, round_mode } = ctx.attributes;
  if (round_mode !== 'up' && round_mode !== 'down' && round_mode !== 'nearest') {
    ctx.fail(`round_mode "${round_mode}" is not one of up, down, nearest.`);
  }
  return { saturate: saturate !== 0, roundMode: round_mode as RoundMode };
}

function lowerCast(ctx: LowerContext, type: DType, rounding: Rounding) {
  if (ctx.dtype(0) === type) return ctx.input(0);
  return ctx.map(type, ctx.outputShape(0), (index) => convert(type, ctx.at(0, index), rounding));
}

function castContents(ctx: NodeContext, type: DType) {
  return mapContents(ctx, [0], type, (x) => (type === 'bool' ? negation(certainlyEqual(x, Dim.constant(0))) : x));
}

const roundingAttributes = { saturate: int(1), round_mode: string('up') };

export const Cast = [
  // Up to opset 5 the type is given by its name.
  defineOperator({
    name: 'Cast',
    since: 1,
    attributes: { to: required(string()) },
    infer: (ctx) => [likeInput(ctx, 0, dtypeOfName(ctx, ctx.attributes.to))],
    contents: (ctx) => castContents(ctx, dtypeOfName(ctx, ctx.attributes.to)),
    lower: (ctx) => lowerCast(ctx, dtypeOfName(ctx, ctx.attributes.to), {}),
  }),
  defineOperator({
    name: 'Cast',
    since: 6,
    attributes: { to: required(int()), ...roundingAttributes },
    infer: (ctx) => [likeInput(ctx, 0, dtypeAttribute(ctx, 'to', ctx.attributes.to))],
    contents: (ctx) => castContents(ctx, dtypeAttribute(ctx, 'to', ctx.attributes.to)),
    lower: (ctx) => lowerCast(ctx, dtypeAttribute(ctx, 'to', ctx.attributes.to), roundingOf(ctx)),
    evaluateOnHost: (ctx) => castOnHost(ctx, dtypeAttribute(ctx, 'to', ctx.attributes.to)),
  }),
];

function dtypeOfName(ctx: NodeContext, name: string): DType {
  const code = (TensorDataType as Readonly<Record<string, number>>)[name.toUpperCase()];
  return code === undefined ? ctx.fail(`"${name}" is not an element type.`) : dtypeAttribute(ctx, 'to', code);
}

export const CastLike = defineOperator({
  name: 'CastLike',
  since: 15,
  attributes: roundingAttributes,
  infer: (ctx) => [likeInput(ctx, 0, ctx.dtype(1))],
  contents: (ctx) => castContents(ctx, ctx.dtype(1)),
  lower: (ctx) => lowerCast(ctx, ctx.dtype(1), roundingOf(ctx)),
  evaluateOnHost: (ctx) => castOnHost(ctx, ctx.dtype(1)),
});

function castOnHost(ctx: EvaluateContext, type: DType): Tensor {
  const x = ctx.tensor(0);
  if (x.type === type) return x;
  if (x.type === 'string') return parseAll(ctx, x, type);
  if (type === 'string') return printAll(x);
  return ctx.fail(`${x.type} cannot be cast to ${type}.`);
}

function parseAll(ctx: EvaluateContext, x: Tensor, type: DType): Tensor {
  const texts = x.data as string[];
  const bad = (text: string): never => ctx.fail(`"${text}" cannot be cast to ${type}.`);
  if (isInteger(type)) {
    const integers = texts.map((text) => parseInteger(text) ?? bad(text));
    return castTensor(new Tensor('int64', BigInt64Array.from(integers), x.dims), type);
  }
  const reals = texts.map((text) => parseReal(text) ?? bad(text));
  return castTensor(new Tensor('float64', Float64Array.from(reals), x.dims), type);
}

function printAll(x: Tensor): Tensor {
  if (x.type === 'bool')
    return new Tensor(
      'string',
      x.toNumberArray().map((item) => (item ? 'True' : 'False')),
      x.dims,
    );
  if (isInteger(x.type)) {
    const type = x.type === 'uint64' ? 'uint64' : 'int64';
    return new Tensor('string', Array.from(castTensor(x, type).data as BigInt64Array, String), x.dims);
  }
  const { type } = x;
  const round = isSmallFloat(type)
    ? (value: number) => roundToFormat(type, value)
    : type === 'float32'
      ? Math.fround
      : (value: number) => value;
  const reals = castTensor(x, 'float64').data as Float64Array;
  return new Tensor(
    'string',
    Array.from(reals, (value) => decimalText(value, round)),
    x.dims,
  );
}

/** Converts a whole tensor now. */
function castTensor(x: Tensor, type: DType): Tensor {
  if (x.type === type) return x;
  const shape = x.dims.map((size) => Dim.constant(size));
  const source = newTensorRef('x', x.type, shape);
  const builder = new StageBuilder();
  const stage = builder.map(type, shape, (index) => convert(type, elementAt(source, index)));
  const target = newTensorRef('y', type, shape);
  const program = { inputs: [source], stages: builder.stages, outputs: [{ tensor: target, source: stage }] };
  const results = interpretProgram(
    program,
    new Map([[source, { dtype: x.type, dims: x.dims, data: x.data }]]),
    new Map(),
  );
  return new Tensor(type, results.get(target)!.data, x.dims);
}

/** The same bits as another type of equal width. */
export const BitCast = defineOperator({
  name: 'BitCast',
  since: 26,
  attributes: { to: required(int()) },
  infer(ctx) {
    const from = ctx.dtype(0);
    const to = dtypeAttribute(ctx, 'to', ctx.attributes.to);
    if (bitsOf(from) !== bitsOf(to)) {
      ctx.fail(`${from} has ${bitsOf(from)} bits, but ${to} has ${bitsOf(to)}: only types of equal width share bits.`);
    }
    return [likeInput(ctx, 0, to)];
  },
  lower(ctx) {
    const type = ctx.outputDType(0);
    return ctx.map(type, ctx.outputShape(0), (index) => bitcast(type, ctx.at(0, index)));
  },
  evaluateOnHost(ctx) {
    const { data, dims } = ctx.tensor(0);
    const type = dtypeAttribute(ctx, 'to', ctx.attributes.to);
    if (type === 'string') return ctx.fail('strings have no bits.');
    const { buffer, byteOffset, byteLength } = data as TypedArray;
    const Storage = arrayTypeOf(type);
    const copy = buffer.slice(byteOffset, byteOffset + byteLength);
    return new Tensor(type, new Storage(copy, 0, byteLength / Storage.BYTES_PER_ELEMENT), dims);
  },
});
