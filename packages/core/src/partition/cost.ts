// How much work tensor expressions are: arithmetic and memory traffic, as dims, so that one count serves all sizes.

import {
  bitsOf,
  bodiesOf,
  childrenOf,
  Dim,
  type DimBinding,
  type DType,
  type Expr,
  fuseProgram,
  type Kernel,
  type Program,
  productOf,
  type Source,
  type Stage,
} from '@onnx-ts/tensor-ir';
import type { DeviceProfile } from '../provider/contract.ts';

export interface Work {
  /** Bytes read from memory and written to it, each element once however often it is used. */
  readonly reads: Dim;
  readonly writes: Dim;
  /**
   * Simple operations on elements, a multiplication with its addition counting as two; a function such as `exp` counts as
   * the operations of a usual vector approximation. Arithmetic on indices is free.
   */
  readonly arithmetic: Dim;
}

const zero = Dim.constant(0);

export const noWork: Work = { reads: zero, writes: zero, arithmetic: zero };

/** Operations of functions; everything else is one. */
const operations: Readonly<Record<string, number>> = {
  ...Object.fromEntries(
    ['exp', 'expm1', 'log', 'log1p', 'sin', 'cos', 'tan', 'asin', 'acos', 'atan'].map((op) => [op, 10]),
  ),
  ...Object.fromEntries(['sinh', 'cosh', 'tanh', 'asinh', 'acosh', 'atanh', 'erf', 'sigmoid'].map((op) => [op, 16])),
  pow: 24,
  sqrt: 4,
  div: 4,
  mod: 4,
  rem: 4,
};

/** Work of one stage that reads its sources from memory and leaves its result there. */
export function workOfStage(stage: Stage): Work {
  if (stage.kind === 'view') return noWork;
  const reads = new Map<Source, Dim>();
  countReads(stage, reads);
  return {
    reads: bytesRead(reads),
    writes: bytesOf(stage.dtype, productOf(stage.shape)),
    arithmetic: arithmeticOf(stage),
  };
}

/** Work of stages that run together: what they pass to each other costs no traffic. */
export function workOfKernel(kernel: Kernel): Work {
  const reads = new Map<Source, Dim>();
  let arithmetic = zero;
  for (const stage of kernel.stages) {
    countReads(stage, reads);
    arithmetic = arithmetic.add(arithmeticOf(stage));
  }
  for (const stage of kernel.stages) reads.delete(stage);
  const writes = kernel.outputs.map(({ tensor }) => bytesOf(tensor.dtype, productOf(tensor.shape)));
  return { reads: bytesRead(reads), writes: sumOf(writes), arithmetic };
}

/** Work of a program as fusion would cut it, without what weights alone determine. */
export function workOfProgram(program: Program): Work & { readonly kernels: number } {
  const works = fuseProgram(program)
    .kernels.filter((kernel) => !isConstantKernel(kernel))
    .map(workOfKernel);
  return {
    reads: sumOf(works.map((work) => work.reads)),
    writes: sumOf(works.map((work) => work.writes)),
    arithmetic: sumOf(works.map((work) => work.arithmetic)),
    kernels: works.length,
  };
}

/** Whether it depends on weights alone: it runs once, when they are loaded. */
export function isConstantKernel({ params, outputs }: Kernel): boolean {
  return outputs.every(({ tensor }) => tensor.isConstant) && params.every((param) => param.isConstant);
}

/**
 * Seconds that a device of that profile takes: the longer of computing and moving, after so many launches.
 * @throws RangeError when a size is not bound
 */
export function secondsOf(work: Work, launches: number, profile: DeviceProfile, dims: DimBinding): number {
  const compute = work.arithmetic.evaluate(dims) / profile.flops;
  const traffic = work.reads.add(work.writes).evaluate(dims) / profile.bandwidth;
  return launches * profile.launch + Math.max(compute, traffic);
}

function sumOf(dims: readonly Dim[]): Dim {
  return dims.reduce((sum, dim) => sum.add(dim), zero);
}

function bytesOf(dtype: DType, count: Dim): Dim {
  return count.mul(bitsOf(dtype)).ceilDiv(8);
}

/** No element is read from memory twice; an index map may read fewer than there are. */
function bytesRead(accesses: ReadonlyMap<Source, Dim>): Dim {
  return sumOf([...accesses].map(([source, count]) => bytesOf(source.dtype, productOf(source.shape).min(count))));
}

/** Adds the loads of a stage: how many elements of each source it asks for. */
function countReads(stage: Stage, into: Map<Source, Dim>): void {
  for (const { axes, body } of bodiesOf(stage)) {
    const points = productOf(axes.map((axis) => axis.size));
    const seen = new Set<Expr>();
    const visit = (e: Expr): void => {
      if (seen.has(e)) return;
      seen.add(e);
      if (e.kind === 'load') into.set(e.source, (into.get(e.source) ?? zero).add(points));
      childrenOf(e).forEach(visit);
    };
    visit(body);
  }
  if (stage.kind === 'recurrence') for (const own of [stage.state, ...stage.inner]) into.delete(own);
}

function arithmeticOf(stage: Stage): Dim {
  const isFold =
    stage.kind === 'reduce' || stage.kind === 'scan' || (stage.kind === 'scatter' && stage.combine !== 'set');
  const folded = isFold
    ? [stage.body]
    : stage.kind === 'recurrence'
      ? stage.inner.filter(({ kind }) => kind === 'reduce').map(({ body }) => body)
      : [];
  const parts = bodiesOf(stage).map(({ axes, body }) => {
    const perPoint = operationsOf(body) + (folded.includes(body) ? 1 : 0);
    return perPoint === 0 ? zero : productOf(axes.map((axis) => axis.size)).mul(perPoint);
  });
  return sumOf(parts);
}

/** Operations to evaluate an expression once. Indices and guards are free. */
function operationsOf(root: Expr): number {
  let count = 0;
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e) || e.type === 'index') return;
    seen.add(e);
    if (e.kind === 'load') {
      if (e.fill) visit(e.fill);
      return;
    }
    if (e.kind === 'compare' && e.a.type === 'index') return;
    if (e.kind === 'unary' || e.kind === 'binary') count += operations[e.op] ?? 1;
    else if (e.kind === 'compare' || e.kind === 'select' || e.kind === 'test' || e.kind === 'cast') count++;
    childrenOf(e).forEach(visit);
  };
  visit(root);
  return count;
}
