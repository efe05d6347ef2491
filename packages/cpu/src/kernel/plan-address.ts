// Addresses of elements: one pointer per operand, advanced by addition where a loop allows it.

import { Dim, type Expr, type LinearForm, type LinearTerm, type TensorRef } from '@onnx-ts/tensor-ir';
import { elementBytes } from '../emit/memory-ops.ts';
import type { Induction, LoopFrame, Plan, Position } from './plan.ts';
import { constantValue } from './plan.ts';
import { scalarValue } from './plan-scalar.ts';
import { type Code, Value } from './scope.ts';

/** The sum of a pushed i32 and a constant. */
export interface Address {
  readonly push: Code;
  readonly offset: number;
}

/**
 * Byte address of an element.
 * @param at needed when the offset differs between lanes
 * @param isReal the element exists wherever this is evaluated, so parts of the address may go into the instruction
 */
export function addressOf(
  plan: Plan,
  tensor: TensorRef,
  offset: Expr,
  at: Position | undefined,
  isReal: boolean,
): Address {
  const { vector, analysis } = plan;
  const bytes = elementBytes(tensor.dtype);
  const isPerLane = plan.buffers.get(tensor)?.isPerLane ?? false;
  const scale = isPerLane ? bytes * vector!.copies * vector!.lanes : bytes;
  const full = analysis.formOf(offset);
  // Instructions add their offset without wrapping around, so what it is added to must not lie before the tensor.
  const known = isReal && startsInside(full) ? numericPart(full.base) : 0;
  const form = { base: full.base.sub(known), terms: full.terms };
  const pointer = new PointerPlan(plan, tensor, scale, at).of(form);
  const position = vector && at ? at.copy * vector.lanes + at.lane : 0;
  const stride = isPerLane ? Dim.constant(1) : vector ? coefficientOf(form, vector.axis) : Dim.constant(0);
  const advance = stride.mul(bytes).mul(position);
  const constant = advance.constant;
  if (constant !== undefined && constant >= 0 && isReal) {
    return { push: (c) => pointer.push(c), offset: constant + known * scale };
  }
  const extra = constant !== undefined ? constantValue(constant) : multiple(plan, stride.mul(bytes), position);
  return {
    push: (c) => {
      pointer.push(c);
      extra.push(c);
      c.f.op('i32.add');
    },
    offset: known * scale,
  };
}

/** Elements between neighbouring lanes when the offset is affine in the vector axis; undefined otherwise. */
export function laneStride(plan: Plan, tensor: TensorRef, offset: Expr): Dim | undefined {
  const { vector } = plan;
  if (plan.buffers.get(tensor)?.isPerLane) return Dim.constant(1);
  let stride = Dim.constant(0);
  for (const { atom, coefficient } of plan.analysis.formOf(offset).terms) {
    if (atom.kind === 'axis') {
      if (atom.axis === vector?.axis) stride = coefficient;
    } else if (plan.varies(atom)) return undefined;
  }
  return stride;
}

/** The current value of a loop's counter; of a vector loop: the counter of the first lane. */
export function counterOf(plan: Plan, frame: LoopFrame): Value {
  if (!frame.loop) return frame.counter!;
  return induction(plan, frame, 'counter', () => frame.loop!.begin, Dim.constant(1));
}

function induction(plan: Plan, frame: LoopFrame, key: string, initial: () => Value, step: Dim): Value {
  const { inductions, before } = frame.loop!;
  const known = inductions.get(key);
  if (known) return known.value;
  const entry: Induction = {
    initial: plan.within(before, initial),
    step: plan.dim(step),
    stepConstant: step.constant,
    value: new Value('i32', ({ f }) => f.get(entry.local!), true),
    local: undefined,
  };
  inductions.set(key, entry);
  return entry.value;
}

/** Addresses of one tensor's elements at one position of the vector loop. */
class PointerPlan {
  readonly #plan: Plan;
  readonly #tensor: TensorRef;
  readonly #scale: number;
  readonly #at: Position | undefined;

  constructor(plan: Plan, tensor: TensorRef, scale: number, at: Position | undefined) {
    this.#plan = plan;
    this.#tensor = tensor;
    this.#scale = scale;
    this.#at = at;
  }

  /** Innermost terms are added last, so that each loop adds only what changes in it. */
  of(form: LinearForm): Value {
    const terms = this.#byDepth(form.terms);
    return this.#sum({ base: form.base, terms });
  }

