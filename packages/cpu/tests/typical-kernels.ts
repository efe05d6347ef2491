// Kernels as they occur in models, with symbolic sizes where models have them.

import {
  add,
  and,
  boundedIndex,
  cast,
  constant,
  Dim,
  type DimLike,
  div,
  type Expr,
  elementAt,
  exp,
  ge,
  type Kernel,
  lt,
  max,
  mul,
  newTensorRef,
  type Stage,
  StageBuilder,
  sqrt,
  sub,
  type TensorRef,
} from '@onnx-ts/tensor-ir';

const N = Dim.symbol('N');

function tensor(
  name: string,
  shape: readonly DimLike[],
  order?: readonly number[],
  dtype: 'float32' | 'int64' = 'float32',
) {
  return newTensorRef(name, dtype, shape.map(Dim.from), order && { order });
}

function kernelOf(kind: Kernel['class'], params: readonly TensorRef[], stages: readonly Stage[], rowRank = 0): Kernel {
  const stage = stages[stages.length - 1];
  const output = newTensorRef('y', stage.dtype, stage.shape);
  return { name: stage.name, class: kind, params, stages, outputs: [{ stage, tensor: output }], rowRank, origins: [] };
}

export function biasRelu(): Kernel {
  const [x, bias] = [tensor('x', [N, 768]), tensor('bias', [768])];
  const stage = new StageBuilder().map(
    'float32',
    [N, 768],
    (at) => max(add(elementAt(x, at), elementAt(bias, [at[1]])), 0),
    'relu',
  );
  return kernelOf('pointwise', [x, bias], [stage]);
}

/** Merges heads: [N, 12, 64] to [N, 768] of a tensor stored head by head. */
export function mergeHeads(): Kernel {
  const x = tensor('x', [12, N, 64]);
  const stage = new StageBuilder().map(
    'float32',
    [N, 768],
    ([i, j]) => elementAt(x, [div(j, 64), i, { kind: 'binary', type: 'index', op: 'mod', a: j, b: dim(64) }]),
    'merge',
  );
  return kernelOf('pointwise', [x], [stage]);
}

function dim(value: number): Expr {
  return { kind: 'dim', type: 'index', dim: Dim.constant(value) };
}

export function transpose(): Kernel {
  const x = tensor('x', [N, 200]);
  const stage = new StageBuilder().map('float32', [200, N], ([i, j]) => elementAt(x, [j, i]), 'transpose');
  return kernelOf('pointwise', [x], [stage]);
}

export function softmax(): Kernel {
  const x = tensor('x', [N, 128]);
  const b = new StageBuilder();
  const peak = b.reduce('max', 'float32', [N], [128], ([i], [r]) => elementAt(x, [i, r]), { name: 'peak' });
  const power = b.map('float32', [N, 128], ([i, j]) => exp(sub(elementAt(x, [i, j]), elementAt(peak, [i]))), 'power');
  const total = b.reduce('sum', 'float32', [N], [128], ([i], [r]) => elementAt(power, [i, r]), { name: 'total' });
  const share = b.map('float32', [N, 128], ([i, j]) => div(elementAt(power, [i, j]), elementAt(total, [i])), 'softmax');
  return kernelOf('row', [x], [peak, power, total, share], 1);
}

/** Softmax over 40 channels of images of N pixels, its result in the order of its input. */
export function channelSoftmax(): Kernel {
  const x = tensor('x', [2, 40, N]);
  const b = new StageBuilder();
  const at = ([i, j]: readonly Expr[], channel: Expr) => elementAt(x, [i, channel, j]);
  const peak = b.reduce('max', 'float32', [2, N], [40], (row, [r]) => at(row, r), { name: 'peak' });
  const power = b.map('float32', [2, N, 40], ([i, j, k]) => exp(sub(at([i, j], k), elementAt(peak, [i, j]))), 'power');
  const total = b.reduce('sum', 'float32', [2, N], [40], ([i, j], [r]) => elementAt(power, [i, j, r]), {
    name: 'total',
  });
  const share = b.map(
    'float32',
    [2, N, 40],
    ([i, j, k]) => mul(elementAt(power, [i, j, k]), div(constant('float32', 1), elementAt(total, [i, j]))),
    'softmax',
  );
  const kernel = kernelOf('row', [x], [peak, power, total, share], 2);
  kernel.outputs[0].tensor.order = [0, 2, 1];
  return kernel;
}

