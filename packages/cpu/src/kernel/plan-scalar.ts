// Plans expressions as scalars: what is the same in all lanes, indices, and single lanes of what differs.

import { type Expr, type ExprType, isBigInteger, isUnsigned, type LinearForm } from '@onnx-ts/tensor-ir';
import { emitExtract } from '../emit/lane-wise.ts';
import { emitLoadScalar } from '../emit/memory-ops.ts';
import {
  emitBinaryScalar,
  emitBitcastScalar,
  emitCastScalar,
  emitCompareScalar,
  emitConstScalar,
  emitSelectScalar,
  emitTestScalar,
  emitUnaryScalar,
} from '../emit/scalar-ops.ts';
import { scalarOf, shapeOf } from '../emit/value-type.ts';
import { isPacked, packedElement } from './packed.ts';
import { constantValue, type Plan, type Position } from './plan.ts';
import { addressOf, counterOf, depthOf, frameOf, product } from './plan-address.ts';
import { type Code, Scope, Value } from './scope.ts';

/**
 * The value of an expression as a WebAssembly scalar.
 * @param at the element of the vector loop meant; needed only when lanes differ
 */
export function scalarValue(plan: Plan, e: Expr, at?: Position): Value {
  if (e.kind === 'const') {
    const { type, value } = e;
    return new Value(scalarOf(type), (c) => emitConstScalar(c, type, value), true);
  }
  if (e.kind === 'dim') return plan.dim(e.dim);
  const varies = plan.varies(e);
  if (e.kind === 'load' && e.index.length === 0) return registerValue(plan, e.source, varies ? at : undefined);
  if (varies && !at) throw new Error('a value that differs between lanes is used as one scalar');
  const lane = varies ? `.${at!.copy}.${at!.lane}` : '';
  const key = `scalar ${plan.keyOf(e)}${lane}`;
  const known = plan.scope.find(key);
  if (known) return known;
  const place = plan.placeFor(e);
  const value = plan.within(place, () => compute(plan, e, varies ? at : undefined));
  return value.isFree ? value : place.define(key, value);
}

function compute(plan: Plan, e: Expr, at: Position | undefined): Value {
  const of = (x: Expr): Value => scalarValue(plan, x, at);
  switch (e.kind) {
    case 'const':
    case 'dim':
      return of(e);
    case 'axis': {
      const frame = frameOf(plan, e);
      if (!frame) throw new Error(`axis ${e.axis.name} is not bound by a loop`);
      const counter = counterOf(plan, frame);
      const position = at && plan.vector?.axis === e.axis ? at.copy * plan.vector.lanes + at.lane : 0;
      return position === 0 ? counter : code('i32', [counter, constantValue(position)], ({ f }) => f.op('i32.add'));
    }
    case 'load':
      return loadValue(plan, e, at);
    case 'unary':
      return code(scalarOf(e.type), [of(e.x)], (c) => emitUnaryScalar(c, e.op, e.type));
    case 'test':
      return code('i32', [of(e.x)], (c) => emitTestScalar(c, e.op, e.x.type));
    case 'cast':
      return code(scalarOf(e.type), [of(e.x)], (c) => emitCastScalar(c, e.x.type, e.type, e.saturate));
    case 'bitcast':
      return code(scalarOf(e.type), [of(e.x)], (c) => emitBitcastScalar(c, e.x.type, e.type));
    case 'bounded':
      return boundedValue(plan, e, at);
    case 'binary': {
      if (e.type === 'index' && (e.op === 'add' || e.op === 'sub' || e.op === 'mul')) {
        const form = plan.analysis.formOf(e);
        const [term] = form.terms;
        if (form.terms.length !== 1 || !form.base.is(0) || term.atom !== e) return sumValue(plan, form, at);
      }
      return code(scalarOf(e.type), [of(e.a), of(e.b)], (c) => emitBinaryScalar(c, e.op, e.type));
    }
    case 'compare':
      return code('i32', [of(e.a), of(e.b)], (c) => emitCompareScalar(c, e.op, e.a.type));
    case 'select':
      return code(scalarOf(e.type), [of(e.whenTrue), of(e.whenFalse), of(e.condition)], emitSelectScalar);
  }
}

export function code(type: Value['type'], operands: readonly Value[], instruction: Code): Value {
  return new Value(
    type,
    (c) => {
      for (const operand of operands) operand.push(c);
      instruction(c);
    },
    false,
  );
}

/** Σ coefficient · atom, added up from the outermost loop to the innermost so that partial sums leave the loops. */
function sumValue(plan: Plan, form: LinearForm, at: Position | undefined): Value {
  const { analysis } = plan;
  const terms = [...form.terms].sort((a, b) => depthOf(plan, a.atom) - depthOf(plan, b.atom));
  const last = terms.pop();
  if (!last) return plan.dim(form.base);
  const atom = scalarValue(plan, last.atom, at);
  const part = product(atom, plan.dim(last.coefficient), last.coefficient.constant);
  if (terms.length === 0 && form.base.is(0)) return code('i32', [part], () => {});
  const rest = scalarValue(plan, analysis.expression({ base: form.base, terms }), at);
  return code('i32', [rest, part], ({ f }) => f.op('i32.add'));
}

