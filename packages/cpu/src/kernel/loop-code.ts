// Instructions of loops whose parts have been planned.

import type { Local } from '../wasm/function.ts';
import type { Induction } from './plan.ts';
import type { Scope, Value, WriteContext } from './scope.ts';

/** A loop over begin ≤ counter < end. */
export interface PlannedLoop {
  /** Steps in front of the loop, which run when there is at least one iteration. */
  readonly before: Scope;
  readonly frame: { readonly loop: { readonly inductions: ReadonlyMap<string, Induction> } };
  readonly begin: Value;
  readonly end: Value;
  /** begin < end always. */
  readonly isSure: boolean;
}

/** A vector loop's body for a number of vectors side by side, or for one element. */
export interface VectorVariant {
  /** Around the loop, when it runs at all. */
  readonly before?: Scope;
  readonly body: Scope;
  readonly after?: Scope;
  readonly copies: number;
  readonly partial: boolean;
}

export function emitLoop(c: WriteContext, loop: PlannedLoop, body: Scope): void {
  emitAround(c, loop, (remaining) => {
    const advance = prepareAdvance(c, loop, 1);
    c.f.loop((again) => {
      c.f.scope(() => body.emit(c));
      advance();
      c.f.get(remaining);
      c.f.i32Const(-1);
      c.f.op('i32.add');
      c.f.tee(remaining);
      c.f.brIf(again);
    });
  });
}

/** One loop per variant: each takes what is left in steps of its own width. */
export function emitVectorLoops(c: WriteContext, loop: PlannedLoop, variants: readonly VectorVariant[]): void {
  const { f } = c;
  emitAround(c, loop, (remaining) => {
    for (const { before, body, after, copies, partial } of variants) {
      const width = partial ? 1 : copies * c.lanes;
      f.get(remaining);
      f.i32Const(width);
      f.op('i32.ge_s');
      f.if(() =>
        f.scope(() => {
          const advance = prepareAdvance(c, loop, width);
          before?.emit(c);
          f.loop((again) => {
            f.scope(() => body.emit(c));
            advance();
            f.get(remaining);
            f.i32Const(-width);
            f.op('i32.add');
            f.tee(remaining);
            f.i32Const(width);
            f.op('i32.ge_s');
            f.brIf(again);
          });
          after?.emit(c);
        }),
      );
    }
  });
}

function emitAround(c: WriteContext, loop: PlannedLoop, loops: (remaining: Local) => void): void {
  const { f } = c;
  f.scope(() => {
    const remaining = f.local('i32', 'remaining');
    loop.end.push(c);
    if (loop.begin.constant !== 0) {
      loop.begin.push(c);
      f.op('i32.sub');
    }
    f.set(remaining);
    const run = (): void => {
      loop.before.emit(c);
      for (const induction of loop.frame.loop.inductions.values()) {
        induction.local = f.local('i32', 'at');
        induction.initial.push(c);
        f.set(induction.local);
      }
      loops(remaining);
    };
    if (loop.isSure) return run();
    f.get(remaining);
    f.i32Const(0);
    f.op('i32.gt_s');
    f.if(run);
  });
}

/** Code that moves all inductions by some iterations. */
function prepareAdvance(c: WriteContext, loop: PlannedLoop, iterations: number): () => void {
  const { f } = c;
  const moves = [...loop.frame.loop.inductions.values()].map((induction) => ({
    induction,
    step: induction.stepConstant === undefined ? scaled(c, induction.step, iterations) : undefined,
  }));
  return () => {
    for (const { induction, step } of moves) {
      if (induction.stepConstant === 0) continue;
      f.get(induction.local!);
      if (step) f.get(step);
      else f.i32Const(induction.stepConstant! * iterations);
      f.op('i32.add');
      f.set(induction.local!);
    }
  };
}

function scaled(c: WriteContext, step: Value, times: number): Local {
  const { f } = c;
  const local = f.local('i32', 'step');
  step.push(c);
  if (times > 1) {
    f.i32Const(Math.log2(times));
    f.op('i32.shl');
  }
  f.set(local);
  return local;
}

/** The loop over tiles [begin, end), parameters 1 and 2 of the function, with a counter for each parallel axis. */
export function emitTiles(
  c: WriteContext,
  counters: readonly Local[],
  sizes: readonly Value[],
  before: Scope,
  body: Scope,
): void {
  const { f } = c;
  const [, begin, end] = f.params;
  before.emit(c);
  // Without parallel axes there is one tile.
  if (counters.length === 0) {
    f.scope(() => body.emit(c));
    return;
  }
  f.scope(() => {
    const tile = counters.length === 1 ? counters[0] : f.local('i32', 'tile');
    f.get(begin);
    f.set(tile);
    if (counters.length > 1) {
      emitDecode(c, tile, counters, sizes);
      f.get(begin);
      f.set(tile);
    }
    f.loop((again) => {
      f.scope(() => body.emit(c));
      if (counters.length > 1) emitCountUp(c, counters, sizes, counters.length - 1);
      f.get(tile);
      f.i32Const(1);
      f.op('i32.add');
      f.tee(tile);
      f.get(end);
      f.op('i32.lt_s');
      f.brIf(again);
    });
  });
}

/** Takes the tile number apart: the last counter is the fastest. */
function emitDecode(c: WriteContext, rest: Local, counters: readonly Local[], sizes: readonly Value[]): void {
  const { f } = c;
  for (let axis = counters.length - 1; axis > 0; axis--) {
    f.get(rest);
    sizes[axis].push(c);
    f.op('i32.rem_u');
    f.set(counters[axis]);
    f.get(rest);
    sizes[axis].push(c);
    f.op('i32.div_u');
    f.set(rest);
  }
  f.get(rest);
  f.set(counters[0]);
}

/** One step of the counters, with a carry into the next slower one. */
function emitCountUp(c: WriteContext, counters: readonly Local[], sizes: readonly Value[], axis: number): void {
  const { f } = c;
  f.get(counters[axis]);
  f.i32Const(1);
  f.op('i32.add');
  if (axis === 0) {
    f.set(counters[0]);
    return;
  }
  f.tee(counters[axis]);
  sizes[axis].push(c);
  f.op('i32.ge_s');
  f.if(() => {
    f.i32Const(0);
    f.set(counters[axis]);
    emitCountUp(c, counters, sizes, axis - 1);
  });
}
