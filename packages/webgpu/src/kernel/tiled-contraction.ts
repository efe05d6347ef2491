// Sums of products in register tiles: an invocation computes a few results along one axis of either factor, so that every
// value it loads serves several products. The factors may be any expressions: convolutions are tiled like matrix products.

import {
  type Axis,
  axesIn,
  Dim,
  type DType,
  type Expr,
  type Kernel,
  type MapStage,
  productOf,
  type ReduceStage,
  type Stage,
} from '@onnx-ts/tensor-ir';
import { registerTypeOf } from '../emit/register-type.ts';
import type { Scope, StageReader } from '../emit/scope.ts';
import type { ShaderTarget } from '../emit/target.ts';
import { type Dispatch, perInvocation, unravel } from './dispatch.ts';
import { emitEpilogue } from './epilogue.ts';
import { loopOver } from './reduction.ts';

/** Results along one tiled axis. */
const width = 4;

/** Types whose products and sums are single operations, and need no wrapping. */
const tiledTypes = new Set<DType>(['float32', 'float16', 'bfloat16', 'int32', 'uint32']);

interface Tiling {
  readonly head: ReduceStage;
  /** Factors of the product; `left` knows nothing of `column`, `right` nothing of `row`. */
  readonly left: Expr;
  readonly right: Expr;
  readonly row: Axis;
  readonly column: Axis;
}

/** How a contraction can be tiled; undefined where the factors share all their axes. */
export function readTiling(kernel: Kernel): Tiling | undefined {
  const [head] = kernel.stages;
  if (!tiledTypes.has(head.dtype)) return undefined;
  if (head.kind !== 'reduce' || head.op !== 'sum' || head.body.kind !== 'binary' || head.body.op !== 'mul')
    return undefined;
  const { a: left, b: right } = head.body;
  const [inLeft, inRight] = [axesIn([left]), axesIn([right])];
  const widest = (of: ReadonlySet<Axis>, not: ReadonlySet<Axis>): Axis | undefined => {
    const own = head.axes.filter((axis) => of.has(axis) && !not.has(axis) && axis.size.upperBound > 1);
    // The last axis keeps neighbours together; a short one leaves most of a tile empty.
    return own.findLast((axis) => axis.size.upperBound >= width) ?? own.at(-1);
  };
  const [row, column] = [widest(inLeft, inRight), widest(inRight, inLeft)];
  return row && column ? { head, left, right, row, column } : undefined;
}

export function dispatchTiles(kernel: Kernel, tiling: Tiling, target: ShaderTarget): Dispatch {
  const { head, row, column } = tiling;
  const maps = kernel.stages.slice(1) as readonly MapStage[];
  const values = new Map<Stage, string>();
  const read: StageReader = (load) => values.get(load.source)!;
  // One point for each tile: the tiled axes count tiles instead of elements.
  const tiles = head.axes.map((axis): Axis => {
    if (axis !== row && axis !== column) return axis;
    return { ...axis, size: axis.size.add(width - 1).floorDiv(Dim.constant(width)) };
  });
  const [rowAt, columnAt] = [row, column].map((axis) => tiles[head.axes.indexOf(axis)]);
  const [rows, columns] = [row, column].map((axis) => Math.min(width, axis.size.upperBound));
  const body = (scope: Scope, point: string): void => {
    unravel(scope, tiles, point);
    const { shader } = scope;
    const starts = [rowAt, columnAt].map((axis) => scope.define('i32', `${scope.axis(axis)} * ${width}i`));
    // Beyond the end the last element stands in: its results are not stored.
    const clamp = (axis: Axis, start: string, count: number): string[] =>
      Array.from({ length: count }, (_, at) =>
        at === 0 ? start : scope.define('i32', `min(${start} + ${at}i, ${shader.dim(axis.size, axis)} - 1i)`),
      );
    const rowIndices = clamp(row, starts[0], rows);
    const columnIndices = clamp(column, starts[1], columns);
    const sums = sumTile(scope, tiling, rowIndices, columnIndices);
    // Loops, not a copy for each result: drivers take long over much code.
    const [rowCount, columnCount] = [rows, columns].map((count) => Dim.constant(count));
    scope.block(`for (var row = 0i; row < ${shader.bound(rowCount, rowIndices)}; row++)`, (outer) => {
      const rowIndex = outer.define('i32', `${starts[0]} + row`);
      outer.line(`if (${rowIndex} >= ${shader.dim(row.size, row)}) { break; }`);
      outer.bindAxis(row, rowIndex);
      outer.block(`for (var column = 0i; column < ${shader.bound(columnCount, columnIndices)}; column++)`, (inner) => {
        const columnIndex = inner.define('i32', `${starts[1]} + column`);
        inner.line(`if (${columnIndex} >= ${shader.dim(column.size, column)}) { break; }`);
        inner.bindAxis(column, columnIndex);
        const sum = columns === 1 ? `${sums}[row]` : `${sums}[row][column]`;
        values.set(head, inner.define(registerTypeOf(head.dtype), sum));
        emitEpilogue(inner, kernel, head, maps, values);
      });
    });
  };
  const count = productOf(tiles.map(({ size }) => size));
  return perInvocation({ ...target, genericSizes: true }, count, body, read, head.origin, kernel.outputs.length);
}

/** @returns the name of an array of the rows' sums */
function sumTile(
  scope: Scope,
  { head, left, right, row, column }: Tiling,
  rows: readonly string[],
  columns: readonly string[],
): string {
  const { shader } = scope;
  const type = registerTypeOf(head.dtype);
  const vector = columns.length === 1 ? type : `vec${columns.length}<${type}>`;
  const sums = rows.map(() => shader.fresh('sum'));
  for (const name of sums) scope.line(`var ${name} = ${vector}();`);
  scope.block('', (block) =>
    loopOver(block, head.over, (inner) => {
      const factorsAt = (factor: Expr, axis: Axis, indices: readonly string[]): string[] =>
        indices.map((index) => {
          const value = shader.fresh('factor');
          inner.line(`var ${value}: ${registerTypeOf(factor.type)};`);
          inner.block('', (inside) => {
            inside.bindAxis(axis, index);
            inside.line(`${value} = ${inside.value(factor)};`);
          });
          return value;
        });
      const left4 = factorsAt(left, row, rows);
      const right4 = inner.define(vector, `${vector}(${factorsAt(right, column, columns).join(', ')})`);
      for (const [at, sum] of sums.entries()) inner.line(`${sum} += ${left4[at]} * ${right4};`);
    }),
  );
  const name = shader.fresh('sums');
  scope.line(`var ${name} = array<${vector}, ${sums.length}>(${sums.join(', ')});`);
  return name;
}
