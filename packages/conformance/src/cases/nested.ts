// Bodies inside of bodies: If, Loop and Scan that read values of all graphs around them, with trip counts and conditions
// that only the data tell.

import { codeOfDType } from '@onnx-ts/core/internal';
import type { DType } from '@onnx-ts/tensor-ir';
import type { CaseBuilder } from '../case-builder.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { countOf, drawShape } from '../random.ts';
import { encodeTensor } from '../values.ts';

type Shape = readonly number[];

/** Graphs whose values are all of one shape and type, and stay small halves: exact everywhere. */
class Nest {
  readonly #b: CaseBuilder;
  readonly #dtype: 'float32' | 'int64' | 'int32';
  readonly #shape: Shape;

  constructor(b: CaseBuilder, dtype: 'float32' | 'int64' | 'int32', shape: Shape) {
    this.#b = b;
    this.#dtype = dtype;
    this.#shape = shape;
  }

  /** A value made of those in scope, in the given graph. */
  value(graph: GraphBuilder, scope: readonly string[], depth: number): string {
    const { draws } = this.#b;
    let values = [...scope];
    for (let left = draws.between(1, 3); left > 0; left--) {
      const forms = depth > 0 ? [this.#plain, this.#branch, this.#loop, this.#scan] : [this.#plain];
      values = [...values, draws.pick(forms).call(this, graph, values, depth)];
    }
    return values.at(-1)!;
  }

  #plain(graph: GraphBuilder, scope: readonly string[]): string {
    const { draws } = this.#b;
    const [x, y] = [draws.pick(scope), draws.pick(scope)];
    switch (draws.below(4)) {
      case 0:
        return graph.op(draws.pick(['Neg', 'Abs', 'Identity']), [x]);
      case 1: {
        const addend = draws.coin() ? this.#constant(graph, draws.between(-3, 3)) : y;
        return this.#bounded(graph, graph.op('Add', [x, addend]));
      }
      default:
        return graph.op(draws.pick(['Max', 'Min']), [x, y]);
    }
  }

  /** Sums could grow with every round. */
  #bounded(graph: GraphBuilder, x: string): string {
    const [low, high] = [-64, 64].map((bound) => this.#constant(graph, bound));
    return graph.op('Max', [low, graph.op('Min', [high, x])]);
  }

