// Running sums and products: one invocation for each line.

import { constant, type ScanStage, type TensorRef } from '@onnx-ts/tensor-ir';
import { registerTypeOf } from '../emit/register-type.ts';
import { binaryText } from '../emit/scalar.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { countOf, type Dispatch, perInvocation, unravel } from './dispatch.ts';

export function dispatchScan(target: ShaderTarget, tensor: TensorRef, stage: ScanStage): Dispatch {
  const along = stage.axes[stage.along];
  const lines = stage.axes.filter((axis) => axis !== along);
  return perInvocation(
    target,
    countOf(lines),
    (scope, point) => {
      unravel(scope, lines, point);
      const { shader } = scope;
      const size = shader.dim(along.size);
      const identity = scope.value(constant(stage.dtype, stage.op === 'sum' ? 0 : 1));
      scope.line(`var total: ${registerTypeOf(stage.dtype)} = ${identity};`);
      scope.block(`for (var step = 0i; step < ${size}; step++)`, (inner) => {
        inner.bindAxis(along, stage.reverse ? inner.define('i32', `${size} - 1i - step`) : 'step');
        const offset = inner.offsetOf(
          stage.shape,
          stage.axes.map((axis) => inner.axis(axis)),
        );
        const value = inner.define(registerTypeOf(stage.dtype), inner.value(stage.body));
        const next = binaryText(stage.op === 'sum' ? 'add' : 'mul', stage.dtype, 'total', value, shader.helpers);
        if (stage.exclusive) inner.write(tensor, offset, 'total');
        inner.line(`total = ${next};`);
        if (!stage.exclusive) inner.write(tensor, offset, 'total');
      });
    },
    undefined,
    stage.origin,
  );
}
