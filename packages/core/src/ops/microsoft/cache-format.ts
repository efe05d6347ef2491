// How attention operators of com.microsoft store keys and values in their caches: as they are, or quantised with one scale for
// all or one for each channel, 4-bit codes two to a byte.

import {
  add,
  and,
  cast,
  Dim,
  type DType,
  dimension,
  div,
  type Expr,
  eq,
  max,
  min,
  mod,
  mul,
  productOf,
  round,
  select,
  shapeText,
  shl,
  shr,
  sub,
} from '@onnx-ts/tensor-ir';
import type { LowerContext, NodeContext } from '../define.ts';
import { broadcastIndex } from '../lowering.ts';

/** Element of keys or values at batch, position, head, feature. */
export type HeadReader = (batch: Expr, position: Expr, head: Expr, feature: Expr) => Expr;

export interface CacheFormat {
  readonly dtype: DType;
  /** Entries that a head of `headSize` features takes. */
  readonly width: Dim;
  /** Entries, addressed like features, from the features. */
  encode(read: HeadReader): HeadReader;
  /** Features from the entries, both by batch, head, position, feature. */
  decode(entry: (index: readonly Expr[]) => Expr): (batch: Expr, head: Expr, position: Expr, feature: Expr) => Expr;
}

export interface CacheInputs {
  /** Input with the cache, whose type tells how it is stored. */
  readonly cache: number;
  readonly scale: number;
  /** What the attribute of the name says: NONE, PER_TENSOR or PER_CHANNEL. */
  readonly quantType: string;
  readonly attribute: string;
  readonly bitWidth: number | undefined;
}

const quantizedTypes: readonly DType[] = ['int8', 'uint8', 'float8e4m3fn'];
/** What is added to 4-bit codes to store them without sign. */
const packedOffset = 8;

/** Checks that attributes, scale and the type of the cache fit each other. Returns whether it is quantised. */
export function checkCache(ctx: NodeContext, inputs: CacheInputs, kvHeads: Dim, headSize: Dim): boolean {
  const { cache, scale, quantType, attribute, bitWidth } = inputs;
  if (!['NONE', 'PER_TENSOR', 'PER_CHANNEL'].includes(quantType)) {
    ctx.fail(`${attribute} "${quantType}" is not one of NONE, PER_TENSOR, PER_CHANNEL.`);
  }
  const dtype = ctx.hasInput(cache) ? ctx.dtype(cache) : undefined;
  const isQuantized = dtype !== undefined && quantizedTypes.includes(dtype);
  if (isQuantized !== (quantType !== 'NONE')) {
    ctx.fail(
      `${attribute} is ${quantType}, but the cache in input ${cache} is ${dtype ?? 'missing'}.`,
      `A quantised cache is ${quantizedTypes.join(', ')}; its type is that of the past.`,
    );
  }
  if (!isQuantized) return false;
  if (!ctx.hasInput(scale)) ctx.fail(`${attribute} ${quantType} needs the scale in input ${scale}.`);
  const bits = dtype === 'uint8' ? 4 : 8;
  if (bitWidth !== undefined && bitWidth !== bits) {
    ctx.fail(`kv_cache_bit_width is ${bitWidth}, but a cache of ${dtype} holds elements of ${bits} bits.`);
  }
  const shape = ctx.shape(scale);
  const expected = quantType === 'PER_TENSOR' ? Dim.constant(1) : kvHeads.mul(headSize);
  ctx.requireEqual(
    productOf(shape),
    expected,
    `the size of the scale ${shapeText(shape)} and ${attribute} ${quantType}`,
  );
  return true;
}

/** The format of a cache that has passed `checkCache`, for heads of `headSize` features. */
export function cacheFormat(
  ctx: LowerContext,
  inputs: CacheInputs,
  plain: DType,
  kvHeads: Dim,
  headSize: Dim,
): CacheFormat {
  if (inputs.quantType === 'NONE') {
    return {
      dtype: plain,
      width: headSize,
      encode: (read) => read,
      decode: (entry) => (b, h, t, d) => entry([b, h, t, d]),
    };
  }
  const dtype = ctx.dtype(inputs.cache);
  const scaleAt = (head: Expr, feature: Expr): Expr => {
    const source = ctx.input(inputs.scale);
    if (inputs.quantType === 'PER_TENSOR') return ctx.scalar(inputs.scale);
    const full = [Dim.constant(1), kvHeads, Dim.constant(1), headSize];
    const zero = dimension(0);
    return ctx.at(source, broadcastIndex(source.shape, [zero, head, zero, feature], full));
  };
  const quotient = (read: HeadReader): HeadReader => {
    return (b, s, h, d) => div(cast('float32', read(b, s, h, d)), scaleAt(h, d));
  };
  if (dtype === 'uint8') return packedFormat(headSize, quotient, scaleAt);
  return {
    dtype,
    width: headSize,
    encode: (read) => (b, s, h, d) => {
      const value = quotient(read)(b, s, h, d);
      return cast(dtype, dtype === 'int8' ? round(value) : value, { saturate: true });
    },
    decode: (entry) => (b, h, t, d) => mul(cast('float32', entry([b, h, t, d])), scaleAt(h, d)),
  };
}

/** Signed 4-bit codes plus 8, the even feature in the low half of a byte. An odd number of features leaves a half unused. */
function packedFormat(
  headSize: Dim,
  quotient: (read: HeadReader) => HeadReader,
  scaleAt: (head: Expr, feature: Expr) => Expr,
): CacheFormat {
  const width = headSize.ceilDiv(2);
  const isWhole = headSize.equals(width.mul(2));
  return {
    dtype: 'uint8',
    width,
    encode(read) {
      const code = (b: Expr, s: Expr, h: Expr, d: Expr): Expr => {
        const rounded = round(quotient(read)(b, s, h, d));
        return cast('int32', add(min(max(rounded, -packedOffset), packedOffset - 1), packedOffset));
      };
      return (b, s, h, pair) => {
        const [even, odd] = [mul(pair, 2), add(mul(pair, 2), 1)];
        // The last feature stands for the one that is not there.
        const high = code(b, s, h, isWhole ? odd : min(odd, dimension(headSize.sub(1))));
        return cast('uint8', add(code(b, s, h, even), shl(high, 4)));
      };
    },
    decode: (entry) => (b, h, t, d) => {
      const pair = cast('int32', entry([b, h, t, div(d, 2)]));
      const code = and(select(eq(mod(d, 2), 0), pair, shr(pair, 4)), 15);
      return mul(cast('float32', sub(code, packedOffset)), scaleAt(h, d));
    },
  };
}