  #constant(graph: GraphBuilder, value: number, dtype: DType = this.#dtype, dims: Shape = []): string {
    const tensor = encodeTensor(dtype, dims, [value]);
    return this.#b.draws.coin() ? graph.initializer(tensor) : graph.constant(tensor);
  }

  /** One number that the data decide. */
  #number(graph: GraphBuilder, scope: readonly string[]): string {
    const x = this.#b.draws.pick(scope);
    const reduced = graph.op('ReduceMax', [x], { keepdims: 0 });
    return graph.op('Cast', [reduced], { to: codeOfDType('int64') });
  }

  #condition(graph: GraphBuilder, scope: readonly string[]): string {
    if (this.#b.draws.oneIn(4)) return this.#constant(graph, this.#b.draws.below(2), 'bool');
    return graph.op('Greater', [this.#number(graph, scope), this.#constant(graph, 1, 'int64')]);
  }

  #branch(graph: GraphBuilder, scope: readonly string[], depth: number): string {
    const condition = this.#condition(graph, scope);
    const bodies = [0, 1].map(() => {
      const body = graph.subgraph();
      // Without a node of its own, a branch gives back a value from outside.
      const isBare = this.#b.draws.oneIn(5);
      const value = isBare ? body.op('Identity', [this.#b.draws.pick(scope)]) : this.value(body, scope, depth - 1);
      body.output(value, this.#dtype);
      return { graph: body.message() };
    });
    return graph.op('If', [condition], { then_branch: bodies[0], else_branch: bodies[1] });
  }

  #loop(graph: GraphBuilder, scope: readonly string[], depth: number): string {
    const { draws } = this.#b;
    const states = Array.from({ length: draws.between(1, 2) }, () => draws.pick(scope));
    const body = graph.subgraph();
    const iteration = body.input('int64', []);
    const going = body.input('bool', []);
    const carried = states.map(() => body.input(this.#dtype, draws.coin() ? this.#shape : undefined));
    const round = body.op('Cast', [iteration], { to: codeOfDType(this.#dtype) });
    const inside = [...scope, ...carried, body.op('Add', [carried[0], round])];
    const next = carried.map((state) => {
      // A state may stay what it is.
      if (draws.oneIn(5)) return body.op('Identity', [state]);
      return this.#bounded(body, this.value(body, inside, depth - 1));
    });
    // On and on until the count is reached, or until the data say so.
    const stops = draws.coin();
    body.output(
      stops
        ? body.op('Less', [this.#number(body, [next[0]]), this.#constant(body, 5, 'int64')])
        : body.op('Identity', [going]),
      'bool',
    );
    for (const value of next) body.output(value, this.#dtype);
    const scans = draws.coin();
    if (scans) body.output(draws.pick(next), this.#dtype);
    const fromData = draws.coin();
    const most = this.#constant(graph, 3, 'int64');
    const wanted = fromData ? graph.op('Min', [most, this.#number(graph, scope)]) : this.#trips(graph);
    // Without a round, nothing tells the sizes of what it would have stacked.
    const trips = scans ? graph.op('Max', [wanted, this.#constant(graph, 1, 'int64')]) : wanted;
    const inputs = [trips, !scans && draws.coin() ? this.#condition(graph, scope) : undefined, ...states];
    const outputs = graph.ops(
      'Loop',
      inputs,
      { body: { graph: body.message() } },
      { outputs: states.length + (scans ? 1 : 0) },
    );
    if (!scans || draws.coin()) return draws.pick(outputs.slice(0, states.length));
    // The sum of all rounds, of which there may be none.
    const axis = graph.constant(encodeTensor('int64', [1], [0]));
    return this.#bounded(graph, graph.op('ReduceSum', [outputs.at(-1), axis], { keepdims: 0 }));
  }

  #trips(graph: GraphBuilder): string {
    return this.#constant(graph, this.#b.draws.between(0, 3), 'int64', this.#b.draws.oneIn(4) ? [1] : []);
  }

  /** Over a few values stacked along a new axis. */
  #scan(graph: GraphBuilder, scope: readonly string[], depth: number): string {
    const { draws } = this.#b;
    const axis = graph.constant(encodeTensor('int64', [1], [0]));
    const parts = Array.from({ length: draws.between(1, 3) }, () => graph.op('Unsqueeze', [draws.pick(scope), axis]));
    const stacked = graph.op('Concat', parts, { axis: 0 });
    const body = graph.subgraph();
    const state = body.input(this.#dtype, this.#shape);
    const item = body.input(this.#dtype, draws.coin() ? this.#shape : undefined);
    const next = this.#bounded(body, this.value(body, [...scope, state, item], depth - 1));
    body.output(next, this.#dtype);
    body.output(body.op('Max', [next, item]), this.#dtype);
    const attributes = {
      body: { graph: body.message() },
      num_scan_inputs: 1,
      scan_input_directions: draws.maybe(() => [draws.below(2)]),
      scan_output_directions: draws.maybe(() => [draws.below(2)]),
    };
    const [last, all] = graph.ops('Scan', [draws.pick(scope), stacked], attributes, { outputs: 2 });
    if (draws.coin()) return last;
    return graph.op('ReduceMax', [all, axis].slice(0, this.#b.opset >= 18 ? 2 : 1), {
      keepdims: 0,
      axes: this.#b.opset >= 18 ? undefined : [0],
    });
  }
}

export function nested(b: CaseBuilder): void {
  const dtype = b.draws.pick(['float32', 'int64', 'int32'] as const);
  if (b.opset < 13) return b.output(b.op('Neg', [b.random('float32', [2])]));
  const shape = drawShape(b.draws, { maxRank: 3, budget: 40, least: 1 });
  const given = Array.from({ length: b.draws.between(1, 3) }, () => b.random(dtype, shape, ['small']));
  const nest = new Nest(b, dtype, shape);
  b.output(nest.value(b.graph, given, b.draws.between(1, 3)));
}

/** A state that grows by some rows in each round: sizes that only a run knows. */
export function growing(b: CaseBuilder): void {
  if (b.opset < 13) return b.output(b.op('Neg', [b.random('float32', [2])]));
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 30 });
  const axis = b.draws.below(shape.length);
  const x = b.random('float32', shape, ['small']);
  // Peers lose the sizes of what no round has stacked.
  const trips = b.draws.between(b.isPeer ? 1 : 0, 4);
  const body = b.graph.subgraph();
  const iteration = body.input('int64', []);
  const going = body.input('bool', []);
  const state = body.input('float32', undefined);
  const row = body.op('Neg', [b.draws.coin() ? x : state]);
  const grown = body.op('Concat', [state, row], { axis });
  body.output(body.op('Identity', [going]), 'bool');
  body.output(grown, 'float32');
  const sizes = b.draws.coin();
  if (sizes) body.output(body.op('Shape', [grown]), 'int64');
  else body.output(body.op('Add', [iteration, iteration]), 'int64');
  const [last, list] = b.ops(
    'Loop',
    [b.scalar('int64', trips), undefined, x],
    { body: { graph: body.message() } },
    { outputs: 2 },
  );
  b.output(b.draws.coin() ? b.op('Relu', [last]) : last, 'float32');
  b.output(list);
  b.output(b.op('Shape', [last]));
}

/** Scan as it was in version 8: batches in front, sequence lengths, directions of all inputs. */
export function batchedScan(b: CaseBuilder): void {
  const [batch, steps] = [b.draws.between(1, 3), b.draws.between(1, 4)];
  const inner = drawShape(b.draws, { maxRank: 2, budget: 12, least: 1 });
  const initial = b.random('float32', [batch, ...inner], ['small']);
  const x = b.random('float32', [batch, steps, ...inner], ['small']);
  const body = b.graph.subgraph();
  const state = body.input('float32', inner);
  const item = body.input('float32', inner);
  body.output(body.op('Add', [state, item]), 'float32');
  body.output(body.op('Sub', [state, item]), 'float32');
  b.allow({ ulps: 4, spread: 2 + countOf(inner) });
  const attributes = {
    body: { graph: body.message() },
    num_scan_inputs: 1,
    directions: b.draws.maybe(() => [b.draws.below(2)]),
  };
  b.outputs(b.ops('Scan', [undefined, initial, x], attributes, { outputs: 2 }));
}
