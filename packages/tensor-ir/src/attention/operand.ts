// Operands of an attention: what they are made of, when a kernel in front only moves, converts or scales.

import type { FusedProgram } from '../index.ts';
import { type Expr, type Kernel, type MapStage, rewrite, substituteAxes, type TensorRef } from '../index.ts';
import { throughView } from './view-index.ts';

export type Load = Extract<Expr, { kind: 'load' }>;

/** What a program's tensors are made by and for. */
export class TensorUses {
  readonly #fused: FusedProgram;
  readonly #locals: ReadonlySet<TensorRef>;
  readonly #makers = new Map<TensorRef, Kernel>();
  readonly #readers = new Map<TensorRef, Set<Kernel>>();

  constructor(fused: FusedProgram) {
    this.#fused = fused;
    this.#locals = new Set(fused.locals);
    for (const kernel of fused.kernels) {
      for (const { tensor } of kernel.outputs) this.#makers.set(tensor, kernel);
      for (const param of kernel.params) {
        const root = this.rootOf(param);
        const readers = this.#readers.get(root);
        if (readers) readers.add(kernel);
        else this.#readers.set(root, new Set([kernel]));
      }
    }
  }

  rootOf(tensor: TensorRef): TensorRef {
    let root = tensor;
    for (let below = this.#fused.aliases.get(root); below; below = this.#fused.aliases.get(root)) root = below;
    return root;
  }

  /** The load with views looked through, for tensors in row-major order. */
  rootLoad(load: Load): Load | undefined {
    let { source, index } = load;
    if (source.kind !== 'tensor') return undefined;
    for (let below = this.#fused.aliases.get(source); below; below = this.#fused.aliases.get(source)) {
      if (source.order || below.order) return undefined;
      index = throughView(source.shape, below.shape, index);
      source = below;
    }
    return { ...load, source, index };
  }

  /** The kernel that makes a tensor which nobody but `reader` sees. */
  privateMaker(root: TensorRef, reader: Kernel): Kernel | undefined {
    const maker = this.#makers.get(root);
    if (!maker || !this.#locals.has(root) || maker.outputs.length !== 1) return undefined;
    const readers = this.#readers.get(root)!;
    return readers.size === 1 && readers.has(reader) ? maker : undefined;
  }
}

/** What a load from a private map gives, without the map; undefined when it has to stay. */
function inlineMap(load: Load, uses: TensorUses, reader: Kernel): { value: Expr; maker: Kernel } | undefined {
  if (load.guard) return undefined;
  const below = uses.rootLoad(load);
  const maker = below && uses.privateMaker(below.source as TensorRef, reader);
  const [stage] = maker?.stages ?? [];
  if (!below || maker?.class !== 'pointwise' || stage.kind !== 'map') return undefined;
  return { value: bodyAt(stage, below.index), maker };
}

export function bodyAt(stage: MapStage, index: readonly Expr[]): Expr {
  return substituteAxes(stage.body, new Map(stage.axes.map((axis, at) => [axis, index[at]])));
}

/** scale · load, the load converted to float32. */
export interface ScaledLoad {
  readonly load: Load;
  readonly scale: number;
  /** Maps that became part of it. */
  readonly makers: readonly Kernel[];
}

/** A factor that is an element of a tensor times a number, through private maps that do no more than that. */
export function scaledLoad(factor: Expr, uses: TensorUses, reader: Kernel): ScaledLoad | undefined {
  switch (factor.kind) {
    case 'cast':
      return isFloatCast(factor) ? scaledLoad(factor.x, uses, reader) : undefined;
    case 'binary': {
      const { op, a, b } = factor;
      const number = numberOf(b) ?? (op === 'mul' ? numberOf(a) : undefined);
      if (number === undefined || (op !== 'mul' && op !== 'div')) return undefined;
      const inner = scaledLoad(numberOf(b) === undefined ? b : a, uses, reader);
      return inner && { ...inner, scale: op === 'mul' ? inner.scale * number : inner.scale / number };
    }
    case 'load': {
      const inlined = inlineMap(factor, uses, reader);
      const inner = inlined && scaledLoad(inlined.value, uses, inlined.maker);
      if (inner) return { ...inner, makers: [inlined.maker, ...inner.makers] };
      return factor.source.kind === 'tensor' ? { load: factor, scale: 1, makers: [] } : undefined;
    }
    default:
      return undefined;
  }
}

/** A factor with all private maps in front substituted: for what is read once. */
export function inlinedFactor(factor: Expr, uses: TensorUses, reader: Kernel): { value: Expr; makers: Kernel[] } {
  const makers: Kernel[] = [];
  const value = rewrite(factor, (e) => {
    if (e.kind !== 'load') return undefined;
    const inlined = inlineMap(e, uses, reader);
    if (!inlined) return undefined;
    const inner = inlinedFactor(inlined.value, uses, inlined.maker);
    makers.push(inlined.maker, ...inner.makers);
    return inner.value;
  });
  return { value, makers };
}

function isFloatCast(e: Expr & { kind: 'cast' }): boolean {
  const narrow = new Set(['float16', 'bfloat16', 'float32']);
  return narrow.has(e.type) && narrow.has(e.x.type);
}

function numberOf(e: Expr): number | undefined {
  if (e.kind === 'cast' && isFloatCast(e)) return numberOf(e.x);
  return e.kind === 'const' && typeof e.value === 'number' ? e.value : undefined;
}
