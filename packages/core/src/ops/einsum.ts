// Einsum: operands are contracted from left to right, two at a time, each pair as one `sum` stage over a product of two
// loads, so that a pair that is a batched matrix product is recognised as one.

import { Dim, type Expr, mul, type Source } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, type LowerContext, type NodeContext, required, string } from './define.ts';
import { expectSameType } from './expect.ts';
import { broadcastIndex } from './lowering.ts';
import { numbers, requireDType } from './pointwise.ts';

/** A label is a letter, or `.0`, `.1`, … for the axes that an ellipsis stands for, counted from the last. */
type Label = string;

interface Equation {
  readonly operands: readonly (readonly Label[])[];
  readonly output: readonly Label[];
  /** Sizes of all labels, broadcast over the operands. */
  readonly sizes: ReadonlyMap<Label, Dim>;
}

function readTerm(ctx: NodeContext, term: string, ellipsisRank: number): Label[] {
  const dots = term.indexOf('...');
  const [before, after] = dots < 0 ? [term, ''] : [term.slice(0, dots), term.slice(dots + 3)];
  if (!/^[A-Za-z]*$/.test(before + after)) {
    ctx.fail(`"${term}" in the equation may hold only letters and one ellipsis.`);
  }
  const ellipsis = dots < 0 ? [] : Array.from({ length: ellipsisRank }, (_, at) => `.${ellipsisRank - 1 - at}`);
  return [...before, ...ellipsis, ...after];
}

/** Labels of the result when the equation names none: the ellipsis, then labels used once in alphabetical order. */
function implicitOutput(operands: readonly (readonly Label[])[]): Label[] {
  const counts = new Map<Label, number>();
  for (const label of operands.flat()) counts.set(label, (counts.get(label) ?? 0) + 1);
  const labels = [...counts.keys()];
  const ellipsis = labels
    .filter((label) => label.startsWith('.'))
    .sort((a, b) => Number(b.slice(1)) - Number(a.slice(1)));
  const letters = labels.filter((label) => !label.startsWith('.') && counts.get(label) === 1).sort();
  return [...ellipsis, ...letters];
}

/** @throws OnnxTsError when the equation is malformed or does not fit the shapes of the inputs */
function readEquation(ctx: NodeContext, text: string): Equation {
  const [left, right, ...rest] = text.replaceAll(/\s/g, '').split('->');
  if (rest.length > 0) ctx.fail(`the equation "${text}" has more than one arrow.`);
  const terms = left.split(',');
  if (terms.length !== ctx.inputCount) {
    ctx.fail(`the equation "${text}" has ${terms.length} terms, but the node has ${ctx.inputCount} inputs.`);
  }
  const sizes = new Map<Label, Dim>();
  let widestEllipsis = 0;
  const operands = terms.map((term, input) => {
    const shape = ctx.shape(input);
    const ellipsisRank = term.includes('...') ? shape.length - (term.length - 3) : 0;
    const labels = readTerm(ctx, term, ellipsisRank);
    if (ellipsisRank < 0 || labels.length !== shape.length) {
      ctx.fail(`the term "${term}" does not fit input ${input}, which has rank ${shape.length}.`);
    }
    widestEllipsis = Math.max(widestEllipsis, ellipsisRank);
    for (const [axis, label] of labels.entries()) {
      const before = sizes.get(label) ?? Dim.constant(1);
      const [a, b] = [before.constant, shape[axis].constant];
      if (a !== undefined && b !== undefined && a !== b && a !== 1 && b !== 1) {
        ctx.fail(`the label "${label}" stands for sizes ${a} and ${b}.`);
      }
      sizes.set(label, before.broadcast(shape[axis]));
    }
    return labels;
  });
  const output = right === undefined ? implicitOutput(operands) : readTerm(ctx, right, widestEllipsis);
  for (const [at, label] of output.entries()) {
    if (!sizes.has(label)) ctx.fail(`the output label "${label}" does not occur in any term.`);
    if (output.indexOf(label) !== at) ctx.fail(`the output label "${label}" occurs twice.`);
  }
  return { operands, output, sizes };
}