function registerValue(plan: Plan, source: object, at: Position | undefined): Value {
  const storage = plan.registers.get(source as never);
  if (!storage) throw new Error('a variable is used before it is declared');
  const { tensor, isVector } = storage;
  if (!isVector) return new Value(scalarOf(tensor.dtype), ({ f }) => f.get(storage.locals[0]), true);
  if (!at) throw new Error(`variable ${tensor.name} differs between lanes`);
  return new Value(
    scalarOf(tensor.dtype),
    (c) => {
      c.f.get(storage.locals[at.copy]);
      emitExtractScalar(c, tensor.dtype, at.lane);
    },
    true,
  );
}

/** vector → one lane as a scalar. */
export function emitExtractScalar(c: Parameters<Code>[0], type: ExprType, lane: number): void {
  emitExtract(c, type === 'index' ? 'i32x4' : shapeOf(type), lane);
  if (type !== 'bool') return;
  c.f.i32Const(1);
  c.f.op('i32.and');
}

function loadValue(plan: Plan, e: Expr & { kind: 'load' }, at: Position | undefined): Value {
  if (!e.guard) return plainLoad(plan, e, at, true);
  const guard = scalarValue(plan, e.guard, at);
  return branchValue(
    plan,
    scalarOf(e.type),
    guard,
    () => plainLoad(plan, e, at, false),
    () => scalarValue(plan, e.fill!, at),
  );
}

/** A value computed by one of two pieces of code, of which only one runs. */
export function branchValue(
  plan: Plan,
  type: Value['type'],
  condition: Value,
  whenTrue: () => Value,
  whenFalse: () => Value,
): Value {
  const sides = [whenTrue, whenFalse].map((side) => {
    const scope = new Scope('branch', plan.scope);
    const value = plan.within(scope, side);
    return { scope, value: value.isFree || value.isPlaced ? value : scope.define('result', value) };
  });
  const [then, otherwise] = sides;
  return new Value(
    type,
    (c) => {
      condition.push(c);
      c.f.if(
        type,
        () => {
          then.scope.emit(c);
          then.value.push(c);
        },
        () => {
          otherwise.scope.emit(c);
          otherwise.value.push(c);
        },
      );
    },
    false,
  );
}

function plainLoad(plan: Plan, e: Expr & { kind: 'load' }, at: Position | undefined, isReal: boolean): Value {
  const { source, index } = e;
  if (source.kind !== 'tensor' || index.length !== 1) throw new Error('loads of a loop program have linear offsets');
  if (isPacked(source.dtype)) return packedElement(plan, source, scalarValue(plan, index[0], at));
  const address = addressOf(plan, source, index[0], at, isReal);
  return new Value(
    scalarOf(source.dtype),
    (c) => {
      address.push(c);
      emitLoadScalar(c, source.dtype, address.offset);
    },
    false,
  );
}

/** Checks an index that comes from data. */
function boundedValue(plan: Plan, e: Expr & { kind: 'bounded' }, at: Position | undefined): Value {
  // Before a cast to `index` drops the high bits.
  const given = e.x.kind === 'cast' ? e.x.x : e.x;
  const wide = isBigInteger(given.type) ? given : undefined;
  const source = wide ?? (e.x.kind === 'cast' && !e.x.x.type.startsWith('float') ? e.x.x : e.x);
  const word = wide ? 'i64' : 'i32';
  const x = scalarValue(plan, source, at);
  const size = plan.dim(e.size);
  const isSigned = e.negative && !isUnsigned(source.type);
  const site = plan.site();
  const number = plan.options.errorSites.length;
  const { stage } = plan.options;
  plan.options.errorSites.push({
    kind: 'index-out-of-range',
    stage: stage?.name ?? '',
    origin: e.origin ?? stage?.origin,
  });
  return new Value(
    'i32',
    (c) => {
      const { f } = c;
      f.scope(() => {
        const index = f.local(word, 'index');
        const limit = f.local(word, 'limit');
        x.push(c);
        f.set(index);
        size.push(c);
        if (wide) f.op('i64.extend_i32_u');
        f.set(limit);
        if (isSigned) {
          f.get(index);
          f.get(limit);
          f.op(`${word}.add`);
          f.get(index);
          f.get(index);
          if (word === 'i64') f.i64Const(0);
          else f.i32Const(0);
          f.op(`${word}.lt_s`);
          f.select();
          f.set(index);
        }
        f.get(index);
        f.get(limit);
        f.op(`${word}.lt_u`);
        f.if(
          'i32',
          () => {
            f.get(index);
            if (wide) f.op('i32.wrap_i64');
          },
          () => {
            site.push(c);
            if (number > 0) {
              f.i32Const(number);
              f.op('i32.add');
            }
            plan.options.reporter.report(c);
            f.i32Const(0);
          },
        );
      });
    },
    false,
  );
}
