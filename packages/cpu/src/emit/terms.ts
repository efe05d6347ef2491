// Expressions as values of TypeScript, for code that is easier to read as a formula than as a stack machine.

import type { Local } from '../wasm/function.ts';
import type { PlainOp } from '../wasm/opcodes.ts';
import type { FunctionRef, ValueType } from '../wasm/types.ts';
import type { EmitContext } from './context.ts';
import type { NumberShape } from './value-type.ts';

/** Code that pushes one value. Code that computes is written once: `keep` what is needed twice. */
export type Term = () => void;

export type FloatShape = 'f32x4' | 'f64x2' | 'f32' | 'f64';

/** Pushes a constant in all lanes. A splat is shorter in machine code than a literal vector. */
export function pushConstant(c: EmitContext, shape: NumberShape, value: number | bigint): void {
  const { f } = c;
  const local = c.constantLocal?.(shape, value);
  if (local) {
    f.get(local);
    return;
  }
  if (Number(value) === 0 && !Object.is(value, -0)) {
    f.lanesConst('i32x4', 0);
    return;
  }
  switch (shape) {
    case 'f32x4':
      f.f32Const(Number(value));
      f.op('f32x4.splat');
      break;
    case 'f64x2':
      f.f64Const(Number(value));
      f.op('f64x2.splat');
      break;
    case 'i32x4':
      f.i32Const(Number(value) | 0);
      f.op('i32x4.splat');
      break;
    case 'i64x2':
      f.i64Const(BigInt.asIntN(64, BigInt(value)));
      f.op('i64x2.splat');
      break;
  }
}

/** Terms of one function, with arithmetic in one float shape. Kept values live until the enclosing `f.scope` ends. */
export class Terms<Shape extends FloatShape = FloatShape> {
  readonly c: EmitContext;
  readonly shape: Shape;

  constructor(c: EmitContext, shape: Shape) {
    this.c = c;
    this.shape = shape;
  }

  get isVector(): boolean {
    return this.shape === 'f32x4' || this.shape === 'f64x2';
  }

  // Any instruction

  op(name: PlainOp, ...operands: Term[]): Term {
    return this.once(() => {
      for (const operand of operands) operand();
      this.c.f.op(name);
    });
  }

  call(target: FunctionRef, ...operands: Term[]): Term {
    return this.once(() => {
      for (const operand of operands) operand();
      this.c.f.call(target);
    });
  }

  /** Code that may be written at most once. */
  once(emit: Term): Term {
    let written = false;
    return () => {
      if (written) throw new Error('a term is used twice: keep it');
      written = true;
      emit();
    };
  }

  // Values that are used several times

  /** Computes a term now, into a local. */
  keep(term: Term, type: ValueType = this.isVector ? 'v128' : (this.shape as ValueType)): Term {
    term();
    return this.pop(type);
  }

  /** Takes an operand from the stack. */
  pop(type: ValueType = this.isVector ? 'v128' : (this.shape as ValueType)): Term {
    const local = this.c.f.local(type);
    this.c.f.set(local);
    return this.read(local);
  }

  read(local: Local): Term {
    return () => this.c.f.get(local);
  }

  // Constants

  const(value: number): Term {
    return () => {
      const { f } = this.c;
      if (this.shape === 'f32') f.f32Const(value);
      else if (this.shape === 'f64') f.f64Const(value);
      else pushConstant(this.c, this.shape as NumberShape, value);
    };
  }

  /** Bits in every 32-bit lane. */
  bits(value: number): Term {
    return () => pushConstant(this.c, 'i32x4', value | 0);
  }

  /** Bits in every 64-bit lane. */
  bits64(value: bigint): Term {
    return () => pushConstant(this.c, 'i64x2', value);
  }

  i32(value: number): Term {
    return () => this.c.f.i32Const(value);
  }

  i64(value: number | bigint): Term {
    return () => this.c.f.i64Const(value);
  }

  // Float arithmetic in the chosen shape

  add = (a: Term, b: Term): Term => this.op(`${this.shape}.add`, a, b);
  sub = (a: Term, b: Term): Term => this.op(`${this.shape}.sub`, a, b);
  mul = (a: Term, b: Term): Term => this.op(`${this.shape}.mul`, a, b);
  div = (a: Term, b: Term): Term => this.op(`${this.shape}.div`, a, b);
  neg = (x: Term): Term => this.op(`${this.shape}.neg`, x);
  abs = (x: Term): Term => this.op(`${this.shape}.abs`, x);
  sqrt = (x: Term): Term => this.op(`${this.shape}.sqrt`, x);
  nearest = (x: Term): Term => this.op(`${this.shape}.nearest`, x);
  /** Comparisons give a mask for vectors and an i32 for scalars. */
  lt = (a: Term, b: Term): Term => this.op(`${this.shape}.lt`, a, b);
  gt = (a: Term, b: Term): Term => this.op(`${this.shape}.gt`, a, b);
  le = (a: Term, b: Term): Term => this.op(`${this.shape}.le`, a, b);
  ge = (a: Term, b: Term): Term => this.op(`${this.shape}.ge`, a, b);
  eq = (a: Term, b: Term): Term => this.op(`${this.shape}.eq`, a, b);
  ne = (a: Term, b: Term): Term => this.op(`${this.shape}.ne`, a, b);

  /** Condition last, as the instructions take it: a comparison of this shape. */
  select(whenTrue: Term, whenFalse: Term, condition: Term): Term {
    if (this.isVector) return this.op('v128.bitselect', whenTrue, whenFalse, condition);
    return this.once(() => {
      whenTrue();
      whenFalse();
      condition();
      this.c.f.select();
    });
  }

  /** Σ coefficients[i] · x^i by Horner's rule; `x` must be kept. */
  horner(x: Term, coefficients: readonly number[]): Term {
    const last = coefficients.length - 1;
    let sum = this.const(coefficients[last]);
    for (let i = last - 1; i >= 0; i--) sum = this.add(this.mul(sum, x), this.const(coefficients[i]));
    return sum;
  }

  /** The same by Horner's rule in x², on pairs: about half as deep, so that several vectors are in flight. */
  polynomial(x: Term, square: Term, coefficients: readonly number[]): Term {
    const pair = (i: number): Term => {
      const even = this.const(coefficients[i]);
      return i + 1 < coefficients.length ? this.add(this.mul(x, this.const(coefficients[i + 1])), even) : even;
    };
    const last = coefficients.length - 1;
    let sum = pair(last - (last % 2));
    for (let i = last - (last % 2) - 2; i >= 0; i -= 2) sum = this.add(this.mul(sum, square), pair(i));
    return sum;
  }

  // Vector bits

  and = (a: Term, b: Term): Term => this.op('v128.and', a, b);
  or = (a: Term, b: Term): Term => this.op('v128.or', a, b);
  xor = (a: Term, b: Term): Term => this.op('v128.xor', a, b);
  /** a without the bits of b. */
  andNot = (a: Term, b: Term): Term => this.op('v128.andnot', a, b);
}
