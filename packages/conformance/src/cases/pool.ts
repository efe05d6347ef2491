// Pooling and its inverse.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { countOf, drawShape } from '../random.ts';
import { allKinds, encodeTensor, type ValueKind } from '../values.ts';
import { drawWindow } from './conv.ts';
import { factorKinds } from './matmul.ts';

const kinds: readonly ValueKind[] = ['small', 'unit', 'normal'];

function maxPool(b: CaseBuilder): void {
  const dtype = b.dtype();
  const window = drawWindow(b, { smallPads: true, dilates: b.opset >= 10 });
  const x = b.random(
    dtype,
    [b.draws.between(1, 2), b.draws.between(1, 4), ...window.image],
    b.isPeer ? ['small', 'normal'] : ['small', 'normal', 'wide', 'special'],
  );
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
  const x = b.random(dtype, [b.draws.between(1, 2), b.draws.between(1, 4), ...window.image], factorKinds(b));
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
    const shape = drawShape(b.draws, { minRank: 3, maxRank: 6, least: b.isPeer ? 1 : 0 });
    if (op !== 'GlobalMaxPool') b.allowSums(countOf(shape.slice(2)), op === 'GlobalLpPool' ? 32 : 2);
    const attributes = op === 'GlobalLpPool' ? { p: b.draws.maybe(() => b.draws.between(1, 3)) } : {};
    const valueKinds = op === 'GlobalMaxPool' && !b.isPeer ? allKinds : factorKinds(b);
    b.output(b.op(op, [b.random(dtype, shape, valueKinds)], attributes), dtype);
  };
}

function maxUnpool(b: CaseBuilder): void {
  const dtype = b.dtype('T1');
  const rank = b.draws.pick([2, 1, 3]);
  const sizes = (least: number, most: number) => Array.from({ length: rank }, () => b.draws.between(least, most));
  const kernel = sizes(1, 3);
  const strides = b.draws.coin() ? kernel : sizes(1, 3);
  const pads = b.draws.oneIn(3) ? kernel.flatMap((size) => [b.draws.below(size), b.draws.below(size)]) : undefined;
  const [n, c] = [b.draws.between(1, 2), b.draws.between(1, 3)];
  const pooled = sizes(2, 4);
  const padded = (axis: number): number => (pads ? pads[axis] + pads[axis + rank] : 0);
  const image = pooled.map((size, axis) => (size - 1) * strides[axis] + kernel[axis] - padded(axis));
  if (image.some((size) => size < 1)) return maxUnpool(b);
  const larger = b.draws.oneIn(3) ? image.map((size) => size + b.draws.below(3)) : undefined;
  const area = countOf(image);
  const generator = b.draws.generator();
  // Each position once, as long as there are enough of them.
  const indices = Array.from({ length: n * c }, (_, plane) => {
    const order = Array.from({ length: area }, (_, at) => at);
    for (let at = area - 1; at > 0; at--) {
      const other = generator.below(at + 1);
      [order[at], order[other]] = [order[other], order[at]];
    }
    return Array.from({ length: countOf(pooled) }, (_, at) => plane * area + order[at % area]);
  }).flat();
  if (countOf(pooled) > area) return maxUnpool(b);
  const dims = [n, c, ...pooled];
  const inputs = [
    b.random(dtype, dims, kinds),
    b.operand(encodeTensor('int64', dims, indices)),
    larger && b.int64s([n, c, ...larger]),
  ];
  const hasStrides = strides.some((stride) => stride > 1) || b.draws.coin();
  const attributes = { kernel_shape: kernel, strides: hasStrides ? strides : undefined, pads };
  b.output(b.op('MaxUnpool', inputs, attributes), dtype);
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
