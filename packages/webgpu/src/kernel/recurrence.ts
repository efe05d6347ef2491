// States that follow from each other: a launch for each step, with an invocation for each element of the state, which
// computes all parts. Launches see what those before have written, which invocations of one launch would not.

import {
  type MapStage,
  type RecurrenceStage,
  type ReduceStage,
  substituteAxes,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { isShared } from '../emit/register-type.ts';
import { type Readers, Scope } from '../emit/scope.ts';
import { Shader, workgroupSize } from '../emit/shader.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { countOf, type Dispatch, finish, perInvocation, unravel } from './dispatch.ts';
import { reduceSerially } from './reduction.ts';

export function dispatchRecurrence(target: ShaderTarget, tensor: TensorRef, stage: RecurrenceStage): Dispatch[] {
  const starts = stage.parts.map(({ axes, initial }, part) =>
    perInvocation(
      target,
      countOf(axes),
      (scope, point) => {
        unravel(scope, axes, point);
        const index = ['0i', `${part}i`, ...axes.map((axis) => scope.axis(axis))];
        const value = scope.value(initial);
        scope.write(tensor, scope.offsetOf(stage.shape, index), value);
      },
      undefined,
      stage.origin,
    ),
  );
  return [...starts, dispatchSteps(target, tensor, stage)];
}

function dispatchSteps(target: ShaderTarget, tensor: TensorRef, stage: RecurrenceStage): Dispatch {
  const shader = new Shader(target);
  shader.binding(tensor, isShared(tensor.dtype) ? 'atomic' : 'read_write');
  const scope = new Scope(shader, stepReaders(tensor, stage));
  scope.origin = stage.origin;
  const count = countOf(stage.parts[0].axes);
  scope.line(`let point = i32((group.x + group.y * groups.x) * ${workgroupSize}u + lane);`);
  scope.line(`if (point >= ${shader.dim(count)}) { return; }`);
  const step = scope.define('i32', `${shader.step()} + 0i`);
  scope.bindAxis(stage.step, step);
  for (const { axes } of stage.parts) unravel(scope, axes, 'point');
  const values = stage.parts.map(({ next }) => scope.value(next));
  for (const [part, { axes }] of stage.parts.entries()) {
    const index = [`(${step} + 1i)`, `${part}i`, ...axes.map((axis) => scope.axis(axis))];
    scope.write(tensor, scope.offsetOf(stage.shape, index), values[part]);
  }
  const workgroups = count.add(workgroupSize - 1).floorDiv(workgroupSize);
  return { ...finish(shader, scope, workgroups), steps: stage.step.size };
}

/** The state is the result at the step; what the step computes is computed where it is read. */
function stepReaders(tensor: TensorRef, stage: RecurrenceStage): Readers {
  const known = new WeakMap<Scope, Map<string, string>>();
  return {
    stage(load, scope) {
      const inner = load.source as MapStage | ReduceStage;
      const key = `${inner.id} ${load.index.map((e) => scope.value(e)).join()}`;
      const values = known.get(scope) ?? new Map<string, string>();
      known.set(scope, values);
      let value = values.get(key);
      if (value === undefined) {
        const body = substituteAxes(inner.body, new Map(inner.axes.map((axis, at) => [axis, load.index[at]])));
        value = inner.kind === 'map' ? scope.value(body) : reduceSerially(scope, { ...inner, body });
        values.set(key, value);
      }
      return value;
    },
    tensor(load, scope) {
      if (load.source !== stage.state) return undefined;
      const index = [scope.axis(stage.step), ...load.index.map((e) => scope.value(e))];
      return scope.read(tensor, scope.offsetOf(stage.shape, index));
    },
  };
}
