// A provider of one's own in thirty lines: hand-written kernels by operator name. Whatever it has no kernel for runs on the
// other providers of the session.

import { kernelPack, type ProviderFactory } from '@onnx-ts/core/provider';

type Floats = Float32Array;

export function plainKernels(): ProviderFactory {
  return kernelPack({
    id: 'plain',
    kernels: {
      Relu: ({ inputs, outputs }) => {
        const [x, y] = [inputs[0]!.data as Floats, outputs[0]!.data as Floats];
        for (let at = 0; at < x.length; at++) y[at] = Math.max(0, x[at]);
      },
      MatMul: {
        supports: ({ inputs }) => {
          const isMatrix = inputs.every(
            (value) =>
              value?.type?.kind === 'tensor' && value.type.dtype === 'float32' && value.type.shape?.length === 2,
          );
          return isMatrix ? { ok: true } : { ok: false, reason: 'only float32 matrices' };
        },
        run: ({ inputs, outputs }) => {
          const [a, b, c] = [inputs[0]!, inputs[1]!, outputs[0]!];
          const [rows, inner] = a.dims;
          const [, columns] = b.dims;
          const [x, y, z] = [a, b, c].map((tensor) => tensor.data as Floats);
          for (let row = 0; row < rows; row++) {
            for (let column = 0; column < columns; column++) {
              let sum = 0;
              for (let k = 0; k < inner; k++) sum += x[row * inner + k] * y[k * columns + column];
              z[row * columns + column] = sum;
            }
          }
        },
      },
    },
  });
}
