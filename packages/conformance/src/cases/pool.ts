// Pooling and its inverse.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { countOf, drawShape } from '../random.ts';
import { encodeTensor, type ValueKind } from '../values.ts';
import { drawWindow } from './conv.ts';

const kinds: readonly ValueKind[] = ['small', 'unit', 'normal'];

function maxPool(b: CaseBuilder): void {
  const dtype = b.dtype();
  const window = drawWindow(b, { smallPads: true, dilates: b.opset >= 10 });
  const x = b.random(dtype, [b.draws.between(1, 2), b.draws.between(1, 4), ...window.image], ['small', 'normal']);
  const attributes = {
    ...window.attributes,
    kernel_shape: window.kernel,
    ceil_mode: b.opset >= 10 ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    storage_order: b.opset >= 8 ? b.draws.maybe(() => b.draws.below(2)) : undefined,
  };
  const wantsIndices = b.opset >= 8 && b.draws.oneIn(3);
  const [y, indices] = b.ops('MaxPool', [x], attributes, { outputs: [true, wantsIndices] });
  b.output(y, dtype);
  if (wantsIndices) b.output(indices);
}

function averagePool(b: CaseBuilder): void {
  const dtype = b.dtype();
  const window = drawWindow(b, { smallPads: true, dilates: b.opset >= 19 });
  const x = b.random(dtype, [b.draws.between(1, 2), b.draws.between(1, 4), ...window.image], kinds);
  b.allowSums(countOf(window.kernel), 2);
  const attributes = {
    ...window.attributes,
    kernel_shape: window.kernel,
    ceil_mode: b.opset >= 10 ? b.draws.maybe(() => b.draws.below(2)) : undefined,
    count_include_pad: b.draws.maybe(() => b.draws.below(2)),
  };
  b.output(b.op('AveragePool', [x], attributes), dtype);
}

function lpPool(b: CaseBuilder): void {
  const dtype = b.dtype();
  const window = drawWindow(b, { smallPads: true, dilates: b.opset >= 18 });
  const x = b.random(dtype, [b.draws.between(1, 2), b.draws.between(1, 4), ...window.image], kinds);
  b.allow({ ulps: 32, spread: 8 });
  const attributes = {
    ...window.attributes,
    kernel_shape: window.kernel,
    p: b.draws.maybe(() => b.draws.between(1, 3)),
    ceil_mode: b.opset >= 18 ? b.draws.maybe(() => b.draws.below(2)) : undefined,
  };
  b.output(b.op('LpPool', [x], attributes), dtype);
}

function globalPool(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype();
    const shape = drawShape(b.draws, { minRank: 3, maxRank: 5, least: 1 });
    if (op !== 'GlobalMaxPool') b.allowSums(countOf(shape.slice(2)), op === 'GlobalLpPool' ? 32 : 2);
    const attributes = op === 'GlobalLpPool' ? { p: b.draws.maybe(() => b.draws.between(1, 3)) } : {};
    b.output(b.op(op, [b.random(dtype, shape, kinds)], attributes), dtype);
  };
}

function maxUnpool(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const kernel = [b.draws.between(1, 3), b.draws.between(1, 3)];
  const [n, c] = [b.draws.between(1, 2), b.draws.between(1, 3)];
  const pooled = [b.draws.between(1, 4), b.draws.between(1, 4)];
  const image = pooled.map((size, axis) => size * kernel[axis]);
  const area = countOf(image);
  const generator = b.draws.generator();
  // Each position once.
  const indices = Array.from({ length: n * c }, (_, plane) => {
    const order = Array.from({ length: area }, (_, at) => at);
    for (let at = area - 1; at > 0; at--) {
      const other = generator.below(at + 1);
      [order[at], order[other]] = [order[other], order[at]];
    }
    return order.slice(0, countOf(pooled)).map((at) => plane * area + at);
  }).flat();
  const dims = [n, c, ...pooled];
  const inputs = [b.random(dtype, dims, kinds), b.operand(encodeTensor('int64', dims, indices))];
  b.output(b.op('MaxUnpool', inputs, { kernel_shape: kernel, strides: kernel }), dtype);
}

function maxRoiPool(b: CaseBuilder): void {
  const dtype = b.dtype();
  const [n, c, h, w] = [b.draws.between(1, 2), b.draws.between(1, 3), b.draws.between(3, 12), b.draws.between(3, 12)];
  const count = b.draws.between(1, 4);
  const generator = b.draws.generator();
  const rois = Array.from({ length: count }, () => {
    const [x, y] = [generator.below(w), generator.below(h)];
    return [generator.below(n), x, y, generator.between(x, w - 1), generator.between(y, h - 1)];
  }).flat();
  const inputs = [b.random(dtype, [n, c, h, w], ['small', 'normal']), b.operand(encodeTensor(dtype, [count, 5], rois))];
  b.output(b.op('MaxRoiPool', inputs, { pooled_shape: [b.draws.between(1, 3), b.draws.between(1, 3)] }), dtype);
}

export const pools: Family = {
  name: 'pool',
  cases: {
    MaxPool: maxPool,
    AveragePool: averagePool,
    LpPool: lpPool,
    GlobalMaxPool: globalPool('GlobalMaxPool'),
    GlobalAveragePool: globalPool('GlobalAveragePool'),
    GlobalLpPool: globalPool('GlobalLpPool'),
    MaxUnpool: maxUnpool,
    MaxRoiPool: maxRoiPool,
  },
};
