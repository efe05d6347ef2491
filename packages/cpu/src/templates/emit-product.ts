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
import type { FunctionBuilder, Local } from '../wasm/function.ts';
import type { FunctionRef } from '../wasm/types.ts';
import { type BlockTarget, compileBlocks, type WholeBlock } from './block-loop.ts';
import { epiloguePhase, evenBlockRows, mostBlockRows, newBlock, newTable, tablePhase } from './block-phases.ts';
import { blockColumns, defineMicroKernel, type MicroKernelOptions, panelBytes, turnRows } from './micro-kernel.ts';
import type { Product } from './product.ts';

/** Nanoseconds for a word of A and one of B, at the rate that the micro-kernel reaches. */
const pointNanoseconds = 0.04;

export function compileProduct(product: Product, target: BlockTarget): CompiledKernel {
  const { arithmetic, taps, run, a, packed, packedBatch, panelWidth, zeros } = product;
  const analysis = new IndexAnalysis();
  const tapCount = productOf(taps.map((axis) => axis.size));
  // In words of 32 bits: A's runs are padded to whole ones.
  const group = arithmetic === 'float32' ? 1 : 2;
  const runLength = productOf(run.map(({ size }, at) => (at === run.length - 1 ? size.ceilDiv(group) : size)));
  const rows = turnRows[arithmetic];
  const block = newBlock(product.head.dtype, mostBlockRows);
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
      epiloguePhase: epiloguePhase(
        product,
        analysis,
        block,
        evenBlockRows(productOf(product.rows.map((axis) => axis.size)), rows),
      ),
      table,
      block,
      turnRows: rows,
      allColumns: false,
      operand: a.source as TensorRef,
      fill: zeros,
      tensors: [packed],
      sizes: {
        taps: tapCount,
        run: runLength,
        panelBytes: tapCount.mul(runLength).mul(panelBytes(panelType(product), panelWidth)),
      },
      pointsPerElement: tapCount.mul(runLength),
      pointNanoseconds,
      emit: { each: 'block', code: (whole) => emitBlock(whole, product, micro) },
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
  const { arithmetic, panelWidth: width } = product;
  const options = { arithmetic, panel: panelType(product), relaxed: relaxedSimd, width, accumulates: true };
  for (const rows of needed) micro.set(rows, defineMicroKernel(module, rows, options));
  return micro;
}

/**
 * Bytes of a panel that are read again for each turn of the block: with the rows of a turn they fit the first-level cache.
 */
const partBytes = 16 << 10;

/**
 * Calls the micro-kernel for each panel and turn of the block, one part of the sum after the other: some words of a run, or
 * as many taps as have about as many words. A single turn has no part of a panel to read again and takes all at once.
 */
function emitBlock(
  whole: WholeBlock<'taps' | 'run' | 'panelBytes'>,
  product: Product,
  micro: ReadonlyMap<number, FunctionRef>,
): void {
  const { f, rows, block, tables, tableBytes, operand, firstColumn, columns, sizes } = whole;
  const { panelWidth } = product;
  const wordBytes = panelBytes(panelType(product), panelWidth);
  const most = turnRows[product.arithmetic];
  const partWords = partBytes / wordBytes;
  const compute = (target: Local, name: Parameters<FunctionBuilder['op']>[0], a: Local | number, b: Local | number) => {
    f.push(a);
    f.push(b);
    f.op(name);
    f.set(target);
  };
  const copy = (from: Local | number, to: Local): void => {
    f.push(from);
    f.set(to);
  };
  const minimum = (local: Local, limit: Local | number): void => {
    f.get(local);
    f.push(limit);
    f.get(local);
    f.push(limit);
    f.op('i32.lt_u');
    f.select();
    f.set(local);
  };
  const [first, tapStep, wordStep, tap, taps, word, words, keep] = f.locals(8, 'i32');
  const [from, part, table, panel, target, left] = f.locals(6, 'i32');
  const [turnTable, out, leftRows, turn] = f.locals(4, 'i32');
  // packed + bytes up to the batch entry + panel · panelBytes
  f.get(tables);
  f.get(sizes.taps);
  f.i32Const(most * 4);
  f.op('i32.mul');
  f.op('i32.add');
  f.load('i32.load');
  f.i32Const({ float32: 2, int16: 1, int8: 0 }[panelType(product)]);
  f.op('i32.shl');
  whole.address(product.packed);
  f.op('i32.add');
  f.get(firstColumn);
  f.i32Const(Math.log2(panelWidth));
  f.op('i32.shr_u');
  f.get(sizes.panelBytes);
  f.op('i32.mul');
  f.op('i32.add');
  f.set(first);
  copy(sizes.run, wordStep);
  copy(sizes.taps, tapStep);
  f.get(rows);
  f.i32Const(most);
  f.op('i32.gt_u');
  f.if(() => {
    minimum(wordStep, partWords);
    // A run of no words has no part either.
    f.i32Const(partWords);
    f.get(wordStep);
    f.i32Const(1);
    f.get(wordStep);
    f.select();
    f.op('i32.div_u');
    f.set(tapStep);
  });
  copy(0, keep);
  copy(0, tap);
  f.loop((nextTaps) => {
    compute(taps, 'i32.sub', sizes.taps, tap);
    minimum(taps, tapStep);
    copy(0, word);
    f.loop((nextWords) => {
      compute(words, 'i32.sub', sizes.run, word);
      minimum(words, wordStep);
      compute(part, 'i32.mul', tap, sizes.run);
      compute(part, 'i32.add', part, word);
      compute(part, 'i32.mul', part, wordBytes);
      compute(panel, 'i32.add', first, part);
      compute(from, 'i32.shl', word, 2);
      compute(from, 'i32.add', from, operand);
      compute(table, 'i32.mul', tap, most * 4);
      compute(table, 'i32.add', table, tables);
      copy(block, target);
      compute(left, 'i32.add', columns, panelWidth - 1);
      compute(left, 'i32.shr_u', left, Math.log2(panelWidth));
      f.loop((nextPanel) => {
        copy(table, turnTable);
        copy(target, out);
        copy(rows, leftRows);
        f.loop((nextTurn) => {
          copy(leftRows, turn);
          minimum(turn, most);
          for (const [count, ref] of micro) {
            f.get(turn);
            f.i32Const(count);
            f.op('i32.eq');
            f.if(() => {
              for (const argument of [from, turnTable, taps, words, panel, out, keep]) f.get(argument);
              f.call(ref);
            });
          }
          compute(turnTable, 'i32.add', turnTable, tableBytes);
          compute(out, 'i32.add', out, most * blockColumns * 4);
          compute(leftRows, 'i32.sub', leftRows, turn);
          f.get(leftRows);
          f.brIf(nextTurn);
        });
        compute(panel, 'i32.add', panel, sizes.panelBytes);
        compute(target, 'i32.add', target, panelWidth * 4);
        compute(left, 'i32.add', left, -1);
        f.get(left);
        f.brIf(nextPanel);
      });
      copy(-1, keep);
      compute(word, 'i32.add', word, words);
      f.get(word);
      f.get(sizes.run);
      f.op('i32.lt_u');
      f.brIf(nextWords);
    });
    compute(tap, 'i32.add', tap, taps);
    f.get(tap);
    f.get(sizes.taps);
    f.op('i32.lt_u');
    f.brIf(nextTaps);
  });
}
