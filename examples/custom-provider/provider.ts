// A provider of one's own in thirty lines: hand-written kernels by operator name. Whatever it has no kernel for runs on the
// other providers of the session.

import { type GraphNode, kernelPack, type ProviderFactory, type Support } from '@onnx-ts/core/provider';

type Floats = Float32Array;

function floatsOfRank(rank: number | undefined): (node: GraphNode) => Support {
  return ({ inputs }) => {
    const fits = inputs.every(
      (value) =>
        value?.type?.kind === 'tensor' &&
        value.type.dtype === 'float32' &&
        (rank === undefined || value.type.shape?.length === rank),
    );
    return fits ? { ok: true } : { ok: false, reason: `only float32${rank === undefined ? '' : ` of rank ${rank}`}` };
  };
}

export function plainKernels(): ProviderFactory {
  return kernelPack({
    id: 'plain',
    kernels: {
      Relu: {
        supports: floatsOfRank(undefined),
        run: ({ inputs, outputs }) => {
          const [x, y] = [inputs[0]!.data as Floats, outputs[0]!.data as Floats];
          for (let at = 0; at < x.length; at++) y[at] = Math.max(0, x[at]);
        },
      },
      MatMul: {
        supports: floatsOfRank(2),
        run: ({ inputs, outputs }) => {
          const [a, b, c] = [inputs[0]!, inputs[1]!, outputs[0]!];
          const [[rows, inner], [, columns]] = [a.dims, b.dims];
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
