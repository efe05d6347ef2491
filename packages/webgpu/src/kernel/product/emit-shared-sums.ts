// Products with few rows or few columns: invocations of a workgroup share the terms of each result, and add up what they
// have in workgroup memory.

import { Dim, type Kernel, type MapStage, type Stage } from '@onnx-ts/tensor-ir';
import { registerTypeOf } from '../../emit/register-type.ts';
import { Scope, type StageReader } from '../../emit/scope.ts';
import { Shader } from '../../emit/shader.ts';
import type { ShaderTarget } from '../../emit/target.ts';
import { countOf, type Dispatch, finish, unravel } from '../dispatch.ts';
import { emitEpilogue } from '../epilogue.ts';
import type { Product } from './read-product.ts';
import { followsLast, type SharedSums, sizeOf } from './schedule-product.ts';

export function dispatchSharedSums(
  kernel: Kernel,
  { head, left, right, columns, terms }: Product,
  { lanes, results }: SharedSums,
  target: ShaderTarget,
): Dispatch {
  const values = new Map<Stage, string>();
  const read: StageReader = (load) => values.get(load.source)!;
  const shader = new Shader({ ...target, genericSizes: true }, kernel.outputs.length);
  const scope = new Scope(shader, { stage: read });
  scope.origin = head.origin;
  const count = countOf(head.axes);
  const workgroups = count.ceilDiv(Dim.constant(results));
  const along = followsLast(columns.length > 0 ? right : left, terms);
  const share = scope.define('i32', along ? `i32(lane) % ${lanes}i` : `i32(lane) / ${results}i`);
  const result = scope.define('i32', along ? `i32(lane) / ${lanes}i` : `i32(lane) % ${results}i`);
  const point = scope.define('i32', `i32(group.x + group.y * groups.x) * ${results}i + ${result}`);
  const isInside = scope.define('bool', `${point} < ${shader.size(count, scope)}`);
  const type = registerTypeOf(head.dtype);
  const sum = shader.fresh('sum');
  scope.line(`var ${sum} = ${type}();`);
  scope.block(`if (${isInside})`, (outer) => {
    unravel(outer, head.axes, point);
    const termCount = shader.size(sizeOf(terms), terms, 1);
    outer.block(`for (var term = ${share}; term < ${termCount}; term += ${lanes}i)`, (inner) => {
      for (const axis of head.over) if (axis.size.is(1)) inner.bindAxis(axis, '0i');
      unravel(inner, terms, 'term');
      inner.line(`${sum} += ${inner.value(left)} * ${inner.value(right)};`);
    });
  });
  if (lanes > 1) {
    const shared = shader.workgroupArray(type, lanes * results);
    const at = (offset: string): string => `${shared}[${result} * ${lanes}i + ${share}${offset}]`;
    scope.line(`${at('')} = ${sum};`);
    scope.line('workgroupBarrier();');
    scope.block(`for (var half = ${lanes / 2}i; half > 0i; half >>= 1u)`, (inner) => {
      inner.line(`if (${share} < half) { ${at('')} += ${at(' + half')}; }`);
      inner.line('workgroupBarrier();');
    });
    scope.line(`${sum} = ${at(` - ${share}`)};`);
  }
  scope.block(`if (${isInside} && ${share} == 0i)`, (inner) => {
    unravel(inner, head.axes, point);
    values.set(head, sum);
    emitEpilogue(inner, kernel, head, kernel.stages.slice(1) as readonly MapStage[], values);
  });
  return finish(shader, scope, workgroups, lanes * results);
}
