// How the derivative of an operator is described: as a composite operator of a domain of its own, under the name of the
// operator it belongs to. The pass `differentiate` writes such nodes; they expand to ordinary ones, so that derivatives of
// derivatives need nothing more.
//
// Inputs of a rule's node: the operator's inputs, its outputs, then the gradients of these outputs. Outputs: a gradient for
// each of the operator's inputs.

import { constant, isFloat } from '@onnx-ts/tensor-ir';
import type { Value } from '../../graph/graph.ts';
import {
  type AttributeSpecs,
  type AttributesOf,
  defineOperator,
  type ExpandContext,
  int,
  type OperatorDefinition,
  required,
} from '../define.ts';
import { likeInput } from '../pointwise.ts';

export const gradientDomain = 'onnx-ts.gradient';

/** Attributes that tell where in the inputs of a rule's node what is. */
const counts = { forward_inputs: required(int()), forward_outputs: required(int()) };

/** A node under construction, with short names for what derivatives are made of. */
export class Derivation<S = AttributeSpecs> {
  readonly ctx: ExpandContext<S>;
  readonly #inputs: number;
  readonly #outputs: number;

  constructor(ctx: ExpandContext<S>) {
    const { forward_inputs, forward_outputs } = ctx.attributes as AttributesOf<typeof counts>;
    this.ctx = ctx;
    this.#inputs = forward_inputs;
    this.#outputs = forward_outputs;
  }

  get inputCount(): number {
    return this.#inputs;
  }

  get outputCount(): number {
    return this.#outputs;
  }

  /** Input of the operator. */
  x(at = 0): Value {
    return this.ctx.value(at) ?? this.ctx.fail(`input ${at} is missing.`);
  }

  hasInput(at: number): boolean {
    return at < this.#inputs && this.ctx.hasInput(at);
  }

  /** Output of the operator. */
  y(at = 0): Value {
    return this.ctx.value(this.#inputs + at) ?? this.ctx.fail(`output ${at} of the operator is missing.`);
  }

  /** Gradient of an output; undefined when nothing depends on it. */
  gradient(at: number): Value | undefined {
    return this.ctx.value(this.#inputs + this.#outputs + at);
  }

  /** Gradient of the operator's only differentiable output. */
  get g(): Value {
    return this.gradient(0) ?? this.ctx.fail('its output has no gradient.');
  }

  /** Attributes of the operator itself, to hand on. */
  get forwardAttributes() {
    return Object.fromEntries([...this.ctx.node.attributes].filter(([name]) => !(name in counts)));
  }

  op(name: string, ...inputs: readonly (Value | undefined)[]): Value {
    return this.ctx.op(name, inputs);
  }

  add(a: Value, b: Value): Value {
    return this.op('Add', a, b);
  }

  sub(a: Value, b: Value): Value {
    return this.op('Sub', a, b);
  }

  mul(a: Value, b: Value): Value {
    return this.op('Mul', a, b);
  }

  div(a: Value, b: Value): Value {
    return this.op('Div', a, b);
  }

  /** A number of the type of another value. */
  number(value: number, like: Value): Value {
    return this.ctx.literal(this.ctx.typeOf(like).dtype, value);
  }

  shapeOf(value: Value): Value {
    return this.op('Shape', value);
  }

  /** The elements in the shape of another value. */
  reshapeLike(value: Value, like: Value): Value {
    return this.op('Reshape', value, this.shapeOf(like));
  }

  /** Sums over the axes along which `like` was broadcast to the shape of `value`. */
  sumLike(value: Value, like: Value): Value {
    return this.ctx.op('SumLike', [value, like], {}, { domain: gradientDomain });
  }

  zerosLike(like: Value): Value {
    return this.ctx.op('ZerosLike', [like], {}, { domain: gradientDomain });
  }
}

/**
 * The derivative of an operator of ai.onnx.
 * @param gradients a gradient for each input; undefined stands for 0, also where the input is no number
 */
export function rule<const S extends AttributeSpecs>(
  name: string,
  attributes: S,
  gradients: (derivation: Derivation<S & typeof counts>) => Value | readonly (Value | undefined)[],
): OperatorDefinition {
  return defineOperator<S & typeof counts>({
    domain: gradientDomain,
    name,
    since: 1,
    attributes: { ...attributes, ...counts } as S & typeof counts,
    infer(ctx) {
      const { forward_inputs } = ctx.attributes as AttributesOf<typeof counts>;
      return Array.from({ length: forward_inputs }, (_, at) =>
        ctx.hasOutput(at) && ctx.hasInput(at) ? likeInput(ctx, at) : undefined,
      );
    },
    expand(ctx) {
      const derivation = new Derivation(ctx);
      const result = gradients(derivation);
      const given = Array.isArray(result) ? (result as readonly (Value | undefined)[]) : [result as Value];
      return Array.from({ length: derivation.inputCount }, (_, at) => {
        if (!ctx.hasOutput(at)) return undefined;
        return given[at] ?? derivation.zerosLike(derivation.x(at));
      });
    },
  });
}

/** A tensor of one number with the type and shape of another. */
function filledLike(name: string, value: number): OperatorDefinition {
  return defineOperator({
    domain: gradientDomain,
    name,
    since: 1,
    infer: (ctx) => [likeInput(ctx, 0)],
    lower: (ctx) => ctx.map(ctx.dtype(0), ctx.outputShape(0), () => constant(ctx.dtype(0), value)),
  });
}

export const ZerosLike = filledLike('ZerosLike', 0);
export const OnesLike = filledLike('OnesLike', 1);

/** See `Derivation.sumLike`. Axes whose sizes may differ are those where the second shape has a 1, or none. */
export const SumLike = defineOperator({
  domain: gradientDomain,
  name: 'SumLike',
  since: 1,
  infer(ctx) {
    if (!isFloat(ctx.dtype(0))) ctx.fail('gradients must be of a floating-point type.');
    return [likeInput(ctx, 1, ctx.dtype(0))];
  },
  expand(ctx) {
    const [from, to] = [ctx.shape(0), ctx.shape(1)];
    const missing = from.length - to.length;
    const axes = from.flatMap((size, axis) => {
      const target = to[axis - missing];
      return axis < missing || (target.is(1) && !size.is(1)) ? [axis] : [];
    });
    const value = ctx.value(0)!;
    if (axes.length === 0) return ctx.op('Identity', [value]);
    const summed = ctx.op('ReduceSum', [value, ctx.literal('int64', axes)], { keepdims: 1 });
    if (missing === 0) return summed;
    return ctx.op('Squeeze', [
      summed,
      ctx.literal(
        'int64',
        axes.filter((axis) => axis < missing),
      ),
    ]);
  },
});
