// Plans the statements of a loop program.

import {
  type Axis,
  beginOf,
  type Dim,
  dimension,
  type Expr,
  type ExprType,
  endOf,
  expressionsOf,
  type ForStatement,
  type LoopHeader,
  nestedOf,
  type Reduction,
  type Statement,
  type TensorRef,
  variableValue,
  walkStatements,
} from '@onnx-ts/tensor-ir';
import { elementBytes, emitStoreFirst, emitStoreLanes, emitStoreScalar, emitStoreVector } from '../emit/memory-ops.ts';
import { emitStorePackedScalar } from '../emit/packed-ops.ts';
import { scalarOf } from '../emit/value-type.ts';
import type { Local } from '../wasm/function.ts';
import { emitLoop, emitTiles, emitVectorLoops, type VectorVariant } from './loop-code.ts';
import { isPacked } from './packed.ts';
import type { LoopFrame, Plan, RegisterStorage, VectorFrame } from './plan.ts';
import { addressOf, laneStride, sum } from './plan-address.ts';
import { Accumulators } from './plan-reduce.ts';
import { scalarValue } from './plan-scalar.ts';
import { lanesOf, laneTypesOf, pushAddress, vectorValue, weightOf } from './plan-vector.ts';
import { type Binder, Scope, Value } from './scope.ts';
import { planTurnedStores, turnedStores } from './turned-stores.ts';

/** Plans statements in the current scope. Storage that they declare ends with them. */
export function planBlock(plan: Plan, body: readonly Statement[]): void {
  const { scratchUsed } = plan;
  const bound = new Map(plan.bound);
  for (let at = 0; at < body.length; ) {
    const turned = turnedStores(plan, body.slice(at));
    if (turned) planTurnedStores(plan, turned);
    else planStatement(plan, body[at]);
    at += turned?.length ?? 1;
  }
  plan.bound = bound;
  plan.scratchUsed = scratchUsed;
}

function planStatement(plan: Plan, statement: Statement): void {
  switch (statement.kind) {
    case 'block':
      planBlock(plan, statement.body);
      break;
    case 'for':
      planFor(plan, statement);
      break;
    case 'let':
      plan.bound.set(statement.axis, plan.resolve(statement.value));
      return;
    case 'set':
      planSet(plan, statement.variable, statement.value);
      break;
    case 'store':
      planStore(plan, statement.tensor, plan.resolve(statement.offset), plan.resolve(statement.value));
      break;
    case 'if':
      planIf(plan, statement);
      break;
    case 'alloc':
      planAlloc(plan, statement);
  }
}

function planIf(plan: Plan, statement: Statement & { kind: 'if' }): void {
  const condition = scalarValue(plan, plan.resolve(statement.condition));
  const then = new Scope('branch', plan.scope);
  plan.within(then, () => planBlock(plan, statement.body));
  plan.scope.step((c) => {
    condition.push(c);
    c.f.if(() => then.emit(c));
  });
}

function planAlloc(plan: Plan, { tensor, scope, initial }: Statement & { kind: 'alloc' }): void {
  const { vector } = plan;
  if (scope === 'row') {
    planBuffer(plan, tensor);
    return;
  }
  const storage: RegisterStorage = { tensor, isVector: vector !== undefined, locals: [] };
  plan.registers.set(tensor, storage);
  plan.scope.binders.add(tensor);
  vector?.binders.add(tensor);
  const copies = vector?.copies ?? 1;
  plan.scope.step((c) => {
    const type = vector ? 'v128' : scalarOf(tensor.dtype);
    storage.locals = c.f.locals(copies, type, tensor.name);
  });
  plan.changed(tensor);
  if (initial) planSet(plan, tensor, initial);
}

function planBuffer(plan: Plan, tensor: TensorRef): void {
  const { vector } = plan;
  const lanes = vector ? vector.lanes * Math.max(1, plan.widestCopies) : 1;
  const bytes = tensor.shape[0]
    .mul(elementBytes(tensor.dtype) * lanes)
    .add(15)
    .floorDiv(16)
    .mul(16);
  const address = scratchPlace(plan, bytes);
  plan.scratchUsed = plan.scratchUsed.add(bytes);
  plan.buffers.set(tensor, { address, isPerLane: vector !== undefined });
  plan.scope.binders.add(tensor);
  vector?.binders.add(tensor);
  plan.changed(tensor);
}

