// What reports say about a kernel. Everything costly is worked out when it is asked for.

import { type GraphNode, type KernelInfo, type Work, workOfKernel } from '@onnx-ts/core/provider';
import { type Dim, type Kernel, printKernel } from '@onnx-ts/tensor-ir';

/** @param kind the template's name, or the kernel's class */
export function describeKernel(kernel: Kernel, kind: string, atLoad: boolean): KernelInfo {
  let counted: Work | undefined;
  const work = (): Work => {
    counted ??= workOfKernel(kernel);
    return counted;
  };
  return {
    name: kernel.name,
    kind,
    nodes: (kernel.origins as readonly (GraphNode | undefined)[]).map((node) => node?.name ?? ''),
    ...(atLoad && { atLoad }),
    get text(): string {
      return printKernel(kernel);
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
