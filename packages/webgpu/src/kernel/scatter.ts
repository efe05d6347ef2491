// Scatters: what the result starts from, then the updates. Points that may meet are taken in order by one invocation; axes
// that lead to different places are taken side by side.

import { type Axis, axesIn, type Expr, type ScatterStage, type TensorRef } from '@onnx-ts/tensor-ir';
import { isShared, registerTypeOf } from '../emit/register-type.ts';
import { binaryText } from '../emit/scalar.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { countOf, type Dispatch, perInvocation, unravel } from './dispatch.ts';
import { dispatchMap } from './pointwise.ts';
import { loopOver } from './reduction.ts';

const steps = { sum: 'add', prod: 'mul', max: 'max', min: 'min' } as const;

export function dispatchScatter(target: ShaderTarget, tensor: TensorRef, stage: ScatterStage): Dispatch[] {
  const start = dispatchMap(target, tensor, stage.initialAxes, stage.initial, stage.origin);
  const apart = axesApart(stage);
  const together = stage.axes.filter((axis) => !apart.includes(axis));
  const updates = perInvocation(
    target,
    countOf(apart),
    (scope, point) => {
      scope.shader.binding(tensor, isShared(tensor.dtype) ? 'atomic' : 'read_write');
      unravel(scope, apart, point);
      loopOver(scope, together, (inner) => {
        const update = (inside: typeof inner): void => {
          const offset = inside.offset(stage.shape, stage.destination);
          const value = inside.value(stage.body);
          if (stage.combine === 'set') return inside.write(tensor, offset, value);
          const before = inside.define(registerTypeOf(stage.dtype), inside.read(tensor, offset));
          const { helpers } = inside.shader;
          inside.write(tensor, offset, binaryText(steps[stage.combine], stage.dtype, before, value, helpers));
        };
        if (stage.guard) inner.block(`if (${inner.value(stage.guard)})`, update);
        else update(inner);
      });
    },
    undefined,
    stage.origin,
  );
  return [start, updates];
}

/** Axes that are an index of the destination by themselves: points that differ in one never meet. */
function axesApart(stage: ScatterStage): Axis[] {
  const plain = stage.destination.flatMap((e) => (axisOf(e) ? [axisOf(e)!] : []));
  return stage.axes.filter((axis) => plain.includes(axis) || axis.size.is(1));
}

/** The axis of an index that is an axis plus what does not depend on the point. */
function axisOf(e: Expr): Axis | undefined {
  if (e.kind === 'axis') return e.axis;
  if (e.kind !== 'binary' || (e.op !== 'add' && e.op !== 'sub')) return undefined;
  if (e.a.kind === 'axis' && axesIn([e.b]).size === 0) return e.a.axis;
  if (e.op === 'add' && e.b.kind === 'axis' && axesIn([e.a]).size === 0) return e.b.axis;
  return undefined;
}