/** Address of scratch memory that nothing uses at this point, for so many bytes. */
export function scratchPlace(plan: Plan, bytes: Dim | number): Value {
  const start = plan.scratchUsed;
  plan.scratchBytes = plan.scratchBytes.max(start.add(bytes));
  const scratch = new Value('i32', ({ f }) => f.get(f.params[3]), true);
  if (start.is(0)) return scratch;
  const key = `scratch ${start.key}`;
  return plan.root.find(key) ?? plan.root.define(key, sum(scratch, plan.dim(start)));
}

export function planSetScalar(plan: Plan, variable: TensorRef, value: Expr): void {
  const storage = plan.registers.get(variable);
  if (!storage) throw new Error(`variable ${variable.name} is set before it is declared`);
  const scalar = scalarValue(plan, plan.resolve(value));
  plan.scope.step((c) => {
    scalar.push(c);
    c.f.set(storage.locals[0]);
  });
  plan.changed(variable);
}

export function planSet(plan: Plan, variable: TensorRef, value: Expr): void {
  const storage = plan.registers.get(variable);
  if (!storage?.isVector) {
    planSetScalar(plan, variable, value);
    return;
  }
  const resolved = plan.resolve(value);
  const values = Array.from({ length: plan.vector!.copies }, (_, copy) => vectorValue(plan, resolved, copy));
  plan.scope.step((c) => {
    for (const [copy, vector] of values.entries()) {
      vector.push(c);
      c.f.set(storage.locals[copy]);
    }
  });
  plan.changed(variable);
}

function planStore(plan: Plan, tensor: TensorRef, offset: Expr, value: Expr): void {
  const { vector } = plan;
  if (isPacked(tensor.dtype)) {
    planPackedStore(plan, tensor, offset, value);
    return;
  }
  if (!vector || !(plan.varies(offset) || plan.varies(value) || plan.buffers.get(tensor)?.isPerLane)) {
    const scalar = scalarValue(plan, value);
    const address = addressOf(plan, tensor, offset, undefined, true);
    plan.scope.step((c) => {
      address.push(c);
      scalar.push(c);
      emitStoreScalar(c, tensor.dtype, address.offset);
    });
  } else planVectorStores(plan, vector, tensor, offset, value);
  plan.changed(tensor);
}

/** Element by element: several share a byte. */
function planPackedStore(plan: Plan, tensor: TensorRef, offset: Expr, value: Expr): void {
  const { vector } = plan;
  const address = plan.address(tensor);
  const store = (index: Value, element: Value): void =>
    plan.scope.step((c) => {
      address.push(c);
      index.push(c);
      element.push(c);
      emitStorePackedScalar(c, tensor.dtype);
    });
  const copies = vector?.copies ?? 1;
  const lanes = vector && !vector.partial ? vector.lanes : 1;
  for (let copy = 0; copy < copies; copy++) {
    for (let lane = 0; lane < lanes; lane++) {
      const at = vector && { copy, lane };
      store(scalarValue(plan, offset, at), scalarValue(plan, value, at));
    }
  }
  plan.changed(tensor);
}

function planVectorStores(plan: Plan, vector: VectorFrame, tensor: TensorRef, offset: Expr, value: Expr): void {
  const copies = Array.from({ length: vector.copies }, (_, copy) => ({
    lanes: vectorValue(plan, value, copy),
    of: (lane: number) => addressOf(plan, tensor, offset, { copy, lane }, true),
  }));
  if (vector.partial || laneStride(plan, tensor, offset)?.is(1)) {
    const emit = vector.partial ? emitStoreFirst : emitStoreVector;
    const stores = copies.map(({ lanes, of }) => ({ lanes, address: of(0) }));
    // All is computed before the first store: engines that join pairs of vectors move no load across one.
    plan.scope.step((c) =>
      c.f.scope(() => {
        const results = stores.map(({ lanes }) => {
          const result = c.f.local('v128', 'result');
          lanes.push(c);
          c.f.set(result);
          return result;
        });
        for (const [copy, { address }] of stores.entries()) {
          address.push(c);
          c.f.get(results[copy]);
          emit(c, tensor.dtype, address.offset);
        }
      }),
    );
    return;
  }
  for (const { lanes, of } of copies) {
    const addresses = Array.from({ length: vector.lanes }, (_, lane) => of(lane));
    plan.scope.step((c) => {
      lanes.push(c);
      emitStoreLanes(c, tensor.dtype, (lane) => pushAddress(c, addresses[lane]));
    });
  }
}

function planFor(plan: Plan, statement: ForStatement): void {
  const { reductions, body } = statement;
  const { loops } = statement;
  const last = loops[loops.length - 1];
  const isVector = last?.mode === 'vector' && !plan.vector;
  const accumulators = new Accumulators(plan, reductions, isVector ? statement : undefined);
  accumulators.open();
  const assigned = assignedIn(body, reductions);
  planNest(plan, loops, assigned, accumulators, () => {
    planBlock(plan, body);
    accumulators.combine();
  });
  accumulators.close();
}

