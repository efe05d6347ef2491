// Emits expressions as WGSL statements. Each distinct node becomes one `let`, in the innermost scope that its first use is
// in; an inner scope sees what outer ones have computed, and what it computes itself is gone after it.

import {
  type Axis,
  bitsOf,
  type Dim,
  type DType,
  dimension,
  type Expr,
  isFloat,
  type Load,
  type Stage,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { isShared, isWide, registerTypeOf } from './register-type.ts';
import {
  binaryText,
  bitcastText,
  castText,
  compareText,
  fromBits,
  literalText,
  testText,
  toBits,
  unaryText,
} from './scalar.ts';
import { bitPosition, type Shader } from './shader.ts';

/** How a kernel gives the elements of stages that are computed inside it. */
export type StageReader = (load: Load & { readonly source: Stage }, scope: Scope) => string;

/** Where a kernel's loads go that are not plain reads of a tensor. */
export interface Readers {
  readonly stage: StageReader;
  /** For tensors that stand for something else; undefined means a plain read. */
  readonly tensor?: (load: Load & { readonly source: TensorRef }, scope: Scope) => string | undefined;
}

export class Scope {
  readonly shader: Shader;
  readonly lines: string[];
  readonly #parent: Scope | undefined;
  readonly #values = new Map<Expr, string>();
  readonly #axes = new Map<Axis, string>();
  readonly #readers: Readers;
  readonly #indent: string;
  /** What errors in here belong to, unless the expression itself says so. */
  origin: unknown;

  constructor(shader: Shader, readers: Readers, parent?: Scope) {
    this.shader = shader;
    this.#readers = readers;
    this.#parent = parent;
    this.lines = parent ? parent.lines : [];
    this.#indent = parent ? `${parent.#indent}  ` : '';
    this.origin = parent?.origin;
  }

  line(text: string): void {
    this.lines.push(this.#indent + text);
  }

  /** Emits a block whose values do not outlive it. */
  block(head: string, body: (inner: Scope) => void): void {
    this.line(`${head} {`);
    body(new Scope(this.shader, this.#readers, this));
    this.line('}');
  }

  bindAxis(axis: Axis, text: string): void {
    this.#axes.set(axis, text);
  }

  axis(axis: Axis): string {
    const text = this.#axes.get(axis) ?? this.#parent?.axis(axis);
    if (text === undefined) throw new TypeError(`the axis ${axis.name} has no value here`);
    return text;
  }

  /** Names a value. */
  define(type: string, text: string): string {
    if (/^[a-z]\w*$/.test(text)) return text;
    const name = this.shader.fresh('v');
    this.line(`let ${name}: ${type} = ${text};`);
    return name;
  }

  #known(e: Expr): string | undefined {
    const here = this.#values.get(e);
    return here !== undefined || !this.#parent ? here : this.#parent.#known(e);
  }

  /** The text of an expression's value: a literal or a name. */
  value(e: Expr): string {
    switch (e.kind) {
      case 'const':
        return literalText(e.type, e.value, this.shader.helpers);
      case 'dim':
        return this.shader.dim(e.dim, e);
      case 'axis':
        return this.axis(e.axis);
    }
    const known = this.#known(e);
    if (known) return known;
    const name = this.define(registerTypeOf(e.type), this.#compute(e));
    this.#values.set(e, name);
    return name;
  }

  #compute(e: Exclude<Expr, { kind: 'const' | 'dim' | 'axis' }>): string {
    const { helpers } = this.shader;
    switch (e.kind) {
      case 'unary':
        return unaryText(e.op, e.type, this.value(e.x), helpers);
      case 'test':
        return testText(e.op, this.value(e.x), helpers);
      case 'binary': {
        const [a, b] = [this.value(e.a), this.value(e.b)];
        if (e.type === 'index' && (e.op === 'div' || e.op === 'mod' || e.op === 'rem') && isPositive(e.b)) {
          if (e.op === 'div') return `${a} / ${b}`;
          if (e.op === 'rem' || isNotNegative(e.a)) return `${a} % ${b}`;
        }
        return binaryText(e.op, e.type, a, b, helpers);
      }
      case 'compare':
        return compareText(e.op, e.a.type, this.value(e.a), this.value(e.b), helpers);
      case 'select':
        return this.#select(e);
      case 'cast':
        return castText(e.type, e.x.type, e.saturate, this.value(e.x), helpers);
      case 'bitcast':
        return bitcastText(e.type, e.x.type, this.value(e.x), helpers);
      case 'bounded':
        return this.#bounded(e);
      case 'load':
        return this.#load(e);
    }
  }

  #select(e: Extract<Expr, { kind: 'select' }>): string {
    const condition = this.value(e.condition);
    // A branch that costs something is not worth computing in vain.
    if (isSimple(e.whenTrue) && isSimple(e.whenFalse)) {
      return `select(${this.value(e.whenFalse)}, ${this.value(e.whenTrue)}, ${condition})`;
    }
    const name = this.shader.fresh('s');
    this.line(`var ${name}: ${registerTypeOf(e.type)};`);
    this.block(`if (${condition})`, (inner) => inner.line(`${name} = ${inner.value(e.whenTrue)};`));
    this.block('else', (inner) => inner.line(`${name} = ${inner.value(e.whenFalse)};`));
    return name;
  }

  #load(e: Load): string {
    if (!e.guard) return this.#plainLoad(e);
    const guard = this.value(e.guard);
    const fill = this.value(e.fill!);
    const name = this.shader.fresh('g');
    this.line(`var ${name}: ${registerTypeOf(e.type)} = ${fill};`);
    this.block(`if (${guard})`, (inner) => inner.line(`${name} = ${inner.#plainLoad(e)};`));
    return name;
  }

  #plainLoad(e: Load): string {
    if (e.source.kind !== 'tensor') return this.#readers.stage(e as Load & { source: Stage }, this);
    const special = this.#readers.tensor?.(e as Load & { source: TensorRef }, this);
    if (special !== undefined) return special;
    return this.read(e.source, this.offset(e.source.room ?? e.source.shape, e.index));
  }

  /** Row-major offset of an index. */
  offset(shape: readonly Dim[], index: readonly Expr[]): string {
    return this.offsetOf(
      shape,
      index.map((e) => this.value(e)),
    );
  }

  offsetOf(shape: readonly Dim[], index: readonly string[]): string {
    let text = '';
    for (const [axis, at] of index.entries()) {
      if (shape[axis].is(1)) continue;
      text = text === '' ? at : `(${text} * ${this.shader.dim(shape[axis], shape, axis)} + ${at})`;
    }
    return this.define('i32', text || '0i');
  }

  /** Element of a tensor at a linear offset. */
  read(tensor: TensorRef, offset: string): string {
    const base = this.shader.mergedBase(tensor);
    if (base !== undefined) return this.#readMerged(tensor.dtype, base, offset);
    const binding = this.shader.binding(tensor, 'read');
    if (!isShared(tensor.dtype)) return this.shader.load(binding, offset);
    const { word, bit } = bitPosition(tensor.dtype, offset);
    return elementOfWord(tensor.dtype, this.shader.load(binding, word), bit, this);
  }

  #readMerged(dtype: DType, base: string, offset: string): string {
    if (isShared(dtype)) {
      const { word, bit } = bitPosition(dtype, offset);
      return elementOfWord(dtype, this.shader.loadMerged(`${base} + ${word}`), bit, this);
    }
    if (isWide(dtype)) {
      const at = this.define('i32', `${base} + ${offset} * 2i`);
      return `vec2<u32>(${this.shader.loadMerged(at)}, ${this.shader.loadMerged(`${at} + 1i`)})`;
    }
    const raw = this.shader.loadMerged(`${base} + ${offset}`);
    const type = registerTypeOf(dtype);
    return type === 'u32' ? raw : `bitcast<${type}>(${raw})`;
  }

  /**
   * Stores a value. Elements that share a word with others are merged in atomically, so that no two invocations lose each
   * other's.
   */
  write(tensor: TensorRef, offset: string, value: string): void {
    if (!isShared(tensor.dtype)) {
      this.line(this.shader.store(this.shader.binding(tensor, 'read_write'), offset, value));
      return;
    }
    const binding = this.shader.binding(tensor, 'atomic');
    const { word, bit } = bitPosition(tensor.dtype, offset);
    const at = this.define('i32', word);
    const shift = this.define('u32', bit);
    const bits = this.define('u32', toBits(tensor.dtype, value, this.shader.helpers));
    this.line(this.shader.atomic(binding, 'atomicAnd', at, `~(${maskOf(tensor.dtype)} << ${shift})`));
    this.line(this.shader.atomic(binding, 'atomicOr', at, `${bits} << ${shift}`));
  }

  #bounded(e: Extract<Expr, { kind: 'bounded' }>): string {
    const size = this.value(dimension(e.size));
    // The whole of a 64-bit index counts, not its low word alone.
    const wide = e.x.kind === 'cast' && isWide(e.x.x.type) ? e.x.x : undefined;
    const raw = this.value(e.x);
    const at = this.shader.fresh('b');
    const low = e.negative ? `-${size}` : '0i';
    let inside = `${raw} >= ${low} && ${raw} < ${size}`;
    if (wide) {
      const whole = this.value(wide);
      inside += wide.type === 'int64' ? ` && ${whole}.y == bitcast<u32>(${raw} >> 31u)` : ` && ${whole}.y == 0u`;
    }
    this.line(`var ${at} = 0i;`);
    this.block(`if (${inside})`, (inner) => {
      inner.line(`${at} = ${e.negative ? `select(${raw}, ${raw} + ${size}, ${raw} < 0i)` : raw};`);
    });
    this.block('else', (inner) => inner.line(`atomicStore(&errors[0], ${this.shader.site(e.origin ?? this.origin)});`));
    return at;
  }
}

