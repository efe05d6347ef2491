// One made-up operator, y = x − tanh(x / scale), described in each of the ways there are. One of them is enough.

import { defineOperator, div, float, type InferContext, sub, Tensor, tanh, tensorType } from '@onnx-ts/core/operators';

const attributes = { scale: float(1) };

function infer(ctx: InferContext<typeof attributes>) {
  if (ctx.dtype(0) !== 'float32') ctx.fail(`the input must be float32, not ${ctx.dtype(0)}.`);
  return [tensorType('float32', ctx.shape(0))];
}

/** As a tensor expression: every provider that generates code gets it, and fuses it with its neighbours. */
export const TanhShrink = defineOperator({
  domain: 'com.example',
  name: 'TanhShrink',
  since: 1,
  attributes,
  infer,
  lower: (ctx) =>
    ctx.map('float32', ctx.outputShape(0), (index) => {
      const x = ctx.at(0, index);
      return sub(x, tanh(div(x, ctx.attributes.scale)));
    }),
});

/** As ONNX nodes: every provider gets it. */
export const TanhShrinkOfNodes = defineOperator({
  domain: 'com.example',
  name: 'TanhShrinkOfNodes',
  since: 1,
  attributes,
  infer,
  expand(ctx) {
    const x = ctx.value(0)!;
    const scaled = ctx.op('Div', [x, ctx.literal('float32', ctx.attributes.scale)]);
    return ctx.op('Sub', [x, ctx.op('Tanh', [scaled])]);
  },
});

/** As a function: it runs on the host. */
export const TanhShrinkOnHost = defineOperator({
  domain: 'com.example',
  name: 'TanhShrinkOnHost',
  since: 1,
  attributes,
  infer,
  evaluate(ctx) {
    const x = ctx.tensor(0);
    const data = (x.data as Float32Array).map((value) => value - Math.tanh(value / ctx.attributes.scale));
    return new Tensor('float32', data, x.dims);
  },
});

/** With no meaning of its own: a provider brings the kernel; see ../custom-provider. */
export const TanhShrinkOfProvider = defineOperator({
  domain: 'com.example',
  name: 'TanhShrinkOfProvider',
  since: 1,
  attributes,
  infer,
  providerOnly: true,
});