function planNest(
  plan: Plan,
  loops: readonly LoopHeader[],
  assigned: readonly TensorRef[],
  accumulators: Accumulators,
  innermost: () => void,
): void {
  const [loop, ...rest] = loops;
  if (!loop) {
    innermost();
    return;
  }
  const inner = (): void => planNest(plan, rest, assigned, accumulators, innermost);
  if (loop.mode === 'unroll') {
    planUnrolled(plan, loop, inner);
    return;
  }
  if (loop.mode === 'vector' && !plan.vector) {
    planVectorLoop(plan, loop, assigned, accumulators, innermost);
    return;
  }
  planSerialLoop(plan, loop, assigned, inner);
}

function planUnrolled(plan: Plan, loop: LoopHeader, inner: () => void): void {
  const [begin, end] = [beginOf(loop), endOf(loop)].map((e) => plan.analysis.formOf(plan.resolve(e)).base.constant);
  if (begin === undefined || end === undefined) throw new Error(`loop over ${loop.axis.name} has no constant bounds`);
  for (let value = begin; value < end; value++) {
    plan.bound.set(loop.axis, dimension(value));
    inner();
  }
  plan.bound.delete(loop.axis);
}

interface OpenLoop {
  readonly before: Scope;
  readonly frame: LoopFrame & { readonly loop: NonNullable<LoopFrame['loop']> };
  readonly begin: Value;
  readonly end: Value;
  readonly isSure: boolean;
  /** Iterations, where that is known. */
  readonly length: Dim | undefined;
}

/** The widths in which a loop of `length` iterations takes its steps; those that never occur are left out. */
function variantsFor(
  length: Dim | undefined,
  { lanes, copies }: { lanes: number; copies: number },
): { copies: number; partial: boolean }[] {
  const wide = { copies, partial: false };
  const single = { copies: 1, partial: false };
  const rest = { copies: 1, partial: true };
  const all = copies > 1 ? [wide, single, rest] : [single, rest];
  if (!length) return all;
  const { constant } = length;
  if (constant === undefined) return all.filter((variant) => variant !== rest || !length.isMultipleOf(lanes));
  const isWide = copies > 1 && constant >= copies * lanes;
  const left = isWide ? constant % (copies * lanes) : constant;
  return [...(isWide ? [wide] : []), ...(left >= lanes ? [single] : []), ...(left % lanes > 0 ? [rest] : [])];
}

function openLoop(plan: Plan, loop: LoopHeader): OpenLoop {
  const [low, high] = [plan.resolve(beginOf(loop)), plan.resolve(endOf(loop))];
  const begin = scalarValue(plan, low);
  const end = scalarValue(plan, high);
  const { analysis } = plan;
  const length = analysis.sum(analysis.formOf(high), analysis.scale(analysis.formOf(low), -1));
  const isSure = (analysis.minimum(length)?.lowerBound ?? 0) > 0;
  const before = new Scope('before', plan.scope, isSure);
  const frame = { axis: loop.axis, depth: plan.frames.length, loop: { before, begin, inductions: new Map() } };
  return { before, frame, begin, end, isSure, length: length.terms.length === 0 ? length.base : undefined };
}

/** Plans a body that runs repeatedly, so what it changes has an unknown content at its beginning. */
function planBody(plan: Plan, loop: OpenLoop, assigned: readonly Binder[], inner: () => void): Scope {
  const body = new Scope('body', loop.before);
  body.binders.add(loop.frame.axis);
  for (const binder of assigned) {
    body.binders.add(binder);
    plan.changed(binder);
  }
  plan.frames.push(loop.frame);
  plan.within(body, inner);
  plan.frames.pop();
  for (const binder of assigned) plan.changed(binder);
  return body;
}

function planSerialLoop(plan: Plan, header: LoopHeader, assigned: readonly TensorRef[], inner: () => void): void {
  const loop = openLoop(plan, header);
  const body = planBody(plan, loop, assigned, inner);
  plan.scope.step((c) => emitLoop(c, loop, body));
}

