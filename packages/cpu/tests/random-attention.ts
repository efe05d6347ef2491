// Random programs of the shape that exporters and operators give to attention.

import {
  add,
  allocateBuffer,
  cast,
  constant,
  Dim,
  type DType,
  dimension,
  div,
  type Expr,
  elementAt,
  encodeFloat,
  eq,
  exp,
  isNotANumber,
  isSmallFloat,
  le,
  max,
  mul,
  newTensorRef,
  type Operand,
  type Program,
  type Source,
  type Stage,
  StageBuilder,
  select,
  sub,
  type TensorBuffer,
  type TensorRef,
  tanh,
} from '@onnx-ts/tensor-ir';
import type { Random } from './random.ts';

export interface AttentionCase {
  readonly program: Program;
  readonly inputs: ReadonlyMap<TensorRef, TensorBuffer>;
  readonly binding: ReadonlyMap<string, number>;
  readonly description: string;
}

type Axes = 'b' | 'h' | 's' | 't' | 'd';

export function randomAttention(random: Random): AttentionCase {
  const builder = new StageBuilder();
  const wide: DType = 'float32';
  const dtype: DType = random.chance(0.2) ? 'float16' : 'float32';
  const binding = new Map<string, number>();
  const notes: string[] = [dtype];
  const size = (name: string, value: number): Dim => {
    notes.push(`${name}=${value}`);
    if (random.chance(0.4)) return Dim.constant(value);
    binding.set(name, value);
    return Dim.symbol(name);
  };
  const sizes = {
    b: size('b', 1 + random.int(2)),
    h: size('h', 1 + random.int(3)),
    s: size('s', random.pick([1, 1, 2, 3, 4, 5, 1 + random.int(20), 50 + random.int(120)])),
    t: size('t', random.pick([1, 3, 8, 9, 1 + random.int(30), 64, 65, 60 + random.int(150)])),
    d: Dim.constant(random.pick([2, 3, 4, 8, 12, 16, 20, 64])),
  };
  const valueSize = Dim.constant(random.pick([2, 5, 8, 16, 20, 64]));
  const group = random.chance(0.3) ? 2 : 1;
  notes.push(`d=${sizes.d} v=${valueSize} group=${group}`);
  const inputs: TensorRef[] = [];
  const input = (name: string, type: DType, shape: readonly Dim[]): TensorRef => {
    const tensor = newTensorRef(name, type, shape);
    inputs.push(tensor);
    return tensor;
  };
  /** An operand in a random order of axes, perhaps behind a stage that moves or scales it. */
  const operand = (
    name: string,
    axes: readonly Axes[],
    own: Partial<Record<Axes, Dim>>,
  ): ((at: Record<Axes, Expr>) => Expr) => {
    const order = random.pick([axes, [axes[0], axes[2], axes[1], axes[3]], [axes[0], axes[1], axes[3], axes[2]]]);
    notes.push(`${name}:${order.join('')}`);
    const sizeOf = (axis: Axes): Dim => own[axis] ?? sizes[axis];
    let source: Source = input(name, dtype, order.map(sizeOf));
    let stored = order;
    if (random.chance(0.3)) {
      const before = source;
      const factor = random.chance(0.5) ? 0.5 : 1;
      source = builder.map(dtype, axes.map(sizeOf), (index) => {
        const moved = elementAt(
          before,
          order.map((axis) => index[axes.indexOf(axis)]),
        );
        return factor === 1 ? moved : mul(moved, factor);
      });
      stored = axes;
      notes.push(`${name}·${factor}`);
    }
    return (at) =>
      elementAt(
        source,
        stored.map((axis) => at[axis]),
      );
  };
  const heads = sizes.h.mul(group);
  const q = operand('q', ['b', 'h', 's', 'd'], { h: heads });
  const k = operand('k', ['b', 'h', 't', 'd'], {});
  const v = operand('v', ['b', 'h', 't', 'd'], { d: valueSize });
  const accumulated: DType = random.chance(0.5) ? wide : dtype;
  const keyHead = (h: Expr): Expr => (group === 1 ? h : div(h, group));
  const rows = [sizes.b, heads, sizes.s];
  // Exporters of batched products join batch and heads for them.
  const isJoined = group === 1 && random.chance(0.3);
  if (isJoined) notes.push('joined');
  const outer = isJoined ? [sizes.b.mul(heads)] : [sizes.b, heads];
  const joined = (name: Axes, width: Dim, read: (at: Record<Axes, Expr>) => Expr, last: Axes): Stage => {
    const whole = builder.map(dtype, [sizes.b, heads, sizes[name], width], ([b, h, row, column]) =>
      read({ b, h, s: row, t: row, d: column, [last]: column }),
    );
    return builder.view(whole, [...outer, sizes[name], width]);
  };
  const [jq, jk, jv] = isJoined
    ? [joined('s', sizes.d, q, 'd'), joined('t', sizes.d, k, 'd'), joined('t', valueSize, v, 'd')]
    : [];
  const factor = (read: (at: Record<Axes, Expr>) => Expr, flat: Stage | undefined, row: 's' | 't') => {
    return (index: readonly Expr[], at: Expr, feature: Expr): Expr => {
      if (flat) return cast(accumulated, elementAt(flat, [index[0], at, feature]));
      const [b, h] = index;
      const head = row === 's' ? h : keyHead(h);
      return cast(accumulated, read({ b, h: head, s: at, t: at, d: feature }));
    };
  };
  const [queryAt, keyAt, valueAt] = [factor(q, jq, 's'), factor(k, jk, 't'), factor(v, jv, 't')];
  const product = builder.reduce('sum', accumulated, [...outer, sizes.s, sizes.t], [sizes.d], (index, [d]) => {
    const [s, t] = index.slice(outer.length);
    return mul(queryAt(index, s, d), keyAt(index, t, d));
  });
  const scores = isJoined ? builder.view(product, [...rows, sizes.t]) : product;
  const masked = randomLogits(random, { builder, scores, sizes: { ...sizes, h: heads }, input, notes });
  const weights = softmax(random, builder, masked, rows, sizes.t, dtype, notes);
  const probabilities = isJoined ? builder.view(weights, [...outer, sizes.s, sizes.t]) : weights;
  const values = builder.reduce('sum', accumulated, [...outer, sizes.s, valueSize], [sizes.t], (index, [t]) => {
    const [s, d] = index.slice(outer.length);
    const weight = elementAt(probabilities, [...index.slice(0, outer.length), s, t]);
    return mul(cast(accumulated, weight), valueAt(index, t, d));
  });
  let result: Stage = values;
  if (!isJoined && random.chance(0.5)) {
    result = builder.map(dtype, [sizes.b, sizes.s, heads, valueSize], ([b, s, h, d]) =>
      cast(dtype, elementAt(values, [b, h, s, d])),
    );
    notes.push('transposed');
  }
  const output = newTensorRef('result', result.dtype, result.shape);
  const program: Program = { inputs, stages: builder.stages, outputs: [{ tensor: output, source: result }] };
  const buffers = new Map(inputs.map((tensor) => [tensor, fill(random, tensor, binding)]));
  return { program, inputs: buffers, binding, description: notes.join(' ') };
}

