// Code for sums of products: the micro-kernel over panels of B and rows of A, in blocks (see block-loop.ts).

import {
  add,
  cast,
  dimension,
  type Expr,
  IndexAnalysis,
  mul,
  productOf,
  type Statement,
  stridesOf,
  type TensorRef,
  toIndex,
} from '@onnx-ts/tensor-ir';
import type { CompiledKernel } from '../kernel/compile-kernel.ts';
import type { FunctionRef } from '../wasm/types.ts';
import { type BlockTarget, type BlockTurn, compileBlocks } from './block-loop.ts';
import { epiloguePhase, newBlock, newTable, tablePhase } from './block-phases.ts';
import { emitMicroKernel, type MicroKernelOptions, panelBytes, panelWidth, turnRows } from './micro-kernel.ts';
import type { Product } from './product.ts';

/** Nanoseconds for a word of A and one of B, at the rate that the micro-kernel reaches. */
const pointNanoseconds = 0.04;

export function compileProduct(product: Product, target: BlockTarget): CompiledKernel {
  const { arithmetic, taps, run, a, packed, packedBatch, zeros } = product;
  const analysis = new IndexAnalysis();
  const tapCount = productOf(taps.map((axis) => axis.size));
  // In words of 32 bits: A's runs are padded to whole ones.
  const group = arithmetic === 'float32' ? 1 : 2;
  const runLength = productOf(run.map(({ size }, at) => (at === run.length - 1 ? size.ceilDiv(group) : size)));
  const rows = turnRows[arithmetic];
  const block = newBlock(product.head.dtype);
  const table = newTable(tapCount, rows, 1);
  // The table's last entry is the offset of the batch entry's first panel.
  const strides = stridesOf(packed);
  let panels: Expr = dimension(0);
  for (const [at, axis] of packedBatch.entries()) panels = add(panels, mul(toIndex(axis), dimension(strides[at])));
  const last: Statement = {
    kind: 'store',
    tensor: table,
    offset: dimension(tapCount.mul(rows)),
    value: cast('int32', panels),
  };
  const micro = microKernels(product, target);
  return compileBlocks(
    {
      shape: product,
      analysis,
      tablePhase: tablePhase(product, analysis, { load: a, taps, fixed: run, table, turnRows: rows, more: [last] }),
      epiloguePhase: epiloguePhase(product, analysis, block),
      table,
      block,
      turnRows: rows,
      operand: a.source as TensorRef,
      fill: zeros,
      tensors: [packed],
      sizes: {
        taps: tapCount,
        run: runLength,
        panelBytes: tapCount.mul(runLength).mul(panelBytes(panelType(product))),
      },
      pointsPerElement: tapCount.mul(runLength),
      pointNanoseconds,
      emitTurn: (turn) => emitTurn(turn, product, micro),
    },
    target,
  );
}

function panelType({ packed }: Product): MicroKernelOptions['panel'] {
  return packed.dtype as MicroKernelOptions['panel'];
}

/** One micro-kernel for each number of rows that can occur. */
function microKernels(product: Product, { module, relaxedSimd }: BlockTarget): ReadonlyMap<number, FunctionRef> {
  const count = productOf(product.rows.map((axis) => axis.size)).constant;
  const most = turnRows[product.arithmetic];
  const needed = new Set<number>();
  if (count === undefined) for (let rows = 1; rows <= most; rows++) needed.add(rows);
  else {
    if (count >= most) needed.add(most);
    if (count % most > 0) needed.add(count % most);
  }
  const micro = new Map<number, FunctionRef>();
  const options = { arithmetic: product.arithmetic, panel: panelType(product), relaxed: relaxedSimd };
  for (const rows of needed) micro.set(rows, module.define(emitMicroKernel(rows, options)));
  return micro;
}

/** Calls the micro-kernel for each panel of the block. */
function emitTurn(
  turn: BlockTurn<'taps' | 'run' | 'panelBytes'>,
  product: Product,
  micro: ReadonlyMap<number, FunctionRef>,
): void {
  const { f, rows, out, table, operand, firstColumn, columns, sizes } = turn;
  const [panel, target, left] = f.locals(3, 'i32');
  // packed + bytes up to the batch entry + panel · panelBytes
  turn.address(product.packed);
  f.get(table);
  f.get(sizes.taps);
  f.i32Const(turnRows[product.arithmetic] * 4);
  f.op('i32.mul');
  f.op('i32.add');
  f.load('i32.load');
  f.i32Const({ float32: 2, int16: 1, int8: 0 }[panelType(product)]);
  f.op('i32.shl');
  f.op('i32.add');
  f.get(firstColumn);
  f.i32Const(Math.log2(panelWidth));
  f.op('i32.shr_u');
  f.get(sizes.panelBytes);
  f.op('i32.mul');
  f.op('i32.add');
  f.set(panel);
  f.get(out);
  f.set(target);
  f.get(columns);
  f.i32Const(panelWidth - 1);
  f.op('i32.add');
  f.i32Const(Math.log2(panelWidth));
  f.op('i32.shr_u');
  f.set(left);
  for (const [count, ref] of micro) {
    f.get(rows);
    f.i32Const(count);
    f.op('i32.eq');
    f.if(() => {
      f.loop((next) => {
        for (const argument of [operand, table, sizes.taps, sizes.run, panel, target]) f.get(argument);
        f.call(ref);
        for (const [local, step] of [
          [panel, sizes.panelBytes],
          [target, panelWidth * 4],
          [left, -1],
        ] as const) {
          f.get(local);
          f.push(step);
          f.op('i32.add');
          f.set(local);
        }
        f.get(left);
        f.brIf(next);
      });
    });
  }
}