/** The bits of one element, at the low end of a word. */
export function maskOf(dtype: DType): string {
  return `${2 ** bitsOf(dtype) - 1}u`;
}

/** An element out of the word that holds it. */
function elementOfWord(dtype: DType, word: string, bit: string, scope: Scope): string {
  const bits = bitsOf(dtype);
  const register = registerTypeOf(dtype);
  if (register === 'i32') return `extractBits(bitcast<i32>(${word}), ${bit}, ${bits}u)`;
  const raw = `extractBits(${word}, ${bit}, ${bits}u)`;
  if (register === 'u32') return raw;
  return fromBits(dtype, scope.define('u32', raw), scope.shader.helpers);
}

/** Cheap enough to be computed whether it is needed or not. */
function isSimple(e: Expr, depth = 2): boolean {
  switch (e.kind) {
    case 'const':
    case 'dim':
    case 'axis':
      return true;
    case 'binary':
      if (e.op === 'pow' || (isFloat(e.type) && (e.op === 'mod' || e.op === 'rem')) || isWide(e.type)) return false;
      return depth > 0 && isSimple(e.a, depth - 1) && isSimple(e.b, depth - 1);
    case 'unary':
      return e.op === 'neg' && depth > 0 && isSimple(e.x, depth - 1);
    case 'load':
      return !e.guard && e.source.kind === 'tensor' && e.index.every((index) => isSimple(index, depth - 1));
    default:
      return false;
  }
}

function isPositive(e: Expr): boolean {
  return e.kind === 'dim' && e.dim.lowerBound >= 1;
}

/** Provably at least 0, by form alone. */
function isNotNegative(e: Expr): boolean {
  switch (e.kind) {
    case 'axis':
    case 'bounded':
      return true;
    case 'dim':
      return e.dim.lowerBound >= 0;
    case 'binary':
      if (e.op === 'mod') return isPositive(e.b);
      if (e.op === 'max') return isNotNegative(e.a) || isNotNegative(e.b);
      return (
        (e.op === 'add' || e.op === 'mul' || e.op === 'div' || e.op === 'rem' || e.op === 'min') &&
        isNotNegative(e.a) &&
        isNotNegative(e.b)
      );
    default:
      return false;
  }
}
