// Products of matrices: MatMul, Gemm, Einsum and the integer ones.

import { isFloat } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { drawBroadcastable, drawSize, drawStretchable } from '../random.ts';
import { epsilonOf, type ValueKind } from '../values.ts';

/** Of factors. Peers leave open what sums with NaN and infinities are. */
export function factorKinds(b: CaseBuilder): readonly ValueKind[] {
  return b.isPeer ? ['small', 'unit', 'normal'] : ['small', 'unit', 'normal', 'small', 'unit', 'normal', 'spiked'];
}

/** Sizes of a product; seldom 0. */
export function drawExtent(b: CaseBuilder, most = 70): number {
  return b.draws.oneIn(40) ? 0 : drawSize(b.draws, most);
}

/** Shapes of two stacks of matrices that can be multiplied, and the length of the sums. */
function drawProduct(b: CaseBuilder): { left: number[]; right: number[]; k: number } {
  const [m, n, k] = [drawExtent(b), drawExtent(b), drawExtent(b, 130)];
  const [, outer, other] = drawBroadcastable(b.draws, 2, { maxRank: 3, budget: 6 });
  const form = b.draws.below(8);
  if (form === 6) return { left: [k], right: [...other, k, n], k };
  if (form === 7) return { left: [...outer, m, k], right: [k], k };
  if (form < 3) return { left: [m, k], right: [k, n], k };
  return { left: [...outer, m, k], right: [...other, k, n], k };
}

/** Sums of integers wrap. */
const wholeKinds: readonly ValueKind[] = ['small', 'unit', 'normal', 'wide', 'special'];

function matmul(b: CaseBuilder): void {
  const dtype = b.dtype();
  const kinds = isFloat(dtype) ? factorKinds(b) : wholeKinds;
  const { left, right, k } = drawProduct(b);
  if (isFloat(dtype)) b.allowSums(k, 2);
  b.output(b.op('MatMul', [b.random(dtype, left, kinds), b.random(dtype, right, kinds)]), dtype);
}

function gemm(b: CaseBuilder): void {
  const dtype = b.dtype();
  const kinds = isFloat(dtype) ? factorKinds(b) : wholeKinds;
  const [m, n, k] = [drawExtent(b), drawExtent(b), drawExtent(b, 130)];
  const [transA, transB] = [b.draws.below(2), b.draws.below(2)];
  const left = transA ? [k, m] : [m, k];
  const right = transB ? [n, k] : [k, n];
  const addend = b.opset < 11 || b.draws.coin() ? drawStretchable(b.draws, [m, n]) : undefined;
  if (isFloat(dtype)) b.allowSums(k + 1, 4);
  const inputs = [
    b.random(dtype, left, kinds),
    b.random(dtype, right, kinds),
    addend && b.random(dtype, addend, kinds),
  ];
  const attributes = {
    alpha: b.draws.maybe(() => float(b.draws.pick([1, 0.5, 2, 0, -1]))),
    beta: b.draws.maybe(() => float(b.draws.pick([1, 0.5, 2, 0, -1]))),
    transA: b.draws.maybe(() => transA) ?? (transA || undefined),
    transB: b.draws.maybe(() => transB) ?? (transB || undefined),
  };
  // Integers times a fraction are left open.
  const isWhole = !isFloat(dtype);
  b.output(b.op('Gemm', inputs, isWhole ? { ...attributes, alpha: undefined, beta: undefined } : attributes), dtype);
}

const equations = [
  'ij,jk->ik',
  'ij->ji',
  'ij->i',
  'ij->',
  'ij,ij->ij',
  'i,j->ij',
  'bij,bjk->bik',
  'bij,bkj->bik',
  'bhid,bhjd->bhij',
  'bihd,bjhd->bhij',
  'ijk,jl->ikl',
  '...ij,...jk->...ik',
  '...i->...',
  'ii->i',
  'ii',
  'iij->j',
  'ij,jk',
  'b...,b...->...',
  'i,i->',
  'ij,jk,kl->il',
  'abc,cd,d->ab',
  '->',
  'a b , b c -> a c',
];

