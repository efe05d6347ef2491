// NonMaxSuppression: keeps the boxes with the best scores that do not overlap better ones of their class.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { defineOperator, type EvaluateContext, int } from './define.ts';
import { expectEqual, expectRank } from './expect.ts';
import { int64Tensor, numbersOf, tensorOfNumbers } from './host-elements.ts';
import { firstPlacesOf } from './ordered-positions.ts';

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly area: number;
}

/** [x_center, y_center, width, height], or two opposite corners [y1, x1, y2, x2] in any order. */
function readBox(numbers: ArrayLike<number>, at: number, isCentered: boolean): Box {
  const [a, b, c, d] = [numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]];
  const [left, right, top, bottom] = isCentered
    ? [a - c / 2, a + c / 2, b - d / 2, b + d / 2]
    : [Math.min(b, d), Math.max(b, d), Math.min(a, c), Math.max(a, c)];
  return { left, right, top, bottom, area: (right - left) * (bottom - top) };
}

/** Intersection over union. */
function overlap(a: Box, b: Box): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (!(width > 0 && height > 0 && a.area > 0 && b.area > 0)) return 0;
  return (width * height) / (a.area + b.area - width * height);
}

/** Boxes whose scores are above a threshold, by score; of equal scores the first box comes first. */
function bestFirst(scores: ArrayLike<number>, start: number, count: number, threshold: number | undefined): number[] {
  const boxes: number[] = [];
  for (let k = 0; k < count; k++) if (threshold === undefined || scores[start + k] > threshold) boxes.push(k);
  const candidates = tensorOfNumbers(
    'float32',
    boxes.map((k) => scores[start + k]),
    [boxes.length],
  );
  const row = { start: 0, step: 1, count: boxes.length };
  return Array.from(firstPlacesOf(candidates)(row, boxes.length, true), (place) => boxes[place]);
}

function optionalNumber(context: EvaluateContext, input: number): number | undefined {
  const tensor = context.optionalTensor(input);
  return tensor && tensor.size > 0 ? tensor.toNumberArray()[0] : undefined;
}

export const NonMaxSuppression = defineOperator({
  name: 'NonMaxSuppression',
  since: 10,
  attributes: { center_point_box: int(0) },
  infer(context) {
    const [batch, boxes, corners] = expectRank(context, 0, 3);
    const [scoreBatch, , scored] = expectRank(context, 1, 3);
    expectEqual(context, batch, scoreBatch, 'the batch sizes of boxes and scores');
    expectEqual(context, boxes, scored, 'the numbers of boxes and scores');
    expectEqual(context, corners, Dim.constant(4), 'the numbers of a box and its four coordinates');
    return [tensorType('int64', [context.freshDim('selected'), Dim.constant(3)])];
  },
  evaluate(context) {
    const [batches, boxCount] = context.tensor(0).dims;
    const classes = context.tensor(1).dims[1];
    const boxes = numbersOf(context.tensor(0));
    const scores = numbersOf(context.tensor(1));
    const most = optionalNumber(context, 2) ?? 0;
    const iouThreshold = optionalNumber(context, 3) ?? 0;
    const scoreThreshold = optionalNumber(context, 4);
    const isCentered = context.attributes.center_point_box !== 0;

    const selected: number[] = [];
    for (let batch = 0; batch < batches; batch++) {
      const boxOf = Array.from({ length: boxCount }, (_, k) => readBox(boxes, (batch * boxCount + k) * 4, isCentered));
      for (let category = 0; category < classes; category++) {
        const start = (batch * classes + category) * boxCount;
        const kept: Box[] = [];
        for (const k of bestFirst(scores, start, boxCount, scoreThreshold)) {
          if (kept.length >= most) break;
          const box = boxOf[k];
          if (kept.some((better) => overlap(box, better) > iouThreshold)) continue;
          kept.push(box);
          selected.push(batch, category, k);
        }
      }
    }
    return int64Tensor(selected, [selected.length / 3, 3]);
  },
});
