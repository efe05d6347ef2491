// Small graphs of many operators: what fusion, layouts, aliases and the planning of memory can get wrong.

import { codeOfDType } from '@onnx-ts/core/internal';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { float } from '../graph-builder.ts';
import { countOf, drawShape, drawSize, drawStretchable } from '../random.ts';
import { drawFloats, encodeTensor } from '../values.ts';

interface Item {
  readonly name: string;
  readonly dims: readonly number[];
  /** Bound of the magnitudes. */
  readonly size: number;
  /** Every runtime gets the same bits, so that comparing and picking by value is safe. */
  readonly isExact: boolean;
}

type GraphType = 'float32' | 'float64' | 'float16';

const largestCount = 5000;
/** Squares of these must be finite, too. */
const largestSizes = { float32: 1e4, float64: 1e4, float16: 60 };

class RandomGraph {
  readonly b: CaseBuilder;
  readonly dtype: GraphType;
  readonly items: Item[] = [];
  /** Largest bound met, for the tolerance. */
  #peak = 1;
  #roundsToHalf: boolean;
  readonly #largestSize: number;

  constructor(b: CaseBuilder, dtype: GraphType) {
    this.b = b;
    this.dtype = dtype;
    this.#largestSize = largestSizes[dtype];
    this.#roundsToHalf = dtype === 'float16';
  }

  add(name: string, dims: readonly number[], size: number, isExact: boolean): Item {
    const item = { name, dims, size, isExact };
    this.items.push(item);
    this.#peak = Math.max(this.#peak, size);
    return item;
  }

  /** A new tensor of small halves, which sums and products of a few keep exact. */
  fresh(dims: readonly number[], place: 'input' | 'any' = 'any'): Item {
    return this.add(this.b.random(this.dtype, dims, ['small'], place), dims, 4, true);
  }

  /** A recent value more often than an old one. */
  pick(): Item {
    return this.b.draws.pickEarly([...this.items].reverse());
  }

  int64s(values: readonly number[]): string {
    return this.b.graph.initializer(encodeTensor('int64', [values.length], values));
  }

  op(op: string, inputs: readonly (string | undefined)[], attributes = {}): string {
    return this.b.op(op, inputs, attributes);
  }

  finish(): void {
    const { b } = this;
    const last = this.items[this.items.length - 1];
    b.graph.output(last.name);
    const read = new Set(b.graph.nodes.flatMap((node) => [...node.input!]));
    const made = new Set(b.graph.nodes.flatMap((node) => [...node.output!]));
    // What nobody reads is mostly an output, and some of what is read is one, too.
    const unread = this.items.filter((item) => made.has(item.name) && !read.has(item.name) && b.draws.below(4) < 3);
    const others = new Set(
      [...unread, ...Array.from({ length: b.draws.below(3) }, () => this.pick())].map((item) => item.name),
    );
    others.delete(last.name);
    // An input or a constant is an output under a name of its own.
    for (const name of others) b.graph.output(made.has(name) ? name : this.op('Identity', [name]));
    if (b.draws.oneIn(6)) b.graph.output(this.op('Identity', [last.name]));
    b.allow({
      ulps: 64,
      absolute: this.#peak * (this.dtype === 'float16' ? 2 ** -5 : this.#roundsToHalf ? 2 ** -8 : 2 ** -23 * 200),
    });
  }

  step(): void {
    const { b } = this;
    const steps = [
      this.unary,
      this.pair,
      this.move,
      this.reduce,
      this.normalize,
      this.product,
      this.window,
      this.choose,
      this.convert,
    ];
    b.draws.pickEarly(steps).call(this);
  }