interface LabelledSource {
  readonly source: Source;
  /** One for each axis; a repeated label selects a diagonal. */
  readonly labels: readonly Label[];
}

class Contraction {
  readonly #ctx: LowerContext;
  readonly #sizes: ReadonlyMap<Label, Dim>;

  constructor(ctx: LowerContext, sizes: ReadonlyMap<Label, Dim>) {
    this.#ctx = ctx;
    this.#sizes = sizes;
  }

  /** Sums the product of all operands over every label that the output lacks. */
  run(operands: readonly LabelledSource[], output: readonly Label[]): Source {
    const [first, second, ...rest] = operands;
    if (!second) return this.#step([first], output);
    if (rest.length === 0) return this.#pair(first, second, output);
    const wanted = new Set([...output, ...rest.flatMap(({ labels }) => labels)]);
    const labels = [...new Set([...first.labels, ...second.labels])].filter((label) => wanted.has(label));
    return this.run([{ source: this.#pair(first, second, labels), labels }, ...rest], output);
  }

  #pair(a: LabelledSource, b: LabelledSource, output: readonly Label[]): Source {
    return this.#step([this.#sumOwn(a, b, output), this.#sumOwn(b, a, output)], output);
  }

  /** Sums an operand over labels that neither its partner nor the result has, before the product is formed. */
  #sumOwn(operand: LabelledSource, partner: LabelledSource, output: readonly Label[]): LabelledSource {
    const labels = [...new Set(operand.labels)];
    const kept = labels.filter((label) => partner.labels.includes(label) || output.includes(label));
    return kept.length === labels.length ? operand : { source: this.#step([operand], kept), labels: kept };
  }

  #step(operands: readonly LabelledSource[], output: readonly Label[]): Source {
    const ctx = this.#ctx;
    const { dtype } = operands[0].source;
    const summed = [...new Set(operands.flatMap(({ labels }) => labels))].filter((label) => !output.includes(label));
    const sizesOf = (labels: readonly Label[]) => labels.map((label) => this.#sizes.get(label)!);
    const body = (index: readonly Expr[], inner: readonly Expr[]): Expr => {
      const values = operands.map((operand) => this.#load(operand, [...output, ...summed], [...index, ...inner]));
      return values.reduce((product, value) => mul(product, value));
    };
    if (summed.length === 0) return ctx.map(dtype, sizesOf(output), (index) => body(index, []));
    return ctx.reduce('sum', dtype, sizesOf(output), sizesOf(summed), body);
  }

  #load({ source, labels }: LabelledSource, names: readonly Label[], index: readonly Expr[]): Expr {
    const positions = labels.map((label) => index[names.indexOf(label)]);
    const sizes = labels.map((label) => this.#sizes.get(label)!);
    return this.#ctx.at(source, broadcastIndex(source.shape, positions, sizes));
  }
}

export const Einsum = defineOperator({
  name: 'Einsum',
  since: 12,
  attributes: { equation: required(string()) },
  infer(ctx) {
    const others = Array.from({ length: ctx.inputCount - 1 }, (_, at) => at + 1);
    requireDType(ctx, 0, numbers);
    const dtype = expectSameType(ctx, 0, ...others);
    const { operands, output, sizes } = readEquation(ctx, ctx.attributes.equation);
    // The sizes of a label must agree when the model runs, too.
    for (const label of sizes.keys()) {
      ctx.broadcast(
        ...operands.flatMap((labels, input) => {
          return labels.flatMap((other, axis) => (other === label ? [[ctx.shape(input)[axis]]] : []));
        }),
      );
    }
    const shape = output.map((label) => sizes.get(label)!);
    return [tensorType(dtype, shape)];
  },
  lower(ctx) {
    const { operands, output, sizes } = readEquation(ctx, ctx.attributes.equation);
    const sources = operands.map((labels, input) => ({ source: ctx.input(input), labels }));
    return new Contraction(ctx, sizes).run(sources, output);
  },
});
