// Maps and concatenations: one invocation for each element, or for each word of elements that share one.

import { type Axis, Dim, type Expr, productOf, type SegmentsStage, type TensorRef } from '@onnx-ts/tensor-ir';
import { elementsPerWord, isShared } from '../emit/register-type.ts';
import { toBits } from '../emit/scalar.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { countOf, type Dispatch, perInvocation, unravel } from './dispatch.ts';

/** tensor[axes] = body */
export function dispatchMap(
  target: ShaderTarget,
  tensor: TensorRef,
  axes: readonly Axis[],
  body: Expr,
  origin?: unknown,
): Dispatch {
  const count = countOf(axes);
  if (!isShared(tensor.dtype)) {
    return perInvocation(
      target,
      count,
      (scope, point) => {
        unravel(scope, axes, point);
        scope.write(tensor, point, scope.value(body));
      },
      undefined,
      origin,
    );
  }
  const per = elementsPerWord(tensor.dtype);
  const words = count.add(per - 1).floorDiv(Dim.constant(per));
  return perInvocation(
    target,
    words,
    (scope, point) => {
      const { shader } = scope;
      scope.line('var word = 0u;');
      scope.block(`for (var part = 0i; part < ${per}i; part++)`, (inner) => {
        const at = inner.define('i32', `${point} * ${per}i + part`);
        inner.block(`if (${at} < ${shader.dim(count)})`, (inside) => {
          unravel(inside, axes, at);
          const bits = toBits(tensor.dtype, inside.value(body), shader.helpers);
          inside.line(`word |= ${bits} << (u32(part) * ${32 / per}u);`);
        });
      });
      scope.line(shader.store(shader.binding(tensor, 'read_write'), point, 'word'));
    },
    undefined,
    origin,
  );
}

/** A dispatch for each segment. */
export function dispatchSegments(target: ShaderTarget, tensor: TensorRef, stage: SegmentsStage): Dispatch[] {
  return stage.segments.map(({ axes, body, offset }) =>
    perInvocation(
      target,
      productOf(axes.map(({ size }) => size)),
      (scope, point) => {
        unravel(scope, axes, point);
        const value = scope.value(body);
        const index = axes.map((axis, at) => {
          const text = scope.axis(axis);
          return at === stage.along ? scope.define('i32', `${text} + ${scope.shader.dim(offset)}`) : text;
        });
        scope.write(tensor, scope.offsetOf(tensor.room ?? stage.shape, index), value);
      },
      undefined,
      stage.origin,
    ),
  );
}
