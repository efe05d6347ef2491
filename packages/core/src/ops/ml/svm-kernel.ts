// Kernels of support vector machines, and class probabilities from those of pairs of classes.

import { type AttributesOf, floats, type NodeContext, string } from '../define.ts';

export const kernelAttributes = {
  coefficients: floats(),
  kernel_params: floats(),
  kernel_type: string('LINEAR'),
  post_transform: string('NONE'),
  rho: floats(),
  support_vectors: floats(),
};

/** Likeness of the features from `start` on in `rows` and a vector from `other` on. */
export type Kernel = (rows: ArrayLike<number>, start: number, vectors: Float64Array, other: number) => number;

const kernelTypes = ['LINEAR', 'POLY', 'RBF', 'SIGMOID'];

/** `kernel_params` are gamma, coef0 and degree. Without support vectors the kernel is linear. */
export function readKernel(
  context: NodeContext,
  { kernel_type: type, kernel_params: [gamma = 0, coef0 = 0, degree = 0] = [] }: AttributesOf<typeof kernelAttributes>,
  width: number,
): Kernel {
  const dot: Kernel = (rows, start, vectors, other) => {
    let sum = 0;
    for (let at = 0; at < width; at++) sum += rows[start + at] * vectors[other + at];
    return sum;
  };
  switch (type) {
    case 'LINEAR':
      return dot;
    case 'POLY':
      return (...vectors) => (gamma * dot(...vectors) + coef0) ** degree;
    case 'SIGMOID':
      return (...vectors) => Math.tanh(gamma * dot(...vectors) + coef0);
    case 'RBF':
      return (rows, start, vectors, other) => {
        let sum = 0;
        for (let at = 0; at < width; at++) sum += (rows[start + at] - vectors[other + at]) ** 2;
        return Math.exp(-gamma * sum);
      };
    default:
      return context.fail(`kernel_type "${type}" is not one of ${kernelTypes.join(', ')}.`);
  }
}

/**
 * Probabilities p of classes from those of pairs, r[i, j] being that of class i given that it is i or j: the second method
 * of T.-F. Wu, C.-J. Lin and R. C. Weng, "Probability Estimates for Multi-class Classification by Pairwise Coupling"
 * (2004), with the stopping rule of libsvm.
 */
export function couplePairs(classes: number, r: Float64Array): Float64Array {
  const p = new Float64Array(classes).fill(1 / classes);
  const q = new Float64Array(classes * classes);
  for (let i = 0; i < classes; i++) {
    for (let j = 0; j < classes; j++) {
      if (i === j) continue;
      q[i * classes + i] += r[j * classes + i] ** 2;
      q[i * classes + j] = -r[j * classes + i] * r[i * classes + j];
    }
  }
  const qp = new Float64Array(classes);
  const tolerance = 0.005 / classes;
  for (let round = 0; round < Math.max(100, classes); round++) {
    let total = 0;
    for (let i = 0; i < classes; i++) {
      qp[i] = 0;
      for (let j = 0; j < classes; j++) qp[i] += q[i * classes + j] * p[j];
      total += p[i] * qp[i];
    }
    if (qp.every((value) => Math.abs(value - total) < tolerance)) break;
    for (let i = 0; i < classes; i++) {
      const step = (total - qp[i]) / q[i * classes + i];
      p[i] += step;
      total = (total + step * (step * q[i * classes + i] + 2 * qp[i])) / (1 + step) ** 2;
      for (let j = 0; j < classes; j++) {
        qp[j] = (qp[j] + step * q[i * classes + j]) / (1 + step);
        p[j] /= 1 + step;
      }
    }
  }
  return p;
}
