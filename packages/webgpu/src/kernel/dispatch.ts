// What compiling a kernel gives: shaders, each with what it is bound to and how often it runs.

import { type Axis, Dim, productOf, type TensorRef } from '@onnx-ts/tensor-ir';
import { Scope, type StageReader } from '../emit/scope.ts';
import { type ArgumentWord, Shader, type TensorBinding, workgroupSize } from '../emit/shader.ts';
import type { ShaderTarget } from '../emit/target.ts';

export interface Dispatch {
  readonly code: string;
  readonly bindings: readonly TensorBinding[];
  /** Tensors to be copied, one after the other, into the buffer bound behind those of `bindings`. */
  readonly merged: readonly TensorRef[];
  /** Bindings of that buffer. */
  readonly mergedParts: number;
  readonly words: readonly ArgumentWord[];
  /** Stages' origins by error site. */
  readonly sites: readonly unknown[];
  /** Workgroups; folded into two dimensions where one does not suffice. */
  readonly workgroups: Dim;
  /** Launches in a row, each with its number; absent means one. */
  readonly steps?: Dim;
}

export const noStages: StageReader = (load) => {
  throw new TypeError(`the stage ${load.source.name} is not computed in this kernel`);
};

/** One invocation for each of `count` points: `body` gets the number of the point. */
export function perInvocation(target: ShaderTarget, count: Dim, ...rest: LaunchArguments): Dispatch {
  const workgroups = count.add(workgroupSize - 1).floorDiv(Dim.constant(workgroupSize));
  return launch(target, `(group.x + group.y * groups.x) * ${workgroupSize}u + lane`, count, workgroups, ...rest);
}

/** One workgroup for each of `count` points. Control flow in `body` up to barriers depends on the point alone. */
export function perWorkgroup(target: ShaderTarget, count: Dim, ...rest: LaunchArguments): Dispatch {
  return launch(target, 'group.x + group.y * groups.x', count, count, ...rest);
}

type LaunchArguments = [
  body: (scope: Scope, point: string) => void,
  readStage?: StageReader,
  origin?: unknown,
  /** Tensors that are written. */
  outputs?: number,
];

function launch(
  target: ShaderTarget,
  position: string,
  count: Dim,
  workgroups: Dim,
  ...[body, readStage = noStages, origin, outputs = 1]: LaunchArguments
): Dispatch {
  const shader = new Shader(target, outputs);
  const scope = new Scope(shader, { stage: readStage });
  scope.origin = origin;
  scope.line(`let point = i32(${position});`);
  scope.line(`if (point >= ${shader.dim(count, scope)}) { return; }`);
  body(scope, 'point');
  return finish(shader, scope, workgroups);
}

export function finish(shader: Shader, scope: Scope, workgroups: Dim, size?: number): Dispatch {
  return {
    code: shader.text(scope.lines, size),
    bindings: shader.bindings,
    merged: shader.merged,
    mergedParts: shader.mergedParts,
    words: shader.words,
    sites: shader.sites,
    workgroups,
  };
}

export function countOf(axes: readonly Axis[]): Dim {
  return productOf(axes.map(({ size }) => size));
}

/** Gives axes their values at a row-major position. */
export function unravel(scope: Scope, axes: readonly Axis[], position: string): void {
  let rest = position;
  const sized = axes.filter((axis) => !axis.size.is(1));
  for (const axis of axes) if (axis.size.is(1)) scope.bindAxis(axis, '0i');
  for (let at = sized.length - 1; at >= 0; at--) {
    const axis = sized[at];
    if (at === 0) {
      scope.bindAxis(axis, rest);
      break;
    }
    // A size of 0 has no points to give an index to, but must not stand as a divisor.
    const size = axis.size.is(0) ? '1i' : scope.shader.dim(axis.size, axis);
    scope.bindAxis(axis, scope.define('i32', `${rest} % ${size}`));
    rest = scope.define('i32', `${rest} / ${size}`);
  }
}
