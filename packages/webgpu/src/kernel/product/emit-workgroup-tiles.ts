// Products in tiles of a workgroup: its invocations load blocks of both factors into workgroup memory, and each computes
// results in registers from there. The factors may be any expressions: a convolution is a product of windows and weights.

import { type Axis, Dim, type Expr, type Kernel, type MapStage, type Stage } from '@onnx-ts/tensor-ir';
import { registerTypeOf } from '../../emit/register-type.ts';
import { Scope, type StageReader } from '../../emit/scope.ts';
import { Shader } from '../../emit/shader.ts';
import type { ShaderTarget } from '../../emit/target.ts';
import { countOf, type Dispatch, finish, unravel } from '../dispatch.ts';
import { emitEpilogue } from '../epilogue.ts';
import type { Product } from './read-product.ts';
import { followsLast, sizeOf, type WorkgroupTiles } from './schedule-product.ts';

export function dispatchWorkgroupTiles(
  kernel: Kernel,
  product: Product,
  { side, width, depth }: WorkgroupTiles,
  target: ShaderTarget,
): Dispatch {
  const { head, batch, rows, columns, terms } = product;
  const values = new Map<Stage, string>();
  const read: StageReader = (load) => values.get(load.source)!;
  const shader = new Shader({ ...target, genericSizes: true }, kernel.outputs.length);
  const scope = new Scope(shader, { stage: read });
  scope.origin = head.origin;
  const [tile, lanes] = [side * width, side * side];
  const tilesAlong = (axes: readonly Axis[]): Dim => sizeOf(axes).ceilDiv(Dim.constant(tile));
  const [rowTiles, columnTiles] = [tilesAlong(rows), tilesAlong(columns)];
  const count = countOf(batch).mul(rowTiles).mul(columnTiles);
  scope.line('let point = i32(group.x + group.y * groups.x);');
  scope.line(`if (point >= ${shader.size(count, scope)}) { return; }`);
  for (const axis of [...head.axes, ...head.over]) if (axis.size.is(1)) scope.bindAxis(axis, '0i');
  const columnTile = scope.define('i32', `point % ${shader.size(columnTiles, columns)}`);
  const above = scope.define('i32', `point / ${shader.size(columnTiles, columns)}`);
  const rowTile = scope.define('i32', `${above} % ${shader.size(rowTiles, rows)}`);
  unravel(scope, batch, scope.define('i32', `${above} / ${shader.size(rowTiles, rows)}`));
  const [rowCount, columnCount, termCount] = [rows, columns, terms].map((axes) => shader.size(sizeOf(axes), axes, 1));
  const firstRow = scope.define('i32', `${rowTile} * ${tile}i`);
  const firstColumn = scope.define('i32', `${columnTile} * ${tile}i`);
  const laneRow = scope.define('i32', `i32(lane) / ${side}i`);
  const laneColumn = scope.define('i32', `i32(lane) % ${side}i`);
  const type = registerTypeOf(head.dtype);
  const vector = `vec${width}<${type}>`;
  const sums = shader.fresh('sums');
  scope.line(`var ${sums} = array<${vector}, ${width}>();`);
  const [left, right] = [product.left, product.right].map((factor) =>
    shader.workgroupArray(registerTypeOf(factor.type), (tile + 1) * depth),
  );
  scope.block(`for (var first = 0i; first < ${termCount}; first += ${depth}i)`, (outer) => {
    const stage = (name: string, factor: Expr, axes: readonly Axis[], from: string, lines: string): void => {
      const along = followsLast(factor, terms);
      outer.block(`for (var at = i32(lane); at < ${tile * depth}i; at += ${lanes}i)`, (inner) => {
        const line = inner.define('i32', along ? `at / ${depth}i` : `at % ${tile}i`);
        const term = inner.define('i32', along ? `at % ${depth}i` : `at / ${tile}i`);
        const lineAt = inner.define('i32', `${from} + ${line}`);
        const termAt = inner.define('i32', `first + ${term}`);
        const value = shader.fresh('factor');
        inner.line(`var ${value} = ${registerTypeOf(factor.type)}();`);
        inner.block(`if (${lineAt} < ${lines} && ${termAt} < ${termCount})`, (inside) => {
          unravel(inside, axes, lineAt);
          unravel(inside, terms, termAt);
          inside.line(`${value} = ${inside.value(factor)};`);
        });
        inner.line(`${name}[${term} * ${tile + 1}i + ${line}] = ${value};`);
      });
    };
    stage(left, product.left, rows, firstRow, rowCount);
    stage(right, product.right, columns, firstColumn, columnCount);
    outer.line('workgroupBarrier();');
    outer.block(`for (var term = 0i; term < ${depth}i; term++)`, (inner) => {
      const at = (name: string, lane: string, step: number): string =>
        `${name}[term * ${tile + 1}i + ${lane} + ${step * side}i]`;
      const steps = Array.from({ length: width }, (_, step) => step);
      const across = inner.define(vector, `${vector}(${steps.map((step) => at(right, laneColumn, step)).join(', ')})`);
      for (const step of steps) inner.line(`${sums}[${step}] += ${at(left, laneRow, step)} * ${across};`);
    });
    outer.line('workgroupBarrier();');
  });
  // Drivers see the bounds, unroll the loops, and keep the sums in registers.
  scope.block(`for (var row = 0i; row < ${width}i; row++)`, (outer) => {
    const rowAt = outer.define('i32', `${firstRow} + ${laneRow} + row * ${side}i`);
    outer.line(`if (${rowAt} >= ${rowCount}) { break; }`);
    unravel(outer, rows, rowAt);
    outer.block(`for (var column = 0i; column < ${width}i; column++)`, (inner) => {
      const columnAt = inner.define('i32', `${firstColumn} + ${laneColumn} + column * ${side}i`);
      inner.line(`if (${columnAt} >= ${columnCount}) { break; }`);
      unravel(inner, columns, columnAt);
      values.set(head, inner.define(type, `${sums}[row][column]`));
      emitEpilogue(inner, kernel, head, kernel.stages.slice(1) as readonly MapStage[], values);
    });
  });
  return finish(shader, scope, count, lanes);
}
