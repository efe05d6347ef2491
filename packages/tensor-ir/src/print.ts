// Text of level 2: for people and snapshots (names as given, made unique), and as the canonical key by which equal
// kernels are found.

import { Dim } from './dim.ts';
import type { ExprType } from './dtype.ts';
import type { Axis, Expr } from './expr.ts';
import type { Kernel } from './kernel.ts';
import { type Naming, printExprs } from './print-expr.ts';
import type { Program, RecurrenceStage, Source, Stage } from './stage.ts';
import type { TensorRef } from './tensor-ref.ts';

/** An expression alone, with definitions of shared parts in front. */
export function printExpr(e: Expr): string {
  const { texts, definitions } = printExprs([e], new GivenNames());
  return [...definitions, ...texts].join('; ');
}

/** A stage such as `power[i, j] float32[rows, 64] = exp(x[i, j] - peak[i])`. */
export function printStage(stage: Stage): string {
  return stageLines(stage, new GivenNames()).join('\n');
}

export function printProgram(program: Program): string {
  const names = new GivenNames();
  const lines = ['program', ...program.inputs.map((input) => `  input ${tensorText(input, names)}`)];
  for (const stage of program.stages) lines.push(...stageLines(stage, names).map(indent));
  for (const { tensor, source } of program.outputs) {
    lines.push(`  output ${tensorText(tensor, names)} = ${names.source(source)}`);
  }
  return lines.join('\n');
}

export function printKernel(kernel: Kernel): string {
  return kernelLines(kernel, `kernel ${kernel.name}`, new GivenNames()).join('\n');
}

export interface CanonicalKernel {
  /** Equal exactly for kernels that compute the same by structure: names, ids and origins do not matter. */
  readonly key: string;
  /** The kernel's symbols in the order in which the key numbers them. */
  readonly symbols: readonly string[];
}

/**
 * The kernel's text with tensors, stages, axes and symbols renumbered in order of appearance. One compiled kernel serves
 * all kernels of equal key: bind its n-th symbol to what the n-th of `symbols` is worth.
 */
export function canonicalKernel(kernel: Kernel): CanonicalKernel {
  const names = new NumberedNames();
  const key = kernelLines(kernel, 'kernel', names).join('\n');
  return { key, symbols: names.symbols };
}

export interface KernelPattern {
  /** Equal for kernels that are equal but for the values of their numbers. */
  readonly key: string;
  /** Values of those numbers in the order in which the key names them, each once. */
  readonly numbers: readonly number[];
}

/** Like `canonicalKernel`, with names for the float32 constants that `isFree` accepts. */
export function kernelPattern(kernel: Kernel, isFree: (value: number) => boolean): KernelPattern {
  const names = new NumberedNames(isFree);
  const key = kernelLines(kernel, 'kernel', names).join('\n');
  return { key, numbers: names.numbers };
}

/** The key of `canonicalKernel`. */
export function kernelKey(kernel: Kernel): string {
  return canonicalKernel(kernel).key;
}

interface StageNaming extends Naming {
  /** Forgets axis names: they hold within one stage. */
  startStage(): void;
}

/** Names as given; the second of a name is `name.2`. */
class GivenNames implements StageNaming {
  readonly typedConstants = false;
  readonly #sources = new Map<Source, string>();
  readonly #taken = new Map<string, number>();
  #axes = new Map<Axis, string>();
  #axesTaken = new Map<string, number>();

  startStage(): void {
    this.#axes = new Map();
    this.#axesTaken = new Map();
  }