  #sum(form: LinearForm): Value {
    const plan = this.#plan;
    const last = form.terms[form.terms.length - 1];
    if (!last) return this.#start(form.base);
    const rest = { base: form.base, terms: form.terms.slice(0, -1) };
    const step = last.coefficient.mul(this.#scale);
    const frame = frameOf(plan, last.atom);
    if (frame?.loop) {
      return induction(
        plan,
        frame,
        this.#key(form),
        () => this.#plus(this.#sum(rest), frame.loop!.begin, step, form, 'begin'),
        step,
      );
    }
    const atom = frame ? counterOf(plan, frame) : scalarValue(plan, last.atom, this.#at);
    return this.#plus(this.#sum(rest), atom, step, form, '');
  }

  #start(base: Dim): Value {
    const plan = this.#plan;
    const root = plan.buffers.get(this.#tensor)?.address ?? plan.address(this.#tensor);
    if (base.is(0)) return root;
    const key = `pointer ${this.#tensor.id} ${this.#scale} ${base.key}`;
    const bytes = plan.dim(base.mul(this.#scale));
    return plan.root.find(key) ?? plan.root.define(key, sum(root, bytes));
  }

  /** pointer + counter · step, placed where the form's atoms are known. */
  #plus(pointer: Value, counter: Value, step: Dim, form: LinearForm, suffix: string): Value {
    if (counter.constant === 0) return pointer;
    const plan = this.#plan;
    const key = `${this.#key(form)} ${suffix}`;
    const known = plan.scope.find(key);
    if (known) return known;
    const value = sum(pointer, product(counter, plan.dim(step), step.constant));
    if (suffix === 'begin') return plan.scope.define(key, value);
    const last = form.terms[form.terms.length - 1];
    const whole = plan.analysis.expression(form);
    return plan.scope
      .placeFor(plan.bindersOf(whole), !plan.isUnsafe(last.atom) && !plan.isUnsafe(whole))
      .define(key, value);
  }

  #key(form: LinearForm): string {
    const plan = this.#plan;
    // Counters are taken at the first lane, anything else that varies at the lane asked for.
    const isOfLane = form.terms.some(({ atom }) => atom.kind !== 'axis' && plan.varies(atom));
    const lane = isOfLane ? `.${this.#at!.copy}.${this.#at!.lane}` : '';
    return `pointer ${this.#tensor.id} ${this.#scale} ${plan.keyOf(plan.analysis.expression(form))}${lane}`;
  }

  /** Outer loops first; within one loop, its counter first, so that the counter's part becomes an induction. */
  #byDepth(terms: readonly LinearTerm[]): readonly LinearTerm[] {
    const plan = this.#plan;
    const ranked = terms.map((term) => {
      const isCounter = frameOf(plan, term.atom) !== undefined;
      return { term, rank: 2 * depthOf(plan, term.atom) + (isCounter ? 0 : 1) };
    });
    return ranked.sort((a, b) => a.rank - b.rank).map(({ term }) => term);
  }
}

export function frameOf(plan: Plan, atom: Expr): LoopFrame | undefined {
  return atom.kind === 'axis' ? plan.frames.find(({ axis }) => axis === atom.axis) : undefined;
}

/** Number of the innermost loop that an expression depends on; -1 for none. */
export function depthOf(plan: Plan, e: Expr): number {
  let depth = -1;
  for (const binder of plan.bindersOf(e)) {
    const at = plan.frames.findIndex(({ axis }) => axis === binder);
    depth = Math.max(depth, at >= 0 ? at : 'dtype' in binder ? plan.frames.length : -1);
  }
  return depth;
}

function coefficientOf(form: LinearForm, axis: object): Dim {
  const term = form.terms.find(({ atom }) => atom.kind === 'axis' && atom.axis === axis);
  return term?.coefficient ?? Dim.constant(0);
}

function startsInside({ base, terms }: LinearForm): boolean {
  return base.sub(numericPart(base)).lowerBound >= 0 && terms.every(({ coefficient }) => coefficient.lowerBound >= 0);
}

/** The constant of a polynomial when it is not negative. */
function numericPart(base: Dim): number {
  const constant = base.terms.find(({ atoms }) => atoms.length === 0)?.coefficient ?? 0;
  return Math.max(0, constant);
}

/** dim · times, computed once in the function. */
function multiple(plan: Plan, dim: Dim, times: number): Value {
  const value = plan.dim(dim);
  if (times === 1) return value;
  const key = `multiple ${dim.key} ${times}`;
  const code = product(value, constantValue(times), times);
  return plan.root.find(key) ?? plan.root.define(key, new Value('i32', (c) => code.push(c), false));
}

export function sum(a: Value, b: Value): Value {
  return new Value(
    'i32',
    (c) => {
      a.push(c);
      b.push(c);
      c.f.op('i32.add');
    },
    false,
  );
}

/** A free value: written where it is used, which is in a sum. */
export function product(a: Value, factor: Value, constant: number | undefined): Value {
  return new Value(
    'i32',
    (c) => {
      a.push(c);
      if (constant === 1) return;
      if (constant !== undefined && constant > 0 && Number.isInteger(Math.log2(constant))) {
        c.f.i32Const(Math.log2(constant));
        c.f.op('i32.shl');
        return;
      }
      factor.push(c);
      c.f.op('i32.mul');
    },
    true,
  );
}