  unary(): void {
    const x = this.pick();
    const op = this.b.draws.pick([
      'Relu',
      'Neg',
      'Abs',
      'Tanh',
      'Sigmoid',
      'Erf',
      'Exp',
      'Sqrt',
      'Clip',
      'LeakyRelu',
      'Floor',
    ]);
    const isExact = x.isExact && !/Tanh|Sigmoid|Erf|Exp|Sqrt|Leaky/.test(op);
    if (op === 'Exp') {
      const bounded = this.op('Tanh', [x.name]);
      this.add(this.op('Exp', [bounded]), x.dims, 3, false);
    } else if (op === 'Sqrt') {
      const positive = this.op('Add', [
        this.op('Abs', [x.name]),
        this.b.graph.initializer(encodeTensor(this.dtype, [], [1])),
      ]);
      this.add(this.op('Sqrt', [positive]), x.dims, Math.sqrt(x.size + 1), false);
    } else if (op === 'Clip') {
      const [low, high] = [-2, 3].map((bound) => this.b.graph.initializer(encodeTensor(this.dtype, [], [bound])));
      this.add(this.op('Clip', [x.name, low, high]), x.dims, 3, x.isExact);
    } else if (op === 'Floor') {
      // Not of a value that may lie on either side of a whole number.
      if (x.isExact) this.add(this.op(op, [x.name]), x.dims, x.size + 1, true);
      else this.add(this.op('Identity', [x.name]), x.dims, x.size, false);
    } else {
      this.add(this.op(op, [x.name]), x.dims, /Tanh|Sigmoid|Erf/.test(op) ? 1 : x.size, isExact);
    }
  }

  pair(): void {
    const { b } = this;
    const x = this.pick();
    const fitting = this.items.filter((item) => isStretchable(item.dims, x.dims));
    const y =
      b.draws.coin() && fitting.length > 0 ? b.draws.pick(fitting) : this.fresh(drawStretchable(b.draws, x.dims));
    const op = b.draws.pick(['Add', 'Mul', 'Sub', 'Max', 'Min', 'Div']);
    const operands = b.draws.coin() ? [x, y] : [y, x];
    const isExact = x.isExact && y.isExact;
    if (op === 'Div') {
      const one = b.graph.initializer(encodeTensor(this.dtype, [], [1]));
      const divisor = this.op('Add', [this.op('Abs', [y.name]), one]);
      this.add(this.op('Div', [x.name, divisor]), x.dims, x.size, false);
      return;
    }
    const size =
      op === 'Mul' ? x.size * y.size : op === 'Add' || op === 'Sub' ? x.size + y.size : Math.max(x.size, y.size);
    if (size > this.#largestSize) {
      this.add(this.op('Tanh', [x.name]), x.dims, 1, false);
      return;
    }
    this.add(
      this.op(
        op,
        operands.map((item) => item.name),
      ),
      x.dims,
      size,
      isExact && size < 2 ** 10,
    );
  }

