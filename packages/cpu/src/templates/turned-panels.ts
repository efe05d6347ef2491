// Packing of an operand whose columns are rows in memory (a transposed matrix): blocks are turned in registers rather
// than gathered element by element.

import {
  type Axis,
  cast,
  Dim,
  dimension,
  type Expr,
  ExprNumbering,
  IndexAnalysis,
  type Kernel,
  type LoopPhase,
  min,
  newTensorRef,
  productOf,
  sub,
  substituteAxes,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import { ArgumentWords } from '../kernel/argument-words.ts';
import { type CompiledKernel, errorReporter } from '../kernel/compile-kernel.ts';
import { emitPhase } from '../kernel/emit-phase.ts';
import type { ErrorSite } from '../kernel/plan.ts';
import { kernelParams } from '../runtime/driver.ts';
import { coefficientIn } from '../schedule/domain.ts';
import { flatOffsetIn, offsetIn } from '../schedule/flatten.ts';
import { FunctionBuilder, type Local } from '../wasm/function.ts';
import type { FunctionRef } from '../wasm/types.ts';
import { emitTurnPanels, panelColumns } from './attention/block-product.ts';
import type { BlockTarget } from './block-loop.ts';

/** A kernel that writes result[outer…, k, c] for the columns c of a panel from elements that are contiguous along k. */
export interface TurnedPanels {
  readonly kernel: Kernel;
  readonly outer: readonly Axis[];
  readonly run: Axis;
  /** Columns of a panel: a multiple of `panelColumns`. */
  readonly width: number;
  readonly source: TensorRef;
  readonly output: TensorRef;
  /** Elements between the c of a panel in the source. */
  readonly stride: Dim;
  readonly places: LoopPhase;
  readonly table: TensorRef;
}

export function readTurnedPanels(kernel: Kernel): TurnedPanels | undefined {
  const [stage] = kernel.stages;
  const [{ tensor: output }] = kernel.outputs;
  if (kernel.class !== 'pointwise' || stage.kind !== 'map' || stage.axes.length < 2 || output.order) return undefined;
  const { load, edge } = elementsBefore(stage.body);
  if (load?.kind !== 'load' || load.source.kind !== 'tensor' || load.type !== 'float32') return undefined;
  const outer = stage.axes.slice(0, -2);
  const [run, lane] = stage.axes.slice(-2);
  const width = lane.size.constant;
  if (width === undefined || width % panelColumns !== 0) return undefined;
  const analysis = new IndexAnalysis();
  const from = offsetIn(analysis, load.source, load.index);
  const stride = coefficientIn(analysis, from, lane);
  if (!coefficientIn(analysis, from, run)?.is(1) || !stride || stride.is(1)) return undefined;
  if (edge && !coefficientIn(analysis, edge.at, lane)?.is(1)) return undefined;
  const first = new Map([run, lane].map((axis) => [axis, dimension(0)]));
  const to = offsetIn(
    analysis,
    output,
    stage.axes.map((axis) => (first.has(axis) ? dimension(0) : toIndex(axis))),
  );
  const table = newTensorRef('table', 'int32', [Dim.constant(3)]);
  const atFirst = (e: Expr): Expr => analysis.simplify(substituteAxes(e, first));
  const columns = edge ? min(dimension(width), sub(edge.end, atFirst(edge.at))) : dimension(width);
  const begin = flatOffsetIn(
    analysis,
    load.source,
    load.index.map((e) => substituteAxes(e, first)),
  );
  const entries = [begin, to, columns];
  const places: LoopPhase = {
    name: `${stage.name}.places`,
    parallel: outer,
    body: entries.map((value, at) => ({
      kind: 'store',
      tensor: table,
      offset: dimension(at),
      value: cast('int32', value),
    })),
    independent: false,
  };
  return { kernel, outer, run, width, source: load.source, output, stride, places, table };
}

/** A load, or zero where a position is not below the end of the columns. */
function elementsBefore(body: Expr): { load?: Expr; edge?: { readonly at: Expr; readonly end: Expr } } {
  if (body.kind === 'load' && !body.guard) return { load: body };
  if (body.kind !== 'select' || body.condition.kind !== 'compare' || body.condition.op !== 'lt') return {};
  const { condition, whenTrue: load, whenFalse } = body;
  const isZero = whenFalse.kind === 'const' && whenFalse.value === 0;
  if (!isZero || load.kind !== 'load' || !load.guard || condition.b.kind !== 'dim') return {};
  const numbers = new ExprNumbering();
  return numbers.of(load.guard) === numbers.of(condition) ? { load, edge: { at: condition.a, end: condition.b } } : {};
}

/** Function (from, stride, run, columns, to): packs a panel of fewer columns than its width; the rest is zero. */
function emitTurnEdge(width: number): FunctionBuilder {
  const params = { from: 'i32', stride: 'i32', run: 'i32', columns: 'i32', to: 'i32' } as const;
  const f = new FunctionBuilder('turn_edge', params);
  const [from, stride, run, columns, to] = f.params;
  const [source, target, left] = f.locals(3, 'i32');
  const move = (local: Local, by: Local | number): void => {
    f.get(local);
    f.push(by);
    f.op('i32.add');
    f.set(local);
  };
  f.get(to);
  f.i32Const(0);
  f.get(run);
  f.i32Const(width * 4);
  f.op('i32.mul');
  f.memoryFill();
  f.forRange({ begin: 0, end: columns }, () => {
    f.get(from);
    f.set(source);
    f.get(to);
    f.set(target);
    f.forRange({ begin: 0, end: run, counter: left }, () => {
      f.get(target);
      f.get(source);
      f.load('f32.load');
      f.store('f32.store');
      move(source, 4);
      move(target, width * 4);
    });
    move(from, stride);
    move(to, 4);
  });
  return f;
}

/** One tile for each panel. */
export function compileTurnedPanels(
  panels: TurnedPanels,
  { module, helpers, reportError }: BlockTarget,
): CompiledKernel {
  const { outer, run, width, source, output, stride, places, table } = panels;
  const words = new ArgumentWords();
  const errorSites: ErrorSite[] = [];
  const part = emitPhase(
    { ...places, stage: panels.kernel.stages[0] },
    {
      analysis: new IndexAnalysis(),
      words,
      errorSites,
      reporter: errorReporter(reportError),
      helpers,
    },
  );
  const findPlaces = module.define(part.f);
  const turn = module.define(emitTurnPanels(width));
  const [sourceAt, outputAt, tableAt] = [source, output, table].map((tensor) => words.tensor(tensor));
  const [runAt, strideAt] = [run.size, stride.mul(4)].map((dim) => words.dim(dim));
  const wordBytes = Math.ceil((words.words.length * 4) / 64) * 64;
  const f = new FunctionBuilder(`${places.name}.turned`, kernelParams);
  const [args, begin, end, scratch] = f.params;
  const [tableAddress, parts, columns] = f.locals(3, 'i32');
  for (const [local, offset] of [
    [tableAddress, wordBytes],
    [parts, wordBytes + 64],
  ] as const) {
    f.get(scratch);
    f.i32Const(offset);
    f.op('i32.add');
    f.set(local);
  }
  f.get(scratch);
  f.get(args);
  f.i32Const(words.words.length * 4);
  f.memoryCopy();
  f.get(scratch);
  f.get(tableAddress);
  f.store('i32.store', tableAt * 4);
  const word = (index: number): void => {
    f.get(args);
    f.load('i32.load', index * 4);
  };
  const placeOf = (tensor: number, entry: number): void => {
    word(tensor);
    f.get(tableAddress);
    f.load('i32.load', entry * 4);
    f.i32Const(2);
    f.op('i32.shl');
    f.op('i32.add');
  };
  f.forRange({ begin, end }, (tile) => {
    f.get(scratch);
    f.get(tile);
    f.get(tile);
    f.i32Const(1);
    f.op('i32.add');
    f.get(parts);
    f.call(findPlaces);
    f.get(tableAddress);
    f.load('i32.load', 8);
    f.set(columns);
    /** Turns `count` panels, or packs as many columns, from column `first` of the panel on. */
    const call = (ref: FunctionRef, count: Local | number, first: number): void => {
      placeOf(sourceAt, 0);
      word(strideAt);
      f.i32Const(first);
      f.op('i32.mul');
      f.op('i32.add');
      word(strideAt);
      word(runAt);
      f.push(count);
      placeOf(outputAt, 1);
      f.i32Const(first * 4);
      f.op('i32.add');
      f.call(ref);
    };
    f.get(columns);
    f.i32Const(width);
    f.op('i32.eq');
    f.if(
      () => {
        for (let first = 0; first < width; first += panelColumns) call(turn, 1, first);
      },
      () => call(module.define(emitTurnEdge(width)), columns, 0),
    );
  });
  return {
    phases: [
      {
        function: module.define(f),
        tiles: productOf(outer.map((axis) => axis.size)),
        tilePoints: run.size.mul(width),
        pointNanoseconds: 0.25,
        barrier: true,
      },
    ],
    words: words.words.map((item) =>
      item.kind === 'tensor' && item.tensor === table ? { kind: 'dim', dim: Dim.constant(0) } : item,
    ),
    scratchBytes: part.scratchBytes.add(wordBytes + 64),
    errorSites,
  };
}