  axis(axis: Axis): string {
    return nameFor(axis, axis.name, this.#axes, this.#axesTaken);
  }

  source(source: Source): string {
    return nameFor(source, source.name || source.kind, this.#sources, this.#taken);
  }

  dim(dim: Dim): Dim {
    return dim;
  }
}

function nameFor<T>(item: T, wanted: string, names: Map<T, string>, taken: Map<string, number>): string {
  let name = names.get(item);
  if (name === undefined) {
    const count = (taken.get(wanted) ?? 0) + 1;
    taken.set(wanted, count);
    name = count === 1 ? wanted : `${wanted}.${count}`;
    names.set(item, name);
  }
  return name;
}

class NumberedNames implements StageNaming {
  readonly typedConstants = true;
  readonly #sources = new Map<Source, string>();
  readonly #symbols = new Map<string, Dim>();
  readonly #dims = new Map<string, Dim>();
  readonly #numbers = new Map<number, string>();
  readonly #isFree: (value: number) => boolean;
  #axes = new Map<Axis, string>();

  constructor(isFree: (value: number) => boolean = () => false) {
    this.#isFree = isFree;
  }

  get numbers(): readonly number[] {
    return [...this.#numbers.keys()];
  }

  constant(type: ExprType, value: number | bigint): string | undefined {
    if (type !== 'float32' || typeof value !== 'number' || !this.#isFree(value)) return undefined;
    return numbered(value, 'n', this.#numbers);
  }

  get symbols(): readonly string[] {
    return [...this.#symbols.keys()];
  }

  startStage(): void {
    this.#axes = new Map();
  }

  axis(axis: Axis): string {
    return numbered(axis, 'a', this.#axes);
  }

  source(source: Source): string {
    return numbered(source, source.kind === 'tensor' ? 't' : 's', this.#sources);
  }

  dim(dim: Dim): Dim {
    if (dim.constant !== undefined) return dim;
    const known = this.#dims.get(dim.key);
    if (known) return known;
    for (const name of dim.symbols()) {
      if (!this.#symbols.has(name)) this.#symbols.set(name, Dim.symbol(`d${this.#symbols.size}`));
    }
    const renamed = dim.substitute(this.#symbols);
    this.#dims.set(dim.key, renamed);
    return renamed;
  }
}

function numbered<T>(item: T, prefix: string, names: Map<T, string>): string {
  let name = names.get(item);
  if (name === undefined) {
    name = `${prefix}${names.size}`;
    names.set(item, name);
  }
  return name;
}

const indent = (line: string): string => `  ${line}`;

function typeText(of: { readonly dtype: string; readonly shape: readonly Dim[] }, names: Naming): string {
  return `${of.dtype}[${of.shape.map((dim) => names.dim(dim)).join(', ')}]`;
}

function tensorText(tensor: TensorRef, names: Naming): string {
  const order = tensor.order ? ` order ${tensor.order.join(' ')}` : '';
  const room = tensor.room ? ` in [${tensor.room.map((dim) => names.dim(dim)).join(', ')}]` : '';
  return `${names.source(tensor)} ${typeText(tensor, names)}${order}${room}${tensor.isConstant ? ' constant' : ''}`;
}

function kernelLines(kernel: Kernel, title: string, names: StageNaming): string[] {
  const lines = [`${title} ${kernel.class}${kernel.rowRank > 0 ? ` rows ${kernel.rowRank}` : ''}`];
  for (const param of kernel.params) lines.push(`  param ${tensorText(param, names)}`);
  for (const stage of kernel.stages) lines.push(...stageLines(stage, names).map(indent));
  for (const { stage, tensor } of kernel.outputs) {
    lines.push(`  output ${tensorText(tensor, names)} = ${names.source(stage)}`);
  }
  return lines;
}

/** Axes with their sizes. Where sizes follow from the shape, people do without them. */
function axesText(axes: readonly Axis[], names: Naming, shape?: readonly Dim[]): string {
  return axes
    .map((axis, at) => {
      const isPlain = !names.typedConstants && shape?.[at]?.equals(axis.size);
      return isPlain ? names.axis(axis) : `${names.axis(axis)} < ${names.dim(axis.size)}`;
    })
    .join(', ');
}

function stageLines(stage: Stage, names: StageNaming): string[] {
  names.startStage();
  const name = names.source(stage);
  const type = typeText(stage, names);
  switch (stage.kind) {
    case 'map': {
      const axes = axesText(stage.axes, names, stage.shape);
      return withDefinitions([stage.body], names, ([body]) => [`${name}[${axes}] ${type} = ${body}`]);
    }
    case 'reduce': {
      const axes = axesText(stage.axes, names, stage.shape);
      const over = axesText(stage.over, names);
      const op = stage.op + (stage.selectLast ? ' (last)' : '');
      return withDefinitions([stage.body], names, ([body]) => [
        `${name}[${axes}] ${type} = ${op} over ${over}: ${body}`,
      ]);
    }
    case 'scan': {
      const axes = axesText(stage.axes, names, stage.shape);
      const along = stage.axes[stage.along] ? names.axis(stage.axes[stage.along]) : stage.along;
      const how = (stage.exclusive ? ' exclusive' : '') + (stage.reverse ? ' reverse' : '');
      return withDefinitions([stage.body], names, ([body]) => [
        `${name}[${axes}] ${type} = running ${stage.op}${how} along ${along}: ${body}`,
      ]);
    }
    case 'segments':
      return [
        `${name} ${type} = segments along ${stage.along}${stage.begin ? ` from ${names.dim(stage.begin)}` : ''}`,
        ...stage.segments.flatMap((segment) => {
          names.startStage();
          const axes = axesText(segment.axes, names, stage.shape);
          const lines = withDefinitions([segment.body], names, ([body]) => [
            `at ${names.dim(segment.offset)} [${axes}] = ${body}`,
          ]);
          return lines.map(indent);
        }),
      ];
    case 'scatter': {
      const initialAxes = axesText(stage.initialAxes, names, stage.shape);
      const initial = withDefinitions([stage.initial], names, ([body]) => [`[${initialAxes}] = ${body}`]);
      names.startStage();
      const axes = axesText(stage.axes, names);
      const roots = [...stage.destination, stage.body, ...(stage.guard ? [stage.guard] : [])];
      const updates = withDefinitions(roots, names, (texts) => {
        const rank = stage.destination.length;
        const guard = stage.guard ? ` when ${texts[rank + 1]}` : '';
        return [`${stage.combine} over ${axes}: [${texts.slice(0, rank).join(', ')}] = ${texts[rank]}${guard}`];
      });
      const kept = stage.kept ? ` along ${stage.kept.along} from ${names.dim(stage.kept.length)}` : '';
      return [`${name} ${type} = scatter${kept}`, ...[...initial, ...updates].map(indent)];
    }
    case 'recurrence':
      return [
        `${name} ${type} = recurrence of ${tensorText(stage.state, names)} over ${axesText([stage.step], names)}`,
        ...partLines(stage, 'initial', names),
        ...stage.inner.flatMap((inner) => stageLines(inner, names)).map(indent),
        ...partLines(stage, 'next', names),
      ];
    case 'view':
      return [`${name} ${type} = view ${names.source(stage.source)}`];
  }
}

function partLines(stage: RecurrenceStage, which: 'initial' | 'next', names: StageNaming): string[] {
  return stage.parts.flatMap((part, at) => {
    names.startStage();
    const axes = axesText(part.axes, names, stage.shape.slice(2));
    const lines = withDefinitions([part[which]], names, ([body]) => [`${which} ${at} [${axes}] = ${body}`]);
    return lines.map(indent);
  });
}

function withDefinitions(
  roots: readonly Expr[],
  names: Naming,
  lines: (texts: readonly string[]) => string[],
): string[] {
  const { texts, definitions } = printExprs(roots, names);
  return [...lines(texts), ...definitions.map((definition) => `  where ${definition}`)];
}
