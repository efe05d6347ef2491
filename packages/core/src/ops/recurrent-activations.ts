// Activation functions of the recurrent operators, as plain functions for the host.

import type { NodeContext } from './define.ts';

export type Activation = (x: number) => number;

interface Kind {
  /** Which of alpha and beta it takes, with the defaults of the ONNX operator of its name. */
  readonly alpha?: number;
  readonly beta?: number;
  readonly make: (alpha: number, beta: number) => Activation;
}

export const sigmoid: Activation = (x) => 1 / (1 + Math.exp(-x));

const kinds: Readonly<Record<string, Kind>> = {
  relu: { make: () => (x) => Math.max(x, 0) },
  tanh: { make: () => Math.tanh },
  sigmoid: { make: () => sigmoid },
  softsign: { make: () => (x) => x / (1 + Math.abs(x)) },
  softplus: { make: () => (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))) },
  affine: { alpha: 1, beta: 0, make: (alpha, beta) => (x) => alpha * x + beta },
  leakyrelu: { alpha: 0.01, make: (alpha) => (x) => (x < 0 ? alpha * x : x) },
  thresholdedrelu: { alpha: 1, make: (alpha) => (x) => (x > alpha ? x : 0) },
  scaledtanh: { alpha: 1, beta: 1, make: (alpha, beta) => (x) => alpha * Math.tanh(beta * x) },
  hardsigmoid: {
    alpha: 0.2,
    beta: 0.5,
    make: (alpha, beta) => (x) => Math.min(1, Math.max(0, alpha * x + beta)),
  },
  elu: { alpha: 1, make: (alpha) => (x) => (x < 0 ? alpha * Math.expm1(x) : x) },
};

export interface ActivationAttributes {
  readonly activations: readonly string[] | undefined;
  readonly activation_alpha: readonly number[] | undefined;
  readonly activation_beta: readonly number[] | undefined;
}

/**
 * The functions of all directions, direction by direction. Alphas and betas are consumed in order by the functions that
 * take one.
 * @param fallback functions of one direction when the node names none
 */
export function readActivations(
  ctx: NodeContext,
  attributes: ActivationAttributes,
  fallback: readonly string[],
  directions: number,
): readonly (readonly Activation[])[] {
  const count = fallback.length;
  const given = attributes.activations;
  // A list of one direction's functions holds for both.
  const names = given && given.length >= count ? given : fallback;
  let [alphas, betas] = [0, 0];
  return Array.from({ length: directions }, (_, direction) =>
    Array.from({ length: count }, (_, at) => {
      const name = names[(direction * count + at) % names.length];
      const kind = kinds[name.toLowerCase()] ?? ctx.fail(`the activation "${name}" is not known.`);
      const alpha = kind.alpha === undefined ? 0 : (attributes.activation_alpha?.[alphas++] ?? kind.alpha);
      const beta = kind.beta === undefined ? 0 : (attributes.activation_beta?.[betas++] ?? kind.beta);
      return kind.make(alpha, beta);
    }),
  );
}
