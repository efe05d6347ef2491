// Positions of elements in the order of their values, the basis of TopK and NonMaxSuppression.

import { isBigInteger } from '@onnx-ts/tensor-ir';
import type { Tensor } from '../session/tensor.ts';
import { elementsOf } from './host-elements.ts';

/** Elements of one row of a tensor: `count` of them from flat position `start` on, `step` apart. */
export interface Row {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/**
 * Of a row, the places (from 0 to count − 1) of its first `k` elements, the greatest or the least ones, in order. Of equal
 * elements the first comes first; NaN counts as the greatest.
 */
export type FirstPlaces = (row: Row, k: number, largest: boolean) => ArrayLike<number>;

/** Of a tensor of numbers that are no complex ones. */
export function firstPlacesOf(tensor: Tensor): FirstPlaces {
  const elements = elementsOf(tensor);
  if (tensor.type === 'float64' || isBigInteger(tensor.type)) {
    return (row, k, largest) => placesByValue(elements as Numbers, row, k, largest);
  }
  const ranks = elements instanceof Float32Array ? ranksOf(elements) : (elements as ArrayLike<number>);
  return (row, k, largest) =>
    row.count <= mostRanked
      ? placesByRank(ranks, row, k, largest)
      : placesByValue(elements as Numbers, row, k, largest);
}

type Numbers = ArrayLike<number> | ArrayLike<bigint>;

/** Integers in the order of floats, from −2^31 to 2^31 − 1: equal for equal floats, and the last one for NaN. */
function ranksOf({ buffer, byteOffset, length }: Float32Array): Int32Array {
  const ranks = new Int32Array(buffer, byteOffset, length).slice();
  for (let at = 0; at < length; at++) {
    const bits = ranks[at];
    const magnitude = bits & 0x7fff_ffff;
    // The magnitude with its sign; signs have no pattern that a processor could guess.
    const sign = bits >> 31;
    ranks[at] = magnitude > 0x7f80_0000 ? 0x7fff_ffff : (magnitude ^ sign) - sign;
  }
  return ranks;
}

/** A rank of 33 bits and a place of 20 share the 53 bits of a number. */
const mostRanked = 2 ** 20;
/** More than any element of 32 bits, signed or not. */
const rankLimit = 2 ** 32;

/** By numbers that hold an element's rank and, below it, its place: no two are equal, and the least come first. */
function placesByRank(ranks: ArrayLike<number>, { start, step, count }: Row, k: number, largest: boolean) {
  const sign = largest ? -1 : 1;
  const keys = new Float64Array(4 * k >= count ? count : k);
  for (let place = 0; place < keys.length; place++) keys[place] = keyOf(sign * ranks[start + place * step], place);
  if (keys.length < count && k > 0) {
    // A heap whose root is the greatest.
    for (let at = k >> 1; at >= 0; at--) sink(keys, at, keys[at]);
    let last = rankOf(keys[0]);
    for (let place = k; place < count; place++) {
      const rank = sign * ranks[start + place * step];
      if (rank >= last) continue;
      sink(keys, 0, keyOf(rank, place));
      last = rankOf(keys[0]);
    }
  }
  return keys
    .sort()
    .subarray(0, k)
    .map((key) => key % mostRanked);
}

function keyOf(rank: number, place: number): number {
  return (rank + rankLimit) * mostRanked + place;
}

function rankOf(key: number): number {
  return Math.floor(key / mostRanked) - rankLimit;
}

/** Puts a key into a heap, from a place whose own is not needed any more. */
function sink(heap: Float64Array, from: number, key: number): void {
  const { length } = heap;
  let at = from;
  for (let child = 2 * at + 1; child < length; child = 2 * at + 1) {
    if (child + 1 < length && heap[child] < heap[child + 1]) child++;
    if (key >= heap[child]) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = key;
}

function placesByValue(values: Numbers, { start, step, count }: Row, k: number, largest: boolean): number[] {
  const sign = largest ? -1 : 1;
  const places = Array.from({ length: count }, (_, place) => place);
  places.sort((a, b) => {
    const [x, y] = [values[start + a * step], values[start + b * step]];
    if (x < y) return -sign;
    if (x > y) return sign;
    // Equal, or at least one is NaN.
    const [xIsNaN, yIsNaN] = [Number.isNaN(x), Number.isNaN(y)];
    return xIsNaN === yIsNaN ? a - b : xIsNaN ? sign : -sign;
  });
  return places.slice(0, k);
}
