// CausalConvWithState: a depthwise convolution over time that sees the past only, with the last inputs as its state. Used
// by language models with linear attention.

import {
  add,
  type Dim,
  dimension,
  type Expr,
  ge,
  mul,
  type Source,
  type Stage,
  sigmoid,
  sub,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { addChannelBias } from './conv.ts';
import { defineOperator, derive, int, type LowerContext, type NodeContext, string } from './define.ts';
import { expectEqual, expectRank, expectSameType } from './expect.ts';

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

/** Input [batch, channels, time], weight [channels, 1, taps], state [batch, channels, (taps − 1) · dilation]. */
function sizesOf(ctx: CausalNode) {
  const { activation, channels_last, dilation, ndim, state_window } = ctx.attributes;
  if (!['none', '', 'silu', 'swish'].includes(activation)) {
    ctx.fail(`activation "${activation}" is not one of none, silu, swish.`);
  }
  if (ndim !== 1 || channels_last || state_window) {
    ctx.fail('only one time axis, channels first and a plain state are supported.');
  }
  const [batch, channels, time] = expectRank(ctx, input, 3);
  const [filters, , taps] = expectRank(ctx, weight, 3);
  expectEqual(ctx, channels, filters, 'the channels of input and weight');
  const state = taps.sub(1).mul(dilation);
  if (ctx.hasInput(pastState)) {
    expectEqual(ctx, expectRank(ctx, pastState, 3)[2], state, 'the length of past_state and what the weight needs');
  }
  return { batch, channels, time, taps, state, dilation };
}

/** Element of the input with the state before it: position 0 is the oldest entry of the state. */
function historyReader(ctx: LowerContext, x: Source, state: Dim): (n: Expr, c: Expr, at: Expr) => Expr {
  if (!ctx.hasInput(pastState)) {
    return (n, c, at) => {
      const time = sub(at, dimension(state));
      return ctx.at(x, [n, c, time], { when: ge(time, 0), otherwise: 0 });
    };
  }
  const [batch, channels, time] = x.shape;
  const history = ctx.segments(x.dtype, [batch, channels, state.add(time)], 2, [
    { length: state, body: (index) => ctx.at(ctx.input(pastState), index) },
    { length: time, body: (index) => ctx.at(x, index) },
  ]);
  return (n, c, at) => ctx.at(history, [n, c, at]);
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
    const { batch, channels, time, state } = sizesOf(ctx);
    return [tensorType(dtype, [batch, channels, time]), tensorType(dtype, [batch, channels, state])];
  },
  lower(ctx) {
    const { batch, channels, time, taps, state, dilation } = sizesOf(ctx);
    const [x, w] = [ctx.input(input), ctx.input(weight)];
    const read = historyReader(ctx, x, state);
    const product = ctx.reduce('sum', x.dtype, [batch, channels, time], [1, taps], ([n, c, t], [one, k]) =>
      mul(read(n, add(c, one), add(t, mul(k, dilation))), ctx.at(w, [c, one, k])),
    );
    const present = ctx.map(x.dtype, [batch, channels, state], ([n, c, s]) => read(n, c, add(s, dimension(time))));
    return [activated(ctx, addChannelBias(ctx, product, bias)), present];
  },
});

/** x · sigmoid(x), or x. */
function activated(ctx: LowerContext & CausalNode, stage: Stage): Stage {
  const { activation } = ctx.attributes;
  if (activation === 'none' || activation === '') return stage;
  return ctx.map(stage.dtype, stage.shape, (index) => {
    const value = ctx.at(stage, index);
    return mul(value, sigmoid(value));
  });
}

export const MicrosoftCausalConvWithState = derive(CausalConvWithState, { domain: 'com.microsoft', since: 1 });
