// Attention with a row for each invocation, for adapters on which barriers are only imitated: an online softmax, key after
// key. Queries and sums are in workgroup memory, each invocation's own: compilers take long over arrays in registers.

import { Dim } from '@onnx-ts/tensor-ir';
import type { Attention } from '@onnx-ts/tensor-ir/attention';
import { Shader } from '../../emit/shader.ts';
import type { ShaderTarget } from '../../emit/target.ts';
import { countOf, type Dispatch, finish, unravel } from '../dispatch.ts';
import { AttentionValues } from './attention-values.ts';

/** Workgroup memory that every adapter has, in words. */
const words = 4096;

/** Rows of a workgroup, where memory allows. */
const mostLanes = 64;

export function dispatchRowAttention(attention: Attention, target: ShaderTarget): Dispatch {
  const { kernel, batch, rows, key, feature, value, q } = attention;
  const shader = new Shader({ ...target, genericSizes: true }, kernel.outputs.length);
  const parts = new AttentionValues(attention);
  const scope = parts.scope(shader);
  const points = [...batch, ...rows];
  const count = countOf(points);
  const [features, columns] = [feature, value].map((axis) => axis.size.constant!);
  const lanes = Math.min(mostLanes, 2 ** Math.floor(Math.log2(words / (features + columns))));
  scope.line(`let point = i32((group.x + group.y * groups.x) * ${lanes}u + lane);`);
  scope.line(`if (point >= ${shader.size(count, scope)}) { return; }`);
  unravel(scope, points, 'point');
  const loop = (name: string, axis: typeof key): string =>
    `for (var ${name} = 0i; ${name} < ${shader.bound(axis.size, axis)}; ${name}++)`;
  const query = shader.workgroupArray('f32', lanes * features);
  scope.line(`let first_feature = i32(lane) * ${features}i;`);
  scope.block(loop('f', feature), (inner) => {
    inner.bindAxis(feature, 'f');
    inner.line(`${query}[first_feature + f] = ${inner.value(q)};`);
  });
  const sums = shader.workgroupArray('f32', lanes * columns);
  scope.line(`let first_column = i32(lane) * ${columns}i;`);
  const sum = `${sums}[first_column + column]`;
  scope.line(`var peak = ${parts.lowest(scope)};`);
  scope.line('var total = 0.0f;');
  scope.block(loop('key', key), (outer) => {
    outer.bindAxis(key, 'key');
    outer.line('var score = 0.0f;');
    outer.block(loop('f', feature), (inner) => {
      inner.bindAxis(feature, 'f');
      inner.line(`score += ${query}[first_feature + f] * ${inner.value(parts.keyFactor)};`);
    });
    const logit = parts.logit(outer, 'score');
    outer.line(`let next = ${shader.helpers.use('max_f32')}(peak, ${logit});`);
    outer.line(`if (${parts.isLowest(outer, 'next')}) { continue; }`);
    const scale = parts.scale(outer, 'peak', 'next');
    const power = parts.power(outer, logit, 'next');
    outer.line(`total = total * ${scale} + ${power};`);
    outer.block(loop('column', value), (inner) => {
      inner.bindAxis(value, 'column');
      inner.line(`${sum} = ${sum} * ${scale} + ${power} * ${inner.value(parts.valueFactor)};`);
    });
    outer.line('peak = next;');
  });
  // Where all keys are masked, all powers are the same.
  scope.block(`if (${parts.isLowest(scope, 'peak')} && ${shader.size(key.size, key)} > 0i)`, (inner) => {
    const power = parts.maskedPower(inner, 'peak');
    inner.line(`total = ${power};`);
    inner.block(loop('column', value), (inside) => inside.line(`${sum} = ${power};`));
  });
  scope.block(loop('column', value), (inner) => {
    inner.bindAxis(value, 'column');
    inner.line(`let sum = ${sum};`);
    parts.store(inner, 'peak', 'total', 'sum');
  });
  return finish(shader, scope, count.ceilDiv(Dim.constant(lanes)), lanes);
}
