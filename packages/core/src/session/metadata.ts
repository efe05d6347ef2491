// What a session tells of the model's inputs and outputs.

import type { Dim, DType } from '@onnx-ts/tensor-ir';
import type { ValueType } from '../graph/types.ts';

export type ValueMetadata =
  | {
      readonly name: string;
      readonly isTensor: true;
      readonly type: DType;
      /**
       * Numbers, and names of sizes that may vary ('batch', 'past + 1'), '' where the model gives no name. Absent when even
       * the rank is not known before a run.
       */
      readonly shape: readonly (number | string)[] | undefined;
    }
  | { readonly name: string; readonly isTensor: false; readonly kind: string };

export function metadataOf(name: string, type: ValueType | undefined): ValueMetadata {
  if (type?.kind !== 'tensor') return { name, isTensor: false, kind: type?.kind ?? 'unknown' };
  return { name, isTensor: true, type: type.dtype, shape: type.shape?.map(sizeText) };
}

function sizeText(dim: Dim): number | string {
  // `#` marks symbols that onnx-ts made up.
  return dim.constant ?? (dim.key.includes('#') ? '' : dim.key);
}
