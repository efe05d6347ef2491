// Partition → fused kernels → pipelines → an executable whose weights are in place.

import { type CompileContext, type GraphNode, OnnxTsError, type Partition } from '@onnx-ts/core/provider';
import {
  canonicalKernel,
  checkOrigins,
  Dim,
  fuseProgram,
  type Kernel,
  printKernel,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import type { ArgumentWord } from '../emit/shader.ts';
import { compileKernel } from '../kernel/compile-kernel.ts';
import type { Dispatch } from '../kernel/dispatch.ts';
import { type LaunchableDispatch, type LaunchableKernel, WebGpuExecutable } from './executable.ts';
import type { WebGpuProvider } from './webgpu-provider.ts';

export async function compilePartition(
  provider: WebGpuProvider,
  partition: Partition,
  context: CompileContext,
): Promise<WebGpuExecutable> {
  const lowered = partition.lower();
  const fused = fuseProgram(lowered.program);
  const known = new Map<string, { kernel: Kernel; symbols: readonly string[]; dispatches: readonly Dispatch[] }>();
  const kernels: { kernel: Kernel; dispatches: readonly Dispatch[] }[] = [];
  for (const kernel of fused.kernels) {
    const { key, symbols } = canonicalKernel(kernel);
    const before = known.get(key);
    const dispatches = before ? adapt(before, kernel, symbols) : compileOne(kernel);
    if (!before) known.set(key, { kernel, symbols, dispatches });
    kernels.push({ kernel, dispatches });
  }
  if (context.signal?.aborted) throw new OnnxTsError('ABORTED', 'the compilation was aborted.');
  // All pipelines at once: browsers compile them side by side.
  let done = 0;
  const total = kernels.reduce((sum, { dispatches }) => sum + dispatches.length, 0);
  const launchable = await Promise.all(
    kernels.map(async ({ kernel, dispatches }): Promise<LaunchableKernel> => {
      const ready = await Promise.all(
        dispatches.map(async (dispatch): Promise<LaunchableDispatch> => {
          const pipeline = await provider.pipelines.get(dispatch.code, kernel);
          context.progress?.((0.9 * ++done) / total, kernel.name);
          return { ...dispatch, pipeline };
        }),
      );
      return { kernel, dispatches: ready };
    }),
  );
  if (context.signal?.aborted) throw new OnnxTsError('ABORTED', 'the compilation was aborted.');
  const executable = new WebGpuExecutable(provider, partition, lowered, fused, launchable);
  try {
    await executable.load(lowered.constants);
  } catch (error) {
    executable.dispose();
    throw error;
  }
  return executable;
}

function compileOne(kernel: Kernel): Dispatch[] {
  try {
    return compileKernel(kernel);
  } catch (cause) {
    const [node] = kernel.origins as readonly (GraphNode | undefined)[];
    const place = {
      provider: 'webgpu',
      ...(node && { node: node.name, op: node.op, domain: node.domain, opset: node.opset }),
    };
    const what = `no shader could be generated: ${(cause as Error).message}.`;
    throw new OnnxTsError('INTERNAL', what, { place, hint: `The kernel is:\n${printKernel(kernel)}`, cause });
  }
}

/** The shaders of an equal kernel with this one's tensors, sizes and nodes. */
function adapt(
  from: { kernel: Kernel; symbols: readonly string[]; dispatches: readonly Dispatch[] },
  to: Kernel,
  symbols: readonly string[],
): Dispatch[] {
  const tensors = new Map<TensorRef, TensorRef>();
  for (const [at, param] of from.kernel.params.entries()) tensors.set(param, to.params[at]);
  for (const [at, output] of from.kernel.outputs.entries()) tensors.set(output.tensor, to.outputs[at].tensor);
  const values = new Map<string, Dim>();
  for (const [at, name] of from.symbols.entries()) {
    if (name !== symbols[at]) values.set(name, Dim.symbol(symbols[at]));
  }
  const dim = (size: Dim): Dim => size.substitute(values);
  const word = (item: ArgumentWord): ArgumentWord => {
    if (item.kind === 'base') return { kind: 'base', tensor: tensors.get(item.tensor)! };
    return item.kind === 'dim' ? { kind: 'dim', dim: dim(item.dim) } : item;
  };
  const origins = new Map(checkOrigins(from.kernel).map((origin, at) => [origin, checkOrigins(to)[at]]));
  return from.dispatches.map((dispatch) => ({
    code: dispatch.code,
    bindings: dispatch.bindings.map((binding) => ({ ...binding, tensor: tensors.get(binding.tensor)! })),
    merged: dispatch.merged.map((tensor) => tensors.get(tensor)!),
    words: dispatch.words.map(word),
    sites: dispatch.sites.map((origin) => origins.get(origin) ?? origin),
    workgroups: dim(dispatch.workgroups),
    ...(dispatch.steps && { steps: dim(dispatch.steps) }),
  }));
}
