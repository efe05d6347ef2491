// GridSample against a plain translation of its definition, for every mode, padding and rank.

import { describe, expect, it } from 'vitest';
import { type AttributeValue, type GraphNode, newValue } from '../graph/graph.ts';
import { HostEvaluator } from '../session/host-evaluator.ts';
import { elementCount, Tensor } from '../session/tensor.ts';
import { defaultRegistry } from './registry.ts';

function run(op: string, inputs: Tensor[], attributes: Record<string, AttributeValue>): Tensor {
  const node: GraphNode = {
    name: 'n',
    domain: '',
    op,
    opset: 22,
    inputs: inputs.map((_, at) => newValue(`x${at}`)),
    outputs: [newValue('y')],
    attributes: new Map(Object.entries(attributes)),
  };
  return new HostEvaluator(defaultRegistry()).evaluate(node, inputs)[0] as Tensor;
}

const int = (value: number): AttributeValue => ({ type: 'int', value });
const string = (value: string): AttributeValue => ({ type: 'string', value });

/** Numbers in [low, high) that are the same in every run. */
function spread(count: number, low: number, high: number): Float32Array {
  return Float32Array.from({ length: count }, (_, at) => low + ((at * 0.754877666) % 1) * (high - low));
}

function reflect(x: number, low: number, high: number): number {
  if (high <= low) return low;
  const phase = Math.abs(x - low) % (2 * (high - low));
  return low + Math.min(phase, 2 * (high - low) - phase);
}

function roundHalfEven(x: number): number {
  const nearest = Math.round(x);
  return nearest - x === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

/** Weights of pixels floor(x) − 1 … floor(x) + 2, or of floor(x) and the next. */
function weights(mode: string, t: number): [number, number][] {
  if (mode === 'nearest') return [[0, 1]];
  if (mode === 'linear') {
    return [
      [0, 1 - t],
      [1, t],
    ];
  }
  const a = -0.75;
  const kernel = (distance: number): number =>
    distance <= 1
      ? (a + 2) * distance ** 3 - (a + 3) * distance ** 2 + 1
      : a * distance ** 3 - 5 * a * distance ** 2 + 8 * a * distance - 4 * a;
  return [-1, 0, 1, 2].map((at) => [at, kernel(Math.abs(at - t))]);
}

function sample(
  image: Float32Array,
  sizes: number[],
  place: number[],
  mode: string,
  padding: string,
  aligned: boolean,
) {
  const positions = sizes.map((size, axis) => {
    const [low, high] = aligned ? [0, size - 1] : [-0.5, size - 0.5];
    const x = ((place[axis] + 1) / 2) * (high - low) + low;
    const position = mode === 'nearest' ? roundHalfEven(x) : x;
    if (position >= low && position <= high) return position;
    if (padding === 'border') return Math.min(Math.max(position, 0), size - 1);
    return padding === 'reflection' ? reflect(position, low, high) : position;
  });
  const visit = (axis: number, flat: number): number => {
    if (axis === sizes.length) return image[flat];
    const size = sizes[axis];
    const base = Math.floor(positions[axis]);
    let sum = 0;
    for (const [offset, weight] of weights(mode, positions[axis] - base)) {
      let pixel = base + offset;
      if (padding === 'border') pixel = Math.min(Math.max(pixel, 0), size - 1);
      if (padding === 'reflection') {
        pixel = Math.floor(aligned ? reflect(pixel, 0, size - 1) : reflect(pixel, -0.5, size - 0.5));
      }
      if (pixel >= 0 && pixel < size) sum += weight * visit(axis + 1, flat * size + pixel);
    }
    return sum;
  };
  return visit(0, 0);
}

describe('GridSample', () => {
  for (const sizes of [[5], [3, 4], [1, 2], [2, 3, 4]]) {
    for (const mode of ['nearest', 'linear', 'cubic']) {
      for (const padding of ['zeros', 'border', 'reflection']) {
        it(`samples ${sizes.join('×')}, ${mode}, ${padding}`, () => {
          const rank = sizes.length;
          const image = spread(elementCount(sizes), -1, 1);
          const places = 16;
          const gridDims = [1, ...Array<number>(rank - 1).fill(1), places, rank];
          const grid = spread(places * rank, -2.5, 2.5);
          for (const aligned of [false, true]) {
            const result = run(
              'GridSample',
              [new Tensor('float32', image, [1, 1, ...sizes]), new Tensor('float32', grid, gridDims)],
              { mode: string(mode), padding_mode: string(padding), align_corners: int(Number(aligned)) },
            );
            const expected = Array.from({ length: places }, (_, at) =>
              // The grid lists the innermost axis first.
              sample(image, sizes, [...grid.slice(at * rank, (at + 1) * rank)].reverse(), mode, padding, aligned),
            );
            result.toNumberArray().forEach((value, at) => {
              expect(value).toBeCloseTo(expected[at], 3);
            });
          }
        });
      }
    }
  }
});