export function layerNorm(): Kernel {
  const [x, scale, bias] = [tensor('x', [N, 768]), tensor('scale', [768]), tensor('bias', [768])];
  const b = new StageBuilder();
  const mean = b.reduce('sum', 'float32', [N], [768], ([i], [r]) => mul(elementAt(x, [i, r]), 1 / 768), {
    name: 'mean',
  });
  const centered = b.map('float32', [N, 768], ([i, j]) => sub(elementAt(x, [i, j]), elementAt(mean, [i])), 'centered');
  const variance = b.reduce(
    'sum',
    'float32',
    [N],
    [768],
    ([i], [r]) => mul(mul(elementAt(centered, [i, r]), elementAt(centered, [i, r])), 1 / 768),
    { name: 'variance' },
  );
  const result = b.map(
    'float32',
    [N, 768],
    ([i, j]) => {
      const normal = div(elementAt(centered, [i, j]), sqrt(add(elementAt(variance, [i]), 1e-5)));
      return add(mul(normal, elementAt(scale, [j])), elementAt(bias, [j]));
    },
    'norm',
  );
  return kernelOf('row', [x, scale, bias], [mean, centered, variance, result], 1);
}

/** 3×3 with padding 1 and stride 2, channels last. */
export function maxPool(): Kernel {
  const x = tensor('x', [N, 32, 15, 15], [0, 2, 3, 1]);
  const inside = (e: Expr): Expr => and(ge(e, 0), lt(e, 15));
  const stage = new StageBuilder().reduce(
    'max',
    'float32',
    [N, 32, 8, 8],
    [3, 3],
    ([n, c, i, j], [p, q]) => {
      const [row, column] = [sub(add(mul(i, 2), p), 1), sub(add(mul(j, 2), q), 1)];
      return elementAt(x, [n, c, row, column], { when: and(inside(row), inside(column)), otherwise: -Infinity });
    },
    { name: 'pool' },
  );
  const output = tensor('y', [N, 32, 8, 8], [0, 2, 3, 1]);
  return {
    name: 'pool',
    class: 'reduce',
    params: [x],
    stages: [stage],
    outputs: [{ stage, tensor: output }],
    rowRank: 0,
    origins: [],
  };
}

export function embedding(): Kernel {
  const [table, ids] = [tensor('table', [100, 64]), tensor('ids', [N], undefined, 'int64')];
  const stage = new StageBuilder().map(
    'float32',
    [N, 64],
    ([i, j]) => elementAt(table, [boundedIndex(cast('index', elementAt(ids, [i])), 100), j]),
    'embedding',
  );
  return kernelOf('pointwise', [table, ids], [stage]);
}

export function padRows(): Kernel {
  const x = tensor('x', [N, 30]);
  const stage = new StageBuilder().map(
    'float32',
    [N, 34],
    ([i, j]) => elementAt(x, [i, sub(j, 2)], { when: and(ge(j, 2), lt(j, 32)), otherwise: 0 }),
    'pad',
  );
  return kernelOf('pointwise', [x], [stage]);
}

export function columnMean(): Kernel {
  const x = tensor('x', [N, 768]);
  const stage = new StageBuilder().reduce('sum', 'float32', [768], [N], ([j], [r]) => elementAt(x, [r, j]), {
    name: 'sums',
  });
  return kernelOf('reduce', [x], [stage]);
}

export function argMax(): Kernel {
  const x = tensor('x', [N, 50]);
  const stage = new StageBuilder().reduce('argmax', 'int64', [N], [50], ([i], [r]) => elementAt(x, [i, r]), {
    name: 'best',
  });
  return kernelOf('reduce', [x], [stage]);
}

/** Keys of new positions written into a cache, which the result starts as a copy of. */
export function cacheUpdate(): Kernel {
  const [cache, keys, at] = [tensor('cache', [64, 16]), tensor('keys', [N, 16]), tensor('at', [N], undefined, 'int64')];
  const stage = new StageBuilder().scatter(
    'float32',
    [64, 16],
    (index) => elementAt(cache, index),
    [N, 16],
    ([i, j]) => ({
      destination: [boundedIndex(cast('index', elementAt(at, [i])), 64), j],
      value: elementAt(keys, [i, j]),
    }),
  );
  return kernelOf('scatter', [cache, keys, at], [{ ...stage, name: 'append' }]);
}