interface LogitParts {
  readonly builder: StageBuilder;
  readonly scores: Stage;
  readonly sizes: Readonly<Record<Axes, Dim>>;
  readonly input: (name: string, type: DType, shape: readonly Dim[]) => TensorRef;
  readonly notes: string[];
}

/** Scores scaled, capped and masked. */
function randomLogits(random: Random, { builder, scores, sizes, input, notes }: LogitParts): Stage {
  const { b, h, s, t } = sizes;
  const kind = random.pick(['none', 'bias', 'where', 'causal', 'causal bias']);
  const scale = random.pick([1, 0.25]);
  const cap = random.chance(0.15) ? 3 : 0;
  notes.push(`${kind} scale=${scale} cap=${cap}`);
  const bias = kind.includes('bias') && input('bias', scores.dtype, [b, Dim.constant(1), s, t]);
  const keep = kind === 'where' && input('keep', 'bool', [b, h, s, t]);
  if (kind === 'none' && scale === 1 && cap === 0) return scores;
  return builder.map(scores.dtype, scores.shape, (index) => {
    const [at, head, row, key] = index;
    let value: Expr = elementAt(scores, index);
    if (scale !== 1) value = mul(value, scale);
    if (cap > 0) value = mul(tanh(div(value, cap)), cap);
    if (bias) value = add(value, elementAt(bias, [at, 0, row, key]));
    if (keep) value = select(elementAt(keep, [at, head, row, key]), value, Number.NEGATIVE_INFINITY);
    if (kind.includes('causal')) value = select(le(key, add(row, dimension(2))), value, Number.NEGATIVE_INFINITY);
    return value;
  });
}

