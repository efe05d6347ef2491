// Elements picked and placed by index tensors.

import { isFloat } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { countOf, drawShape, type Generator } from '../random.ts';
import { allKinds, encodeTensor } from '../values.ts';
import { drawAxis, signedAxis } from './movement.ts';

function indexTensor(
  b: CaseBuilder,
  dims: readonly number[],
  pick: (generator: Generator, at: number) => number,
): string {
  const dtype = b.draws.pick(['int64', 'int32'] as const);
  const generator = b.draws.generator();
  return b.operand(
    encodeTensor(
      dtype,
      dims,
      Array.from({ length: countOf(dims) }, (_, at) => pick(generator, at)),
    ),
  );
}

/** Positions in [−size, size), or only those from 0 on. */
function position(generator: Generator, size: number, signed: boolean): number {
  return signed ? generator.between(-size, size - 1) : generator.below(size);
}

function gather(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 6, budget: 500 });
  const axis = drawAxis(b, shape.length);
  // Nothing can be picked from an empty axis.
  const picked = shape[axis] === 0 ? [0] : drawShape(b.draws, { maxRank: 3, budget: 30 });
  const signed = b.opset >= 11;
  const indices = indexTensor(b, picked, (generator) => position(generator, shape[axis], signed));
  const attributes = { axis: axis === 0 && b.draws.coin() ? undefined : signedAxis(b, axis, shape.length) };
  b.output(b.op('Gather', [b.random(dtype, shape, allKinds), indices], attributes), dtype);
}

function gatherElements(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, least: 1 });
  const axis = drawAxis(b, shape.length);
  const picked = shape.map((size, at) => (at === axis ? b.draws.pick([1, size, 2, 5]) : b.draws.between(1, size)));
  const indices = indexTensor(b, picked, (generator) => position(generator, shape[axis], true));
  const attributes = { axis: axis === 0 && b.draws.coin() ? undefined : signedAxis(b, axis, shape.length) };
  b.output(b.op('GatherElements', [b.random(dtype, shape, allKinds), indices], attributes), dtype);
}

function gatherND(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 300, least: 1 });
  const batch = b.opset >= 12 ? b.draws.below(shape.length) : 0;
  const length = b.draws.between(1, shape.length - batch);
  const outer = drawShape(b.draws, { maxRank: 2, budget: 20 });
  const dims = [...shape.slice(0, batch), ...outer, length];
  const generator = b.draws.generator();
  const values = Array.from({ length: countOf(dims) }, (_, at) =>
    position(generator, shape[batch + (at % length)], true),
  );
  const indices = b.operand(encodeTensor('int64', dims, values));
  const attributes = { batch_dims: batch === 0 && b.draws.coin() ? undefined : batch };
  b.output(b.op('GatherND', [b.random(dtype, shape, allKinds), indices], b.opset >= 12 ? attributes : {}), dtype);
}

function drawReduction(b: CaseBuilder): string | undefined {
  const known = b.opset >= 18 ? [undefined, 'none', 'add', 'mul', 'max', 'min'] : [undefined, 'none', 'add', 'mul'];
  return b.opset >= 16 ? b.draws.pick(known) : undefined;
}

function scatterElements(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const reduction = op === 'Scatter' ? undefined : drawReduction(b);
    const combines = reduction !== undefined && reduction !== 'none';
    const dtype = b.dtype('T', combines ? ['string', 'bool', 'complex64', 'complex128'] : []);
    const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 500, least: 1 });
    const axis = drawAxis(b, shape.length);
    const picked = shape.map((size, at) => (b.draws.coin() || at === axis ? size : b.draws.between(1, size)));
    // ONNX leaves open which of them stays; here, it is the last.
    const isUnique = !combines && (b.isPeer || b.draws.coin());
    // Without a rule for what meets in one place, no two may.
    const count = isUnique ? b.draws.between(0, shape[axis]) : b.draws.pick([shape[axis], 1, shape[axis] + 2, 0]);
    picked[axis] = count;
    const generator = b.draws.generator();
    const inner = countOf(picked.slice(axis + 1));
    const orders = new Map<number, number[]>();
    const values = Array.from({ length: countOf(picked) }, (_, at) => {
      if (!isUnique) return position(generator, shape[axis], true);
      const along = Math.floor(at / inner) % count;
      const line = Math.floor(at / (inner * count)) * inner + (at % inner);
      let order = orders.get(line);
      if (!order) {
        order = Array.from({ length: shape[axis] }, (_, i) => i);
        for (let i = order.length - 1; i > 0; i--) {
          const j = generator.below(i + 1);
          [order[i], order[j]] = [order[j], order[i]];
        }
        orders.set(line, order);
      }
      return generator.below(2) ? order[along] : order[along] - shape[axis];
    });
    const indices = b.operand(encodeTensor(b.draws.pick(['int64', 'int32']), picked, values));
    // Sums and products of these are exact, in whichever order.
    const kinds = combines && isFloat(dtype) ? (['small'] as const) : allKinds;
    if (reduction === 'mul') b.allow({ ulps: 8 });
    const inputs = [b.random(dtype, shape, kinds), indices, b.random(dtype, picked, kinds)];
    const attributes = {
      axis: axis === 0 && b.draws.coin() ? undefined : signedAxis(b, axis, shape.length),
      reduction,
    };
    b.output(b.op(op, inputs, attributes), dtype);
  };
}

