// Partition → fused kernels → pipelines → an executable whose weights are in place.

import { type CompileContext, OnnxTsError, type Partition, type Value } from '@onnx-ts/core/provider';
import {
  type AppendCandidate,
  appendInPlace,
  canonicalKernel,
  checkOrigins,
  Dim,
  type FusedProgram,
  fuseProgram,
  type Kernel,
  multipliesResults,
  productOf,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { elementsPerWord } from '../emit/register-type.ts';
import type { ArgumentWord } from '../emit/shader.ts';
import type { Template } from '../kernel/compile-kernel.ts';
import type { Dispatch } from '../kernel/dispatch.ts';
import { compileShaders } from './compile-shaders.ts';
import { type LaunchableDispatch, type LaunchableKernel, WebGpuExecutable } from './executable.ts';
import type { WebGpuProvider } from './webgpu-provider.ts';

export async function compilePartition(
  provider: WebGpuProvider,
  partition: Partition,
  context: CompileContext,
): Promise<WebGpuExecutable> {
  const lowered = partition.lower();
  const tensorsOf = (values: readonly Value[]) => new Set(values.map((value) => lowered.tensors.get(value)!));
  const { fused: plain, appends } = appendInPlace(
    fuseProgram(lowered.program),
    tensorsOf(lowered.inputs),
    tensorsOf(partition.outputs),
    canGrow,
  );
  const { fused, templates } = await takeByTemplates(plain);
  const known = new Map<string, { kernel: Kernel; symbols: readonly string[]; dispatches: readonly Dispatch[] }>();
  const kernels: { kernel: Kernel; template: Template | undefined; dispatches: readonly Dispatch[] }[] = [];
  for (const kernel of fused.kernels) {
    const { key, symbols } = canonicalKernel(kernel);
    const before = known.get(key);
    const template = templates.get(kernel);
    const dispatches = before ? adapt(before, kernel, symbols) : compileShaders(kernel, provider.target, template);
    if (!before) known.set(key, { kernel, symbols, dispatches });
    kernels.push({ kernel, template, dispatches });
  }
  if (context.signal?.aborted) throw new OnnxTsError('ABORTED', 'the compilation was aborted.');
  // All pipelines at once: browsers compile them side by side.
  let done = 0;
  const total = kernels.reduce((sum, { dispatches }) => sum + dispatches.length, 0);
  const launchable = await Promise.all(
    kernels.map(async ({ kernel, template, dispatches }): Promise<LaunchableKernel> => {
      const ready = await Promise.all(
        dispatches.map(async (dispatch): Promise<LaunchableDispatch> => {
          const pipeline = await provider.pipelines.get(dispatch, kernel);
          context.progress?.((0.9 * ++done) / total, kernel.name);
          return { ...dispatch, pipeline };
        }),
      );
      return { kernel, ...(template && { template }), dispatches: ready };
    }),
  );
  if (context.signal?.aborted) throw new OnnxTsError('ABORTED', 'the compilation was aborted.');
  const executable = new WebGpuExecutable(provider, partition, lowered, fused, launchable, appends);
  try {
    await executable.load(lowered.constants);
  } catch (error) {
    executable.dispose();
    throw error;
  }
  return executable;
}

/** Gives kernels to the templates that can take them. */
async function takeByTemplates(
  program: FusedProgram,
): Promise<{ readonly fused: FusedProgram; readonly templates: ReadonlyMap<Kernel, Template> }> {
  if (!program.kernels.some(multipliesResults)) return { fused: program, templates: new Map() };
  const [{ fuseAttention }, { compileAttention }] = await Promise.all([
    import('@onnx-ts/tensor-ir/attention'),
    import('../kernel/attention/compile-attention.ts'),
  ]);
  const { fused, attentions } = fuseAttention(program);
  const templates = new Map<Kernel, Template>();
  for (const [kernel, attention] of attentions) templates.set(kernel, (target) => compileAttention(attention, target));
  return { fused, templates };
}

/** No launch reads and writes one buffer, scatters begin with all of their result, and copies on the GPU are of whole words, from whole words on. */
function canGrow({ input, axis, readsInput, overwrites }: AppendCandidate): boolean {
  if (readsInput || overwrites) return false;
  return productOf(input.shape.slice(axis + 1)).isMultipleOf(elementsPerWord(input.dtype));
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
    mergedParts: dispatch.mergedParts,
    words: dispatch.words.map(word),
    sites: dispatch.sites.map((origin) => origins.get(origin) ?? origin),
    workgroups: dim(dispatch.workgroups),
    ...(dispatch.steps && { steps: dim(dispatch.steps) }),
  }));
}
