// CausalConvWithState: a depthwise convolution over time that sees the past only, with the last inputs as its state. Used
// by language models with linear attention.

import {
  add,
  Dim,
  dimension,
  type Expr,
  ge,
  lt,
  mul,
  productOf,
  type Source,
  type Stage,
  select,
  sigmoid,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, derive, int, type LowerContext, type NodeContext, string } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';
import { flatten, unflatten } from './flat-index.ts';

const [input, weight, bias, pastState] = [0, 1, 2, 3];

type CausalNode = NodeContext & {
  readonly attributes: {
    readonly activation: string;
    readonly channels_last: number;
    readonly dilation: number;
    readonly ndim: number;
    readonly state_window: number;
  };
};

/** How tensors of one layout are read: by batch entry, channel and the positions along the spatial axes, time the last. */
interface Layout {
  readonly batch: Dim;
  readonly channels: Dim;
  readonly spatial: readonly Dim[];
  /** Shape of a tensor of that many positions in time. */
  shapeOf(time: Dim): readonly Dim[];
  indexOf(n: Expr, c: Expr, place: readonly Expr[]): readonly Expr[];
  /** Batch entry, channel and positions of an index. */
  partsOf(index: readonly Expr[]): readonly [Expr, Expr, readonly Expr[]];
}

/** [batch, channels, …spatial], or [batch, time, …channel axes] with `channels_last`. */
function layoutOf(ctx: CausalNode): Layout {
  const { channels_last, ndim } = ctx.attributes;
  if (!channels_last) {
    const [batch, channels, ...spatial] = expectRank(ctx, input, 2 + ndim);
    return {
      batch,
      channels,
      spatial,
      shapeOf: (time) => [batch, channels, ...spatial.slice(0, -1), time],
      indexOf: (n, c, place) => [n, c, ...place],
      partsOf: ([n, c, ...place]) => [n, c, place],
    };
  }
  if (ndim !== 1) ctx.fail('channels_last is for one time axis only.');
  const [batch, time, ...axes] = expectRank(ctx, input, 3, Infinity);
  return {
    batch,
    channels: productOf(axes),
    spatial: [time],
    shapeOf: (length) => [batch, length, ...axes],
    indexOf: (n, c, [at]) => [n, at, ...unflatten(c, axes)],
    partsOf: ([n, at, ...channel]) => [n, flatten(channel, axes), [at]],
  };
}

export function checkActivation(ctx: NodeContext, activation: string): void {
  if (!['none', '', 'silu', 'swish'].includes(activation)) {
    ctx.fail(`activation "${activation}" is not one of none, silu, swish.`);
  }
}

/** Weight [channels, 1, …taps]; the state holds the (taps − 1) · dilation positions before the first. */
function sizesOf(ctx: CausalNode) {
  const { activation, dilation, ndim, state_window: window } = ctx.attributes;
  checkActivation(ctx, activation);
  if (ndim < 1 || ndim > 3) ctx.fail(`ndim must be 1, 2 or 3, not ${ndim}.`);
  if (window < 0 || window > 8) ctx.fail(`state_window must be within [0, 8], not ${window}.`);
  const layout = layoutOf(ctx);
  const [filters, , ...taps] = expectRank(ctx, weight, 2 + ndim);
  expectEqual(ctx, layout.channels, filters, 'the channels of input and weight');
  const state = taps[taps.length - 1].sub(1).mul(dilation);
  const plain = layout.shapeOf(state);
  const stateShape = window > 0 ? [Dim.constant(window), ...plain] : plain;
  if (ctx.hasInput(pastState)) {
    const given = expectRank(ctx, pastState, stateShape.length);
    stateShape.forEach((size, axis) => {
      expectEqual(ctx, given[axis], size, `axis ${axis} of past_state and what the weight needs`);
    });
  }
  const time = layout.spatial[layout.spatial.length - 1];
  return { layout, time, taps, state, stateShape, window, dilation };
}

/** Element of the input with the state before it: position 0 in time is the oldest entry of the state. */
type History = (n: Expr, c: Expr, place: readonly Expr[]) => Expr;

