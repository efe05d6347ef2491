// A provider that ends its process when it is to run Neg.

import { type ProviderFactory, reference } from '@onnx-ts/core';
import { delegate } from '../src/subject/watch.ts';

const sound = reference();

const provider: ProviderFactory = {
  ...sound,
  open: async (device, options) => {
    const instance = await sound.open(device, options);
    return {
      ...delegate(instance),
      async compile(partition, context) {
        if (partition.nodes.some(({ op }) => op === 'Neg')) process.exit(3);
        return instance.compile(partition, context);
      },
    };
  },
};

export default provider;
