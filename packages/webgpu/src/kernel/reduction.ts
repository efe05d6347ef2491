// Reductions in generated code: by one invocation in a loop, or by a workgroup together.

import {
  type Axis,
  constant,
  type Expr,
  identityOf,
  isFloat,
  productOf,
  type ReduceOp,
  type ReduceStage,
} from '@onnx-ts/tensor-ir';
import { isWide, registerTypeOf } from '../emit/register-type.ts';
import { binaryText } from '../emit/scalar.ts';
import type { Scope } from '../emit/scope.ts';
import { workgroupSize } from '../emit/shader.ts';
import { unravel } from './dispatch.ts';

type FoldOp = Exclude<ReduceOp, 'argmax' | 'argmin'>;

const steps = { sum: 'add', prod: 'mul', max: 'max', min: 'min', and: 'and', or: 'or' } as const;

function combineText(op: FoldOp, type: Expr['type'], a: string, b: string, scope: Scope): string {
  return binaryText(steps[op], type, a, b, scope.shader.helpers);
}

function identityText(op: ReduceOp, type: Expr['type'], scope: Scope): string {
  const identity = identityOf(op, type as 'float32');
  return scope.value(identity.kind === 'const' ? identity : constant(type, 0));
}

/** Emits loops over axes, innermost last. */
export function loopOver(scope: Scope, axes: readonly Axis[], body: (inner: Scope) => void, around = 1): void {
  if (axes.length === 0) return body(scope);
  const [axis, ...rest] = axes;
  if (axis.size.is(1)) {
    scope.bindAxis(axis, '0i');
    return loopOver(scope, rest, body, around);
  }
  const { shader } = scope;
  const name = shader.fresh('r');
  const within = shader.unrolls(axis.size, around) ? around * axis.size.constant! : around;
  scope.block(`for (var ${name} = 0i; ${name} < ${shader.bound(axis.size, axis, around)}; ${name}++)`, (inner) => {
    inner.bindAxis(axis, name);
    loopOver(inner, rest, body, within);
  });
}

/** The reduction by one invocation; axes of the result have their values. @returns the name of the result */
export function reduceSerially(scope: Scope, stage: ReduceStage): string {
  if (stage.op === 'argmax' || stage.op === 'argmin') return positionSerially(scope, stage);
  const { op } = stage;
  const sum = scope.shader.fresh('sum');
  scope.line(`var ${sum}: ${registerTypeOf(stage.dtype)} = ${identityText(op, stage.dtype, scope)};`);
  scope.block('', (block) =>
    loopOver(block, stage.over, (inner) =>
      inner.line(`${sum} = ${combineText(op, stage.dtype, sum, inner.value(stage.body), inner)};`),
    ),
  );
  return sum;
}

/** Whether `value` at `at` comes before what was the best so far. */
function betterText(stage: ReduceStage, value: string, best: string, scope: Scope): string {
  const { op, selectLast, body } = stage;
  const { helpers } = scope.shader;
  const isMax = op === 'argmax';
  const [a, b] = isMax ? [value, best] : [best, value];
  if (isWide(body.type)) {
    const less = helpers.use(`wide_lt_${body.type === 'int64' ? 'i' : 'u'}`);
    return selectLast ? `!${less}(${a}, ${b})` : `${less}(${b}, ${a})`;
  }
  const whole = (x: string): string => (body.type === 'bool' ? `u32(${x})` : x);
  const plain = `${whole(a)} ${selectLast ? '>=' : '>'} ${whole(b)}`;
  if (!isFloat(body.type)) return `(${plain})`;
  const nan = helpers.use('is_nan');
  // NaN wins over numbers, and the first of several NaN over the others.
  const both = selectLast ? `${nan}(${value})` : `(${nan}(${value}) && !${nan}(${best}))`;
  return `(${both} || (${plain} && !${nan}(${best})))`;
}

function positionSerially(scope: Scope, stage: ReduceStage): string {
  const { shader } = scope;
  const [best, position] = [shader.fresh('best'), shader.fresh('position')];
  const type = registerTypeOf(stage.body.type);
  scope.line(`var ${best}: ${type} = ${identityText(stage.op, stage.body.type, scope)};`);
  scope.line(`var ${position} = 0i;`);
  scope.block('', (block) =>
    loopOver(block, stage.over, (inner) => {
      const value = inner.define(type, inner.value(stage.body));
      inner.line(
        `if (${betterText(stage, value, best, inner)}) { ${best} = ${value}; ${position} = ${inner.axis(stage.over[0])}; }`,
      );
    }),
  );
  return scope.define('vec2<u32>', `${shader.helpers.use('wide_from_i32')}(${position})`);
}

