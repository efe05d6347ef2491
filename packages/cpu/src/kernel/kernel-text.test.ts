// The instructions of kernels as they occur in models.

import { describe, expect, it } from 'vitest';
import { biasRelu, embedding, maxPool, mergeHeads, softmax } from '../../tests/typical-kernels.ts';
import { kernelText } from './kernel-text.ts';

describe('instructions', () => {
  for (const make of [biasRelu, embedding, maxPool, mergeHeads, softmax]) {
    it(make.name, () => expect(kernelText(make())).toMatchSnapshot());
  }
});