  move(): void {
    const { b } = this;
    const x = this.pick();
    const { dims } = x;
    const rank = dims.length;
    const keep = (name: string, shape: readonly number[]): void => {
      this.add(name, shape, x.size, x.isExact);
    };
    if (rank === 0) return keep(this.op('Unsqueeze', [x.name, this.int64s([0])]), [1]);
    const axis = b.draws.below(rank);
    switch (b.draws.below(9)) {
      case 0: {
        const perm = b.draws.shuffled(dims.map((_, at) => at));
        return keep(
          this.op('Transpose', [x.name], { perm }),
          perm.map((at) => dims[at]),
        );
      }
      case 1: {
        const [head, tail] = [dims.slice(0, axis), dims.slice(axis)];
        const target = b.draws.coin() ? [...head, countOf(tail)] : [countOf(head), countOf(tail)];
        const written = countOf(dims) > 0 && b.draws.coin() ? target.with(b.draws.below(target.length), -1) : target;
        return keep(
          this.op('Reshape', [x.name, this.int64s(written)], countOf(dims) === 0 ? { allowzero: 1 } : {}),
          target,
        );
      }
      case 2: {
        const begin = b.draws.below(Math.max(1, dims[axis]));
        const end = b.draws.between(begin, dims[axis]);
        const step = b.draws.pick([1, 2]);
        const name = this.op('Slice', [
          x.name,
          this.int64s([begin]),
          this.int64s([end]),
          this.int64s([axis]),
          this.int64s([step]),
        ]);
        return keep(name, dims.with(axis, Math.ceil(Math.max(0, end - begin) / step)));
      }
      case 3: {
        const others = this.items.filter(
          (item) => item.dims.length === rank && item.dims.every((size, at) => at === axis || size === dims[at]),
        );
        const y = b.draws.pick(others);
        if (countOf(dims) + countOf(y.dims) > largestCount) return keep(this.op('Identity', [x.name]), dims);
        this.add(
          this.op('Concat', [x.name, y.name], { axis }),
          dims.with(axis, dims[axis] + y.dims[axis]),
          Math.max(x.size, y.size),
          x.isExact && y.isExact,
        );
        return;
      }
      case 4: {
        const pads = dims.flatMap(() => b.draws.below(2));
        const ends = dims.flatMap(() => b.draws.below(2));
        const shape = dims.map((size, at) => size + pads[at] + ends[at]);
        if (countOf(shape) > largestCount) return keep(this.op('Identity', [x.name]), dims);
        return keep(this.op('Pad', [x.name, this.int64s([...pads, ...ends])]), shape);
      }
      case 5: {
        if (dims[axis] < 2)
          return keep(this.op('Unsqueeze', [x.name, this.int64s([axis])]), dims.toSpliced(axis, 0, 1));
        const first = b.draws.between(1, dims[axis] - 1);
        const parts = b.ops('Split', [x.name, this.int64s([first, dims[axis] - first])], { axis }, { outputs: 2 });
        keep(parts[0], dims.with(axis, first));
        return keep(parts[1], dims.with(axis, dims[axis] - first));
      }
      case 6: {
        if (dims[axis] === 0) return keep(this.op('Identity', [x.name]), dims);
        const picks = Array.from({ length: b.draws.between(1, 3) }, () => b.draws.between(-dims[axis], dims[axis] - 1));
        return keep(this.op('Gather', [x.name, this.int64s(picks)], { axis }), dims.with(axis, picks.length));
      }
      case 7: {
        const target = [b.draws.between(1, 3), ...dims];
        if (countOf(target) > largestCount) return keep(this.op('Identity', [x.name]), dims);
        return keep(this.op('Expand', [x.name, this.int64s(target)]), target);
      }
      default:
        return keep(this.op('Flatten', [x.name], { axis }), [countOf(dims.slice(0, axis)), countOf(dims.slice(axis))]);
    }
  }