function scatterND(b: CaseBuilder): void {
  const reduction = drawReduction(b);
  const combines = reduction !== undefined && reduction !== 'none';
  const dtype = b.dtype('T', combines ? ['string', 'bool', 'complex64', 'complex128'] : []);
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 300, least: 1 });
  const length = b.draws.between(1, shape.length);
  const places = countOf(shape.slice(0, length));
  const count = b.draws.between(combines ? 1 : 0, Math.min(places, 12));
  const generator = b.draws.generator();
  const order = Array.from({ length: places }, (_, i) => i);
  for (let i = places - 1; i > 0; i--) {
    const j = generator.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  const values = Array.from({ length: count }, (_, at) => {
    let rest = combines ? generator.below(places) : order[at];
    const tuple: number[] = [];
    for (let axis = length - 1; axis >= 0; axis--) {
      const i = rest % shape[axis];
      tuple.unshift(generator.below(3) === 2 ? i - shape[axis] : i);
      rest = Math.floor(rest / shape[axis]);
    }
    return tuple;
  }).flat();
  // A list of tuples may have any number of axes.
  const halves = count % 2 === 0 && b.draws.coin() ? [count / 2, 2] : [count];
  const outer = count === 1 && b.draws.coin() ? [] : halves;
  const indices = b.operand(encodeTensor('int64', [...outer, length], values));
  const kinds = combines && isFloat(dtype) ? (['small'] as const) : allKinds;
  if (reduction === 'mul') b.allow({ ulps: 8 });
  const updates = b.random(dtype, [...outer, ...shape.slice(length)], kinds);
  b.output(b.op('ScatterND', [b.random(dtype, shape, kinds), indices, updates], { reduction }), dtype);
}

function tensorScatter(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 3, maxRank: 4, budget: 300, least: 1 });
  const axis = b.draws.between(1, shape.length - 1);
  const mode = b.draws.pick([undefined, 'linear', 'circular']);
  const length = b.draws.between(1, shape[axis]);
  const most = mode === 'circular' ? shape[axis] - 1 : shape[axis] - length;
  const writes = b.draws.maybe(() => b.int64s(Array.from({ length: shape[0] }, () => b.draws.between(0, most))));
  const inputs = [b.random(dtype, shape, allKinds), b.random(dtype, shape.with(axis, length), allKinds), writes];
  const signed = axis === shape.length - 2 && b.draws.coin() ? undefined : signedAxis(b, axis, shape.length);
  b.output(b.op('TensorScatter', inputs, { axis: signed, mode }), dtype);
}

function compress(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 200 });
  const axis = b.draws.maybe(() => drawAxis(b, shape.length));
  const size = axis === undefined ? countOf(shape) : shape[axis];
  const condition = b.random('bool', [b.draws.between(0, size)]);
  const signed = axis === undefined || b.opset < 11 ? axis : signedAxis(b, axis, shape.length);
  b.output(b.op('Compress', [b.random(dtype, shape, allKinds), condition], { axis: signed }), dtype);
}

function nonZero(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['complex64', 'complex128']);
  b.output(
    b.op('NonZero', [b.random(dtype, drawShape(b.draws, { minRank: b.isPeer ? 1 : 0 }), ['small', 'special', 'unit'])]),
  );
}

function unique(b: CaseBuilder): void {
  const dtype = b.dtype('T', ['complex64', 'complex128']);
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 100 });
  const axis = b.draws.maybe(() => signedAxis(b, drawAxis(b, shape.length), shape.length));
  const sorted = b.draws.maybe(() => b.draws.below(2));
  const outputs = [true, ...Array.from({ length: 3 }, () => b.draws.coin())];
  b.outputs(
    b.ops(
      'Unique',
      [b.random(dtype, shape, b.isPeer ? ['small'] : ['small', 'spiked', 'special'])],
      { axis, sorted },
      { outputs },
    ),
  );
}

function oneHot(b: CaseBuilder): void {
  const [indexType, depthType, dtype] = [b.dtype('T1'), b.dtype('T2'), b.dtype('T3')];
  const depth = b.draws.between(b.isPeer ? 1 : 0, 9);
  const shape = drawShape(b.draws, { maxRank: 5, budget: 50 });
  const generator = b.draws.generator();
  const low = indexType.startsWith('u') ? 0 : -depth - 1;
  const isWide = indexType === 'int64' || indexType === 'float64';
  const indices = Array.from({ length: countOf(shape) }, () =>
    isWide && generator.below(8) === 7 ? 2 ** 32 + generator.below(9) : generator.between(low, depth + 1),
  );
  const rank = shape.length + 1;
  const axis = b.draws.maybe(() => signedAxis(b, drawAxis(b, rank), rank));
  const inputs = [
    b.operand(encodeTensor(indexType, shape, indices)),
    b.operand(encodeTensor(depthType, b.draws.coin() ? [] : [1], [depth])),
    b.random(dtype, [2], ['small']),
  ];
  b.output(b.op('OneHot', inputs, { axis }), dtype);
}

export const gathering: Family = {
  name: 'gather',
  cases: {
    Gather: gather,
    GatherElements: gatherElements,
    GatherND: gatherND,
    Scatter: scatterElements('Scatter'),
    ScatterElements: scatterElements('ScatterElements'),
    ScatterND: scatterND,
    TensorScatter: tensorScatter,
    Compress: compress,
    NonZero: nonZero,
    Unique: unique,
    OneHot: oneHot,
  },
};