/** In one of the ways that operators and exporters treat rows without any key. */
function softmax(
  random: Random,
  builder: StageBuilder,
  logits: Stage,
  rows: readonly Dim[],
  keys: Dim,
  dtype: DType,
  notes: string[],
): Stage {
  const style = random.pick(['plain', 'floor', 'nan to zero', 'sink']);
  notes.push(style);
  const at = (row: readonly Expr[], key: Expr): Expr => cast('float32', elementAt(logits, [...row, key]));
  const peak = builder.reduce('max', 'float32', rows, [keys], (row, [key]) => at(row, key));
  const isGuarded = style === 'floor' || style === 'sink';
  const reference = (row: readonly Expr[]): Expr => {
    const found = elementAt(peak, row);
    if (!isGuarded) return found;
    return max(max(found, -1e38), style === 'sink' ? 0.5 : -1e38);
  };
  const power = builder.map('float32', [...rows, keys], (index) =>
    exp(sub(at(index.slice(0, 3), index[3]), reference(index.slice(0, 3)))),
  );
  const total = builder.reduce('sum', 'float32', rows, [keys], (row, [key]) => elementAt(power, [...row, key]));
  const divisor = (row: readonly Expr[]): Operand => {
    const sum = elementAt(total, row);
    if (style === 'floor') return select(eq(sum, 0), 1, sum);
    return style === 'sink' ? add(sum, exp(sub(constant('float32', 0.5), reference(row)))) : sum;
  };
  return builder.map(dtype, [...rows, keys], (index) => {
    const quotient = cast(dtype, div(elementAt(power, index), divisor(index.slice(0, 3))));
    return style === 'nan to zero' ? select(isNotANumber(quotient), 0, quotient) : quotient;
  });
}

function fill(random: Random, tensor: TensorRef, binding: ReadonlyMap<string, number>): TensorBuffer {
  const buffer = allocateBuffer(
    tensor.dtype,
    tensor.shape.map((dim) => dim.evaluate(binding)),
  );
  const data = buffer.data as Float32Array | Uint16Array | Uint8Array;
  const keys = buffer.dims[buffer.dims.length - 1];
  let isLost = false;
  for (let at = 0; at < data.length; at++) {
    // Now and then a whole row is masked.
    if (at % Math.max(1, keys) === 0) isLost = random.chance(0.1);
    if (tensor.dtype === 'bool') data[at] = isLost || random.chance(0.3) ? 0 : 1;
    else {
      const isMask = tensor.name === 'bias' && (isLost || random.chance(0.2));
      // Narrow scores are rounded by a program and not by its fusion: small ones, so that their exponentials agree.
      const most = isSmallFloat(tensor.dtype) ? 0.5 : 2;
      const value = isMask ? Number.NEGATIVE_INFINITY : (random.next() * 2 - 1) * most;
      data[at] = isSmallFloat(tensor.dtype) ? encodeFloat(tensor.dtype, value) : value;
    }
  }
  return buffer;
}