  reduce(): void {
    const { b } = this;
    const x = this.pick();
    if (x.dims.length === 0 || countOf(x.dims) === 0) return this.unary();
    const axis = b.draws.below(x.dims.length);
    const keepdims = b.draws.coin() ? 0 : 1;
    const shape = keepdims ? x.dims.with(axis, 1) : x.dims.toSpliced(axis, 1);
    const op = b.draws.pick(['ReduceMean', 'ReduceMax', 'ReduceSum', 'ReduceL2', 'CumSum']);
    const n = x.dims[axis];
    if (op === 'CumSum') {
      if (x.size * n > this.#largestSize) return this.unary();
      this.add(
        this.op(op, [x.name, this.b.graph.initializer(encodeTensor('int64', [], [axis]))]),
        x.dims,
        x.size * n,
        x.isExact,
      );
      return;
    }
    const isOld = b.opset < 18 && op !== 'ReduceSum';
    const name = isOld
      ? this.op(op, [x.name], { axes: [axis], keepdims })
      : this.op(op, [x.name, this.int64s([axis])], { keepdims });
    const size = op === 'ReduceSum' ? x.size * n : op === 'ReduceL2' ? x.size * Math.sqrt(n) : x.size;
    this.add(name, shape, size, x.isExact && op !== 'ReduceMean' && op !== 'ReduceL2' && size < 2 ** 10);
  }

  normalize(): void {
    const { b } = this;
    const x = this.pick();
    const rank = x.dims.length;
    if (rank === 0 || countOf(x.dims) === 0) return this.unary();
    const inner = x.dims[rank - 1];
    switch (b.draws.below(4)) {
      case 0:
        this.add(
          this.op('Softmax', [x.name], { axis: b.draws.pick([rank - 1, -1, b.draws.below(rank)]) }),
          x.dims,
          1,
          false,
        );
        return;
      case 1: {
        if (b.opset < 17) return this.unary();
        const [scale, shift] = [this.fresh([inner]), this.fresh([inner])];
        const name = this.op('LayerNormalization', [x.name, scale.name, shift.name], { epsilon: float(0.5) });
        this.add(name, x.dims, 4 * Math.sqrt(inner) + 4, false);
        return;
      }
      case 2: {
        // As exporters write it out.
        const isOld = b.opset < 18;
        const mean = (name: string): string => {
          return isOld
            ? this.op('ReduceMean', [name], { axes: [-1] })
            : this.op('ReduceMean', [name, this.int64s([-1])]);
        };
        const centred = this.op('Sub', [x.name, mean(x.name)]);
        const variance = mean(this.op('Mul', [centred, centred]));
        const half = b.graph.initializer(encodeTensor(this.dtype, [], [0.5]));
        const name = this.op('Div', [centred, this.op('Sqrt', [this.op('Add', [variance, half])])]);
        this.add(name, x.dims, Math.sqrt(inner), false);
        return;
      }
      default:
        this.add(this.op('LogSoftmax', [x.name], { axis: -1 }), x.dims, 2 * x.size + Math.log(inner) + 1, false);
    }
  }

  product(): void {
    const { b } = this;
    const x = this.pick();
    const rank = x.dims.length;
    if (rank < 2 || countOf(x.dims) === 0) return this.pair();
    const [m, k] = x.dims.slice(-2);
    if (b.draws.below(3) === 2 && m * m * countOf(x.dims.slice(0, -2)) <= largestCount) {
      const perm = x.dims.map((_, axis) => (axis === rank - 1 ? rank - 2 : axis === rank - 2 ? rank - 1 : axis));
      const other = this.op('Transpose', [x.name], { perm });
      if (x.size * x.size * k > this.#largestSize) return this.normalize();
      this.add(this.op('MatMul', [x.name, other]), [...x.dims.slice(0, -1), m], x.size * x.size * k, false);
      return;
    }
    const n = drawSize(b.draws, Math.min(33, Math.floor(largestCount / countOf(x.dims.slice(0, -1)))));
    const bound = 1 / Math.sqrt(k);
    const weight = b.operand(
      drawFloats(b.draws, this.dtype, [k, n], -bound, bound),
      b.draws.coin() ? 'initializer' : 'any',
    );
    const size = x.size * Math.sqrt(k);
    if (rank === 2 && b.draws.coin()) {
      const bias = this.fresh([n]);
      this.add(this.op('Gemm', [x.name, weight, bias.name]), [m, n], size + 4, false);
      return;
    }
    this.add(this.op('MatMul', [x.name, weight]), [...x.dims.slice(0, -1), n], size, false);
  }

  window(): void {
    const { b } = this;
    const x = b.draws.pick([this.pick(), ...this.items.filter((item) => item.dims.length === 4)]);
    if (x.dims.length !== 4 || countOf(x.dims) === 0) return this.pair();
    const [n, c, h, w] = x.dims;
    if (b.draws.coin()) {
      const [to, kernel] = [b.draws.pick([2, 1, 4, 8]), b.draws.pick([3, 1])];
      if (n * to * h * w > largestCount) return this.unary();
      const bound = 1 / Math.sqrt(c * kernel * kernel);
      const weight = b.operand(drawFloats(b.draws, this.dtype, [to, c, kernel, kernel], -bound, bound), 'initializer');
      const pad = (kernel - 1) / 2;
      const bias = b.draws.maybe(() => this.fresh([to]).name);
      const name = this.op('Conv', [x.name, weight, bias], { pads: [pad, pad, pad, pad] });
      this.add(name, [n, to, h, w], x.size * Math.sqrt(c * kernel * kernel) + 4, false);
      return;
    }
    const op = b.draws.pick(['MaxPool', 'AveragePool', 'GlobalAveragePool']);
    const isGlobal = op === 'GlobalAveragePool';
    const name = isGlobal ? this.op(op, [x.name]) : this.op(op, [x.name], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
    this.add(name, isGlobal ? [n, c, 1, 1] : x.dims, x.size, x.isExact && op === 'MaxPool');
  }

  /** Values that decide: only those that are the same everywhere. */
  choose(): void {
    const { b } = this;
    const exact = this.items.filter((item) => item.isExact);
    const condition = b.draws.pick(exact);
    const bool = this.op(b.draws.pick(['Greater', 'LessOrEqual', 'Equal']), [
      condition.name,
      b.graph.initializer(encodeTensor(this.dtype, [], [0.5])),
    ]);
    if (b.draws.oneIn(3) && condition.dims.length > 0 && countOf(condition.dims) > 0) {
      const indices = this.op('ArgMax', [condition.name], { axis: -1, keepdims: 1 });
      this.add(
        this.op('Cast', [indices], { to: codeOfDType(this.dtype) }),
        condition.dims.with(-1, 1),
        condition.dims.at(-1)!,
        true,
      );
      return;
    }
    const same = this.items.filter((item) => isStretchable(condition.dims, item.dims));
    if (same.length === 0) {
      this.add(this.op('Cast', [bool], { to: codeOfDType(this.dtype) }), condition.dims, 1, true);
      return;
    }
    const x = b.draws.pick(same);
    const y = this.fresh(drawStretchable(b.draws, x.dims));
    this.add(this.op('Where', [bool, x.name, y.name]), x.dims, Math.max(x.size, 4), x.isExact);
  }

  convert(): void {
    const { b } = this;
    const x = this.pick();
    const type =
      x.isExact && x.size < 100
        ? b.draws.pick(['float16', 'int32', 'int64', 'float64', 'bfloat16', 'int8'] as const)
        : b.draws.pick(['float64', 'float16'] as const);
    const there = this.op('Cast', [x.name], { to: codeOfDType(type) });
    const changed = b.draws.coin() ? this.op('Add', [there, there]) : there;
    const isHalf = type === 'float16' || type === 'bfloat16';
    if (isHalf && !x.isExact) this.#roundsToHalf = true;
    const isHere = type === 'int8' && x.size > 60;
    this.add(
      this.op('Cast', [isHere ? there : changed], { to: codeOfDType(this.dtype) }),
      x.dims,
      2 * x.size,
      x.isExact && !(type === 'bfloat16' && x.size > 30),
    );
  }
}

/** Whether a shape can be stretched to another one. */
function isStretchable(from: readonly number[], to: readonly number[]): boolean {
  if (from.length > to.length) return false;
  return from.every((size, at) => size === 1 || size === to[to.length - from.length + at]);
}

function randomGraph(b: CaseBuilder, start: () => readonly number[], dtype: GraphType = 'float32'): void {
  if (b.opset < 13) return b.output(b.op('Neg', [b.random('float32', start())]));
  const graph = new RandomGraph(b, dtype);
  b.leavesRanksOpen = b.draws.oneIn(12);
  const count = b.draws.between(1, 3);
  for (let at = 0; at < count; at++)
    graph.fresh(at === 0 || b.draws.coin() ? start() : drawStretchable(b.draws, graph.items[0].dims), 'input');
  for (let left = b.draws.between(2, 16); left > 0; left--) graph.step();
  graph.finish();
}

export const graphs: Family = {
  name: 'graphs',
  cases: {
    'Add#any': (b) => randomGraph(b, () => drawShape(b.draws, { maxRank: 4, budget: 600 })),
    'Add#half': (b) =>
      randomGraph(b, () => drawShape(b.draws, { maxRank: 4, budget: 600 }), b.draws.pick(['float16', 'float64'])),
    'Conv#half': (b) =>
      randomGraph(b, () => [1, b.draws.pick([3, 1, 4, 8]), b.draws.pick([4, 5]), b.draws.pick([4, 7, 8])], 'float16'),
    'MatMul#half': (b) =>
      randomGraph(b, () => [b.draws.between(1, 3), b.draws.pick([4, 1, 7]), b.draws.pick([8, 3, 16, 33])], 'float16'),
    'MatMul#tokens': (b) =>
      randomGraph(b, () => [b.draws.between(1, 3), b.draws.pick([4, 1, 7, 8, 17]), b.draws.pick([8, 3, 16, 32, 33])]),
    'Conv#images': (b) =>
      randomGraph(b, () => [
        b.draws.between(1, 2),
        b.draws.pick([3, 1, 4, 8]),
        b.draws.pick([4, 5, 8]),
        b.draws.pick([4, 7, 8]),
      ]),
  },
};
