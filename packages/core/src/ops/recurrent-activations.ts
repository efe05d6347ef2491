// Activation functions of the recurrent operators, as expressions.

import {
  abs,
  add,
  constant,
  type DType,
  div,
  type Expr,
  exp,
  gt,
  isFloat,
  lt,
  max,
  min,
  mul,
  neg,
  select,
  sigmoid,
  sub,
  tanh,
  unary,
} from '@onnx-ts/tensor-ir';
import type { NodeContext } from './define.ts';

export type Activation = (x: Expr) => Expr;

/** A function of `x` with parameters in the type of `x`. */
type Formula = (x: Expr, alpha: Expr, beta: Expr) => Expr;

interface Kind {
  /** Which of alpha and beta it takes, with the defaults of the ONNX operator of its name. */
  readonly alpha?: number;
  readonly beta?: number;
  readonly formula: Formula;
}

const kinds: Readonly<Record<string, Kind>> = {
  relu: { formula: (x) => max(x, 0) },
  tanh: { formula: tanh },
  sigmoid: { formula: sigmoid },
  softsign: { formula: (x) => div(x, add(abs(x), 1)) },
  softplus: { formula: (x) => add(max(x, 0), unary('log1p', exp(neg(abs(x))))) },
  affine: { alpha: 1, beta: 0, formula: (x, alpha, beta) => add(mul(alpha, x), beta) },
  leakyrelu: { alpha: 0.01, formula: (x, alpha) => select(lt(x, 0), mul(alpha, x), x) },
  thresholdedrelu: { alpha: 1, formula: (x, alpha) => select(gt(x, alpha), x, 0) },
  scaledtanh: { alpha: 1, beta: 1, formula: (x, alpha, beta) => mul(alpha, tanh(mul(beta, x))) },
  hardsigmoid: { alpha: 0.2, beta: 0.5, formula: (x, alpha, beta) => min(max(add(mul(alpha, x), beta), 0), 1) },
  elu: { alpha: 1, formula: (x, alpha) => select(lt(x, 0), mul(alpha, unary('expm1', x)), x) },
};

export interface ActivationAttributes {
  readonly activations: readonly string[] | undefined;
  readonly activation_alpha: readonly number[] | undefined;
  readonly activation_beta: readonly number[] | undefined;
}

interface Choice {
  readonly name: string;
  readonly alpha: number;
  readonly beta: number;
}

/**
 * The functions of a cell. Alphas and betas are consumed in order by the functions that take one, direction by direction.
 * @param fallback functions of one direction when the node names none
 * @param isBackward true at elements of the second direction
 */
export function readActivations(
  ctx: NodeContext,
  attributes: ActivationAttributes,
  fallback: readonly string[],
  directions: number,
): readonly ((x: Expr, isBackward: Expr) => Expr)[] {
  const count = fallback.length;
  const given = attributes.activations;
  // A list of one direction's functions holds for both.
  const names = given && given.length >= count ? given : fallback;
  let [alphas, betas] = [0, 0];
  const choices = Array.from({ length: directions * count }, (_, at): Choice => {
    const name = names[at % names.length].toLowerCase();
    const kind = kinds[name] ?? ctx.fail(`the activation "${names[at % names.length]}" is not known.`);
    const alpha = kind.alpha === undefined ? 0 : (attributes.activation_alpha?.[alphas++] ?? kind.alpha);
    const beta = kind.beta === undefined ? 0 : (attributes.activation_beta?.[betas++] ?? kind.beta);
    return { name, alpha, beta };
  });
  return fallback.map((_, at) => {
    const [forward, backward] = [choices[at], choices[at + count]];
    const isSame =
      !backward ||
      (forward.name === backward.name && forward.alpha === backward.alpha && forward.beta === backward.beta);
    if (isSame) return (x) => apply(forward, x);
    return (x, isBackward) => select(isBackward, apply(backward, x), apply(forward, x));
  });
}

function apply({ name, alpha, beta }: Choice, x: Expr): Expr {
  const type = x.type as DType;
  const parameter = (value: number): Expr =>
    constant(type, type === 'float64' || !isFloat(type) ? value : Math.fround(value));
  return kinds[name].formula(x, parameter(alpha), parameter(beta));
}

/** x brought into [−clip, clip]. */
export function clipped(x: Expr, clip: number | undefined): Expr {
  return clip === undefined || clip === Infinity ? x : min(max(x, -clip), clip);
}

/** 1 − x */
export const complement = (x: Expr): Expr => sub(constant(x.type, 1), x);
