// What reports say about a kernel. Everything costly is worked out when it is asked for.

import { type GraphNode, type KernelInfo, type Work, workOfKernel } from '@onnx-ts/core/provider';
import type { Dim } from '@onnx-ts/tensor-ir';
import type { LaunchableKernel } from './executable.ts';

/** The text is that of the kernel's shaders. */
export function describeKernel({ kernel, dispatches }: LaunchableKernel, atLoad: boolean): KernelInfo {
  let counted: Work | undefined;
  const work = (): Work => {
    counted ??= workOfKernel(kernel);
    return counted;
  };
  return {
    name: kernel.name,
    kind: kernel.class,
    nodes: (kernel.origins as readonly (GraphNode | undefined)[]).map((node) => node?.name ?? ''),
    ...(atLoad && { atLoad }),
    get text(): string {
      return dispatches.map(({ code }) => code).join('\n\n');
    },
    get flops(): Dim {
      return work().arithmetic;
    },
    get bytes(): Dim {
      const { reads, writes } = work();
      return reads.add(writes);
    },
  };
}
