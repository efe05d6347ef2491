// Templates that many a model does without: fetched when kernels look like theirs. They decide themselves what they take.

import { type FusedProgram, type Kernel, multipliesResults } from '@onnx-ts/tensor-ir';

export interface LoadedTemplates {
  readonly attention?: Pick<typeof import('@onnx-ts/tensor-ir/attention'), 'fuseAttention'> &
    Pick<typeof import('./attention/emit-attention.ts'), 'compileAttention'>;
  readonly recurrence?: Pick<typeof import('./recurrence/recurrent-product.ts'), 'prepareRecurrence'> &
    Pick<typeof import('./recurrence/emit-recurrence.ts'), 'compileRecurrence'>;
  readonly winograd?: Pick<typeof import('./winograd/winograd.ts'), 'prepareWinograd'> &
    Pick<typeof import('./winograd/emit-winograd.ts'), 'compileWinograd'> &
    Pick<typeof import('./winograd/emit-transforms.ts'), 'compileWeightTransform'>;
}

export async function loadTemplates({ kernels }: FusedProgram): Promise<LoadedTemplates> {
  const [attention, recurrence, winograd] = await Promise.all([
    kernels.some(multipliesResults) ? loadAttention() : undefined,
    kernels.some((kernel) => kernel.class === 'recurrence') ? loadRecurrence() : undefined,
    kernels.some(slidesThreeByThree) ? loadWinograd() : undefined,
  ]);
  return { ...(attention && { attention }), ...(recurrence && { recurrence }), ...(winograd && { winograd }) };
}

/** A sum over two axes of size 3, among others. */
function slidesThreeByThree({ class: kind, stages: [head] }: Kernel): boolean {
  return kind === 'contraction' && head.kind === 'reduce' && head.over.filter(({ size }) => size.is(3)).length >= 2;
}

async function loadAttention() {
  const [{ fuseAttention }, { compileAttention }] = await Promise.all([
    import('@onnx-ts/tensor-ir/attention'),
    import('./attention/emit-attention.ts'),
  ]);
  return { fuseAttention, compileAttention };
}

async function loadRecurrence() {
  const [{ prepareRecurrence }, { compileRecurrence }] = await Promise.all([
    import('./recurrence/recurrent-product.ts'),
    import('./recurrence/emit-recurrence.ts'),
  ]);
  return { prepareRecurrence, compileRecurrence };
}

async function loadWinograd() {
  const [{ prepareWinograd }, { compileWinograd }, { compileWeightTransform }] = await Promise.all([
    import('./winograd/winograd.ts'),
    import('./winograd/emit-winograd.ts'),
    import('./winograd/emit-transforms.ts'),
  ]);
  return { prepareWinograd, compileWinograd, compileWeightTransform };
}