function planVectorLoop(
  plan: Plan,
  header: LoopHeader,
  assigned: readonly TensorRef[],
  accumulators: Accumulators,
  inner: () => void,
): void {
  const loop = openLoop(plan, header);
  const shape = accumulators.shape!;
  const vector: VectorFrame = {
    axis: header.axis,
    lanes: shape.lanes,
    copies: 1,
    partial: false,
    binders: new Set<Binder>([header.axis]),
  };
  plan.vector = vector;
  plan.widestCopies = shape.copies;
  const variants: VectorVariant[] = [];
  const add = (copies: number, partial: boolean): void => {
    vector.copies = copies;
    vector.partial = partial;
    if (copies === 1) {
      variants.push({ body: planBody(plan, loop, assigned, inner), copies, partial });
      return;
    }
    const [before, after] = [new Scope('branch', loop.before), new Scope('branch', loop.before)];
    plan.within(before, () => accumulators.openSideBySide());
    const body = planBody(plan, loop, assigned, inner);
    plan.within(after, () => accumulators.closeSideBySide());
    variants.push({ before, body, after, copies, partial });
  };
  for (const { copies, partial } of variantsFor(loop.length, shape)) add(copies, partial);
  plan.vector = undefined;
  plan.scope.step((c) => emitVectorLoops({ ...c, lanes: shape.lanes }, loop, variants));
}

/** How a vector loop is cut up: lanes by the types in it, vectors side by side by the size of its body. */
export function vectorShape(plan: Plan, statement: ForStatement): { lanes: 2 | 4; copies: number } {
  const { loops, reductions, body } = statement;
  const local = new Set<Binder>([loops[loops.length - 1].axis]);
  walkStatements(body, (inner) => {
    if (inner.kind === 'alloc') local.add(inner.tensor);
  });
  const varies = (e: Expr): boolean => {
    for (const binder of plan.bindersOf(e)) if (local.has(binder)) return true;
    return e.kind === 'load' && local.has(e.source);
  };
  const types = new Set<ExprType>();
  let weight = 0;
  const add = (roots: readonly Expr[], times: number): void => {
    const resolved = roots.map((root) => plan.resolve(root));
    for (const type of laneTypesOf(resolved, varies)) types.add(type);
    weight += times * weightOf(resolved);
  };
  const visit = (inner: Statement, times: number): void => {
    if (inner.kind === 'store') {
      add([inner.value], times);
      return;
    }
    if (inner.kind !== 'for') add(expressionsOf(inner), times);
    else {
      for (const { variable, value } of inner.reductions)
        add([value, variableValue(variable)], times * unrollOf(inner));
    }
    for (const next of nestedOf(inner)) visit(next, inner.kind === 'for' ? times * unrollOf(inner) : times);
  };
  // Positions are 32 bits wide in the lanes of the nest's own vector loop, so the variable of an argmax does not count.
  for (const { variable, value, arg } of reductions) add(arg ? [value] : [value, variableValue(variable)], 1);
  for (const inner of body) visit(inner, 1);
  return { lanes: lanesOf(types), copies: weight <= 12 ? 4 : weight <= 96 ? 2 : 1 };
}

/** How often the code of a nest is repeated. */
function unrollOf({ loops }: ForStatement): number {
  return loops.reduce((times, { mode, axis }) => (mode === 'unroll' ? times * (axis.size.constant ?? 1) : times), 1);
}

function assignedIn(body: readonly Statement[], reductions: readonly Reduction[]): TensorRef[] {
  const found = new Set<TensorRef>();
  const add = ({ variable, arg }: Reduction): void => {
    found.add(variable);
    if (arg) found.add(arg.best);
  };
  reductions.forEach(add);
  walkStatements(body, (statement) => {
    if (statement.kind === 'set') found.add(statement.variable);
    if (statement.kind === 'store') found.add(statement.tensor);
    if (statement.kind === 'for') statement.reductions.forEach(add);
  });
  return [...found];
}

/**
 * Plans the loop over the function's tiles [begin, end). The tile number is taken apart into the counters of `axes` once;
 * from then on they count up.
 */
export function planTiles(plan: Plan, axes: readonly Axis[], body: () => void): void {
  const before = new Scope('before', plan.scope, true);
  const tile = new Scope('body', before);
  const sizes = axes.map((axis) => plan.dim(axis.size));
  let locals: Local[] = [];
  for (const tensor of plan.options.written) tile.binders.add(tensor);
  for (const [at, axis] of axes.entries()) {
    tile.binders.add(axis);
    const counter = new Value('i32', ({ f }) => f.get(locals[at]), true);
    plan.frames.push({ axis, depth: plan.frames.length, counter });
  }
  plan.within(tile, body);
  plan.frames.length -= axes.length;
  plan.scope.step((c) => {
    locals = axes.map((axis) => c.f.local('i32', axis.name));
    emitTiles(c, locals, sizes, before, tile);
  });
}