/** The reduction by all invocations of a workgroup, which all learn the result. To be called in uniform control flow. */
export function reduceTogether(scope: Scope, stage: ReduceStage): string {
  if (stage.op === 'argmax' || stage.op === 'argmin') return positionTogether(scope, stage);
  const { op, dtype } = stage;
  const { shader } = scope;
  const type = registerTypeOf(dtype);
  const sum = shader.fresh('sum');
  scope.line(`var ${sum}: ${type} = ${identityText(op, dtype, scope)};`);
  strided(scope, stage.over, (inner) =>
    inner.line(`${sum} = ${combineText(op, dtype, sum, inner.value(stage.body), inner)};`),
  );
  const shared = shader.workgroupArray(type, workgroupSize);
  if (shader.target.subgroups && type !== 'bool') {
    return acrossSubgroups(scope, sum, type, shared, (a, b) => combineText(op, dtype, a, b, scope));
  }
  scope.line(`${shared}[lane] = ${sum};`);
  halve(scope, (inner) =>
    inner.line(`${shared}[lane] = ${combineText(op, dtype, `${shared}[lane]`, `${shared}[lane + half]`, inner)};`),
  );
  return scope.define(type, `workgroupUniformLoad(&${shared}[0])`);
}

/**
 * First within each subgroup, without memory, then what the subgroups have. Subgroups may be of any size, but all their
 * invocations have to take part.
 */
function acrossSubgroups(
  scope: Scope,
  value: string,
  type: string,
  shared: string,
  combine: (a: string, b: string) => string,
): string {
  const { shader } = scope;
  shader.useSubgroups();
  const from = `min(subgroup_size, ${workgroupSize}u) / 2u`;
  scope.block(`for (var step = ${from}; step > 0u; step >>= 1u)`, (inner) => {
    const other = inner.define(type, `subgroupShuffleXor(${value}, step)`);
    inner.line(`${value} = ${combine(value, other)};`);
  });
  scope.line(`if (subgroup_lane == 0u) { ${shared}[subgroup] = ${value}; }`);
  scope.line('workgroupBarrier();');
  scope.line(`${value} = ${shared}[0];`);
  scope.block('for (var at = 1u; at < subgroups; at++)', (inner) => {
    const other = inner.define(type, `${shared}[at]`);
    inner.line(`${value} = ${combine(value, other)};`);
  });
  return value;
}

function positionTogether(scope: Scope, stage: ReduceStage): string {
  const { shader } = scope;
  const type = registerTypeOf(stage.body.type);
  const [best, position] = [shader.fresh('best'), shader.fresh('position')];
  scope.line(`var ${best}: ${type} = ${identityText(stage.op, stage.body.type, scope)};`);
  // Behind every element until one was seen.
  scope.line(`var ${position} = 2147483647i;`);
  strided(scope, stage.over, (inner) => {
    const value = inner.define(type, inner.value(stage.body));
    const better = betterText(stage, value, best, inner);
    inner.line(
      `if (${position} == 2147483647i || ${better}) { ${best} = ${value}; ${position} = ${inner.axis(stage.over[0])}; }`,
    );
  });
  const values = shader.workgroupArray(type, workgroupSize);
  const positions = shader.workgroupArray('i32', workgroupSize);
  scope.line(`${values}[lane] = ${best};`);
  scope.line(`${positions}[lane] = ${position};`);
  halve(scope, (inner) => {
    const [mine, other] = [inner.define(type, `${values}[lane]`), inner.define(type, `${values}[lane + half]`)];
    const [at, otherAt] = [inner.define('i32', `${positions}[lane]`), inner.define('i32', `${positions}[lane + half]`)];
    // The strict order of both: by value, then by position.
    const strict = { ...stage, selectLast: false };
    const ahead = betterText(strict, other, mine, inner);
    const behind = betterText(strict, mine, other, inner);
    const tie = `!${behind} && ${otherAt} ${stage.selectLast ? '>' : '<'} ${at}`;
    const isThere = `${otherAt} != 2147483647i`;
    inner.block(`if (${isThere} && (${at} == 2147483647i || ${ahead} || (${tie})))`, (inside) => {
      inside.line(`${values}[lane] = ${other};`);
      inside.line(`${positions}[lane] = ${otherAt};`);
    });
  });
  const found = scope.define('i32', `workgroupUniformLoad(&${positions}[0])`);
  return scope.define(
    'vec2<u32>',
    `${shader.helpers.use('wide_from_i32')}(select(${found}, 0i, ${found} == 2147483647i))`,
  );
}

/** Invocation i takes points i, i + n, i + 2n, … of a box. */
export function strided(scope: Scope, axes: readonly Axis[], body: (inner: Scope) => void): void {
  const name = scope.shader.fresh('r');
  const count = scope.shader.bound(productOf(axes.map(({ size }) => size)), axes);
  scope.block(`for (var ${name} = i32(lane); ${name} < ${count}; ${name} += ${workgroupSize}i)`, (inner) => {
    unravel(inner, axes, name);
    body(inner);
  });
}

/** Combines `lane` with `lane + half` for ever smaller halves. */
function halve(scope: Scope, combine: (inner: Scope) => void): void {
  scope.line('workgroupBarrier();');
  scope.block(`for (var half = ${workgroupSize / 2}u; half > 0u; half >>= 1u)`, (inner) => {
    inner.block('if (lane < half)', combine);
    inner.line('workgroupBarrier();');
  });
}