function historyReader(ctx: LowerContext & CausalNode, x: Source): History {
  const { layout, state, time, window } = sizesOf(ctx);
  const timeAxis = ctx.attributes.channels_last ? 1 : layout.shapeOf(state).length - 1;
  if (!ctx.hasInput(pastState)) {
    return (n, c, place) => {
      const at = sub(place[place.length - 1], dimension(state));
      return ctx.at(x, layout.indexOf(n, c, place.with(-1, at)), { when: ge(at, 0), otherwise: 0 });
    };
  }
  const newest = window > 0 ? [dimension(window - 1)] : [];
  const history = ctx.segments(x.dtype, layout.shapeOf(state.add(time)), timeAxis, [
    { length: state, body: (index) => ctx.at(ctx.input(pastState), [...newest, ...index]) },
    { length: time, body: (index) => ctx.at(x, index) },
  ]);
  return (n, c, place) => ctx.at(history, layout.indexOf(n, c, place));
}

export const CausalConvWithState = defineOperator({
  name: 'CausalConvWithState',
  since: 27,
  attributes: {
    activation: string('none'),
    channels_last: int(0),
    dilation: int(1),
    ndim: int(1),
    state_window: int(0),
  },
  infer(ctx) {
    const dtype = expectSameType(ctx, input, weight, bias, pastState);
    const { layout, time, stateShape } = sizesOf(ctx);
    return [tensorType(dtype, layout.shapeOf(time)), tensorType(dtype, stateShape)];
  },
  lower(ctx) {
    const { layout, time, taps, stateShape, window, dilation } = sizesOf(ctx);
    const [x, w] = [ctx.input(input), ctx.input(weight)];
    const read = historyReader(ctx, x);
    const before = layout.spatial.slice(0, -1);
    const product = ctx.reduce('sum', x.dtype, layout.shapeOf(time), [1, ...taps], (index, [one, ...tap]) => {
      const [n, c, place] = layout.partsOf(index);
      const at = place.map((position, axis) => {
        if (axis === place.length - 1) return add(position, mul(tap[axis], dilation));
        // Other axes are padded on both sides, the surplus at the end.
        return sub(add(position, tap[axis]), dimension(taps[axis].sub(1).floorDiv(2)));
      });
      const value = insideOf(at.slice(0, -1), before, (place) => read(n, add(c, one), [...place, at[at.length - 1]]));
      return mul(value, ctx.at(w, [c, one, ...tap]));
    });
    // Slot j of a window is the state after position time − window + j; slots before the first position hold zeros.
    const present = ctx.map(x.dtype, stateShape, (index) => {
      const [n, c, place] = layout.partsOf(window > 0 ? index.slice(1) : index);
      const last = place[place.length - 1];
      if (window === 0) return read(n, c, place.with(-1, add(last, dimension(time))));
      const after = add(index[0], dimension(time.add(1 - window)));
      const from = add(last, select(ge(after, 0), after, 0));
      return select(ge(after, 1), read(n, c, place.with(-1, from)), 0);
    });
    return [finished(ctx, product, (index) => layout.partsOf(index)[1]), present];
  },
});

/** The value at a place that lies inside the given sizes, else 0. */
function insideOf(place: readonly Expr[], sizes: readonly Dim[], read: (place: readonly Expr[]) => Expr): Expr {
  if (place.length === 0) return read(place);
  const isInside = place.flatMap((at, axis) => [ge(at, 0), lt(at, dimension(sizes[axis]))]);
  const safe = place.map((at, axis) => {
    const inside = select(ge(at, 0), at, 0);
    return select(lt(inside, dimension(sizes[axis])), inside, dimension(0));
  });
  return isInside.reduce((value, condition) => select(condition, value, 0), read(safe));
}

/** Adds the bias and applies x · sigmoid(x), where the node asks for them. */
function finished(
  ctx: LowerContext & { readonly attributes: { readonly activation: string } },
  stage: Stage,
  channelOf: (index: readonly Expr[]) => Expr,
): Stage {
  const { activation } = ctx.attributes;
  const isPlain = activation === 'none' || activation === '';
  if (isPlain && !ctx.hasInput(bias)) return stage;
  return ctx.map(stage.dtype, stage.shape, (index) => {
    const product = ctx.at(stage, index);
    const value = ctx.hasInput(bias) ? add(product, ctx.at(ctx.input(bias), [channelOf(index)])) : product;
    return isPlain ? value : mul(value, sigmoid(value));
  });
}

export const MicrosoftCausalConvWithState = derive(CausalConvWithState, { domain: 'com.microsoft', since: 1 });