/** Any equation of up to three terms: letters repeated, summed, in any order, an ellipsis of stretched axes. */
function drawEquation(b: CaseBuilder): string {
  const letters = [...'ijkAbz'].slice(0, b.draws.between(1, 6));
  const hasDots = b.draws.oneIn(3);
  const terms = Array.from({ length: b.draws.between(1, 3) }, () => {
    const count = b.draws.below(4);
    const term = Array.from({ length: count }, () => b.draws.pick(letters));
    if (hasDots && b.draws.coin()) term.splice(b.draws.below(count + 1), 0, '...');
    return term;
  });
  const left = terms.map((term) => term.join('')).join(',');
  if (b.draws.oneIn(4)) return left;
  const used = letters.filter((letter) => left.includes(letter));
  const result = b.draws.shuffled(b.draws.some(used));
  if (left.includes('...')) result.splice(b.draws.below(result.length + 1), 0, '...');
  return `${left}${b.draws.oneIn(4) ? ' -> ' : '->'}${result.join('')}`;
}

function einsum(b: CaseBuilder): void {
  const dtype = b.dtype();
  const equation = b.draws.coin() ? drawEquation(b) : b.draws.pick(equations);
  const sizes = new Map<string, number>();
  const sizeOf = (letter: string): number => {
    if (!sizes.has(letter)) sizes.set(letter, drawExtent(b, 9));
    return sizes.get(letter)!;
  };
  const dots = Array.from({ length: b.draws.below(3) }, () => drawSize(b.draws, 4));
  const terms = equation.split('->')[0].split(',');
  const inputs = terms.map((term) => {
    const shape = term
      .trim()
      .split(/(\.\.\.|\s+|)/)
      .filter((part) => part && part.trim() !== '')
      .flatMap((part) => (part === '...' ? drawStretchable(b.draws, dots) : [sizeOf(part)]));
    return b.random(dtype, shape, isFloat(dtype) ? ['small', 'unit', 'normal'] : wholeKinds);
  });
  if (isFloat(dtype)) b.allow({ ulps: 8, spread: 400, absolute: 200 * epsilonOf(dtype) });
  b.output(b.op('Einsum', inputs, { equation }), dtype);
}

function matmulInteger(b: CaseBuilder): void {
  const [leftType, rightType] = [b.dtype('T1'), b.dtype('T2')];
  const { left, right } = drawProduct(b);
  const rows = left.at(-2);
  const columns = right.at(-1)!;
  const zeroKinds: readonly ValueKind[] = ['small', 'wide'];
  const perRow = left.length === 2 && !b.isPeer && b.draws.oneIn(3);
  const leftZero = b.draws.maybe(() => b.random(leftType, perRow ? [rows!] : b.draws.coin() ? [] : [1], zeroKinds));
  const rightZero = b.draws.maybe(() => {
    return b.random(
      rightType,
      right.length >= 2 && b.draws.oneIn(3)
        ? [...right.slice(0, -2).map(() => 1), ...(right.length > 2 ? [1] : []), columns]
        : [],
      zeroKinds,
    );
  });
  const values: readonly ValueKind[] = ['small', 'wide'];
  const inputs = [b.random(leftType, left, values), b.random(rightType, right, values), leftZero, rightZero];
  b.output(b.op('MatMulInteger', inputs), 'int32');
}

function det(b: CaseBuilder): void {
  const dtype = b.dtype();
  const n = b.draws.pick([1, 2, 3, 4, 5, 8]);
  const [outer] = drawBroadcastable(b.draws, 0, { maxRank: 2, budget: 8 });
  b.allow({ ulps: 64, absolute: isFloat(dtype) ? (dtype === 'float16' || dtype === 'bfloat16' ? 4 : 2e-3) : 0 });
  b.output(b.op('Det', [b.random(dtype, [...outer, n, n], ['unit', 'small'])]), dtype);
}

export const products: Family = {
  name: 'matmul',
  cases: { MatMul: matmul, Gemm: gemm, Einsum: einsum, MatMulInteger: matmulInteger, Det: det },
};
