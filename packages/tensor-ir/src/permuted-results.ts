// Transposes behind row kernels: the kernel writes its result in the order of the transposed one. Its tensor becomes another
// order of the same memory, and nobody who reads it notices.

import type { FusedProgram } from './fuse.ts';
import type { Kernel } from './kernel.ts';
import type { TensorRef } from './tensor-ref.ts';

/** Drops kernels that only turn the axes of a row kernel's result. Sets the `order` of such results in place. */
export function writePermuted(fused: FusedProgram): FusedProgram {
  const aliased = new Set<TensorRef>([...fused.aliases.keys(), ...fused.aliases.values()]);
  const free = new Set(fused.locals.filter((tensor) => !aliased.has(tensor) && !tensor.isConstant && !tensor.order));
  const ofRows = new Set(
    fused.kernels
      .filter((kernel) => kernel.class === 'row')
      .flatMap((kernel) => kernel.outputs.map(({ tensor }) => tensor)),
  );
  const aliases = new Map(fused.aliases);
  const dropped = new Set<Kernel>();
  for (const kernel of fused.kernels) {
    const turned = readPermutation(kernel);
    if (!turned || turned.result.order || !free.delete(turned.source) || !ofRows.has(turned.source)) continue;
    turned.source.order = turned.order;
    aliases.set(turned.source, turned.result);
    dropped.add(kernel);
  }
  if (dropped.size === 0) return fused;
  return {
    kernels: fused.kernels.filter((kernel) => !dropped.has(kernel)),
    locals: fused.locals.filter((tensor) => !aliases.has(tensor) || fused.aliases.has(tensor)),
    aliases,
  };
}

interface Permutation {
  readonly source: TensorRef;
  readonly result: TensorRef;
  /** Axes of the source from the slowest to the fastest in the result's memory. */
  readonly order: readonly number[];
}

function readPermutation({ class: kind, stages: [stage], outputs }: Kernel): Permutation | undefined {
  if (kind !== 'pointwise' || stage.kind !== 'map' || outputs.length !== 1) return undefined;
  const { body, axes } = stage;
  if (body.kind !== 'load' || body.guard || body.source.kind !== 'tensor') return undefined;
  const { source, index } = body;
  const order: number[] = [];
  for (const axis of axes) {
    if (axis.size.is(1)) continue;
    const places = [...index.keys()].filter((at) => {
      const e = index[at];
      return e.kind === 'axis' && e.axis === axis;
    });
    if (places.length !== 1 || !source.shape[places[0]].equals(axis.size)) return undefined;
    order.push(places[0]);
  }
  const rest = [...index.keys()].filter((at) => !order.includes(at));
  if (!rest.every((at) => source.shape[at].is(1))) return undefined;
  return { source, result: outputs[0].tensor, order: [...rest, ...order] };
}
