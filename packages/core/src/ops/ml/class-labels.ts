// Lists of labels and categories: attributes that hold either strings or 64-bit integers.

import { Tensor } from '../../session/tensor.ts';
import type { NodeContext } from '../define.ts';

export type Labels = readonly string[] | readonly bigint[];

/** An `ints` attribute without loss: categories may be 64-bit hashes. Absent is the empty list. */
export function int64List(context: NodeContext, name: string): readonly bigint[] {
  const attribute = context.node.attributes.get(name);
  return attribute?.type === 'ints' ? attribute.value.map(BigInt) : [];
}

/** An `int` attribute without loss. */
export function int64Value(context: NodeContext, name: string, fallback: bigint): bigint {
  const attribute = context.node.attributes.get(name);
  return attribute?.type === 'int' ? BigInt(attribute.value) : fallback;
}

/**
 * The labels of a classifier.
 * @throws OnnxTsError when neither attribute has any
 */
export function readLabels(context: NodeContext, names: { readonly strings: string; readonly ints: string }): Labels {
  const strings = context.node.attributes.get(names.strings);
  if (strings?.type === 'strings' && strings.value.length > 0) return strings.value;
  const ints = int64List(context, names.ints);
  if (ints.length === 0) context.fail(`it needs labels in ${names.strings} or ${names.ints}.`);
  return ints;
}

export const areStrings = (labels: Labels): labels is readonly string[] => typeof labels[0] === 'string';

export const labelType = (labels: Labels): 'string' | 'int64' => (areStrings(labels) ? 'string' : 'int64');

/** The labels at `choices`, one for each row. */
export function pickLabels(labels: Labels, choices: ArrayLike<number>): Tensor {
  return areStrings(labels)
    ? new Tensor(
        'string',
        Array.from(choices, (choice) => labels[choice]),
      )
    : new Tensor(
        'int64',
        BigInt64Array.from(choices, (choice) => labels[choice]),
      );
}
