// Code for products with weights of 1 to 8 bits: the loops over blocks of the result around the dot kernel.
//
// A tile is one block of `blockRows` × `blockColumns`. Its weights are read from memory once and stay in the second-level
// cache while all its rows pass over them; the epilogue runs on the block as in other products.

import { Dim, IndexAnalysis, type TensorRef } from '@onnx-ts/tensor-ir';
import { ArgumentWords } from '../kernel/argument-words.ts';
import { type CompiledKernel, errorReporter } from '../kernel/compile-kernel.ts';
import { emitPhase } from '../kernel/emit-phase.ts';
import type { ErrorSite } from '../kernel/plan.ts';
import { kernelParams } from '../runtime/driver.ts';
import { FunctionBuilder, type Local } from '../wasm/function.ts';
import type { FunctionRef } from '../wasm/types.ts';
import type { BlockTarget } from './block-loop.ts';
import { blockRows, epiloguePhase, newBlock } from './block-phases.ts';
import { emitDotKernel, groupColumns } from './dot-kernel.ts';
import { blockColumns } from './micro-kernel.ts';
import { type PackedProduct, rowCountOf } from './packed-product.ts';

/** Rows that share a group's fields, for products with A's bytes and with its floats. */
const manyRows = { int8: 4, float32: 2 };

/** Nanoseconds for one field and one element of A. */
const pointNanoseconds = 0.03;

export function compilePackedProduct(product: PackedProduct, target: BlockTarget): CompiledKernel {
  const words = new ArgumentWords();
  const errorSites: ErrorSite[] = [];
  const analysis = new IndexAnalysis();
  const block = newBlock('float32');
  const written = emitPhase(epiloguePhase(product, analysis, block), {
    analysis,
    words,
    errorSites,
    reporter: errorReporter(target.reportError),
    helpers: target.helpers,
  });
  const epilogue = target.module.define(written.f);
  const f = emitTiles(product, target, words, block, epilogue);
  const rows = rowCountOf(product);
  const { column, byte, bits } = product;
  const perColumn = product.block.size.mul(byte.size).mul(8 / bits);
  return {
    phases: [
      {
        function: target.module.define(f),
        tiles: column.size.ceilDiv(blockColumns).mul(rows.ceilDiv(blockRows)),
        tilePoints: perColumn.mul(rows.min(blockRows)).mul(column.size.min(blockColumns)),
        pointNanoseconds,
        barrier: true,
      },
    ],
    words: words.words.map((word) =>
      word.kind === 'tensor' && word.tensor === block ? { kind: 'dim', dim: Dim.constant(0) } : word,
    ),
    scratchBytes: written.scratchBytes.add(
      Math.ceil((words.words.length * 4) / 64) * 64 + blockRows * blockColumns * 4,
    ),
    errorSites,
  };
}

function emitTiles(
  product: PackedProduct,
  { module, relaxedSimd }: BlockTarget,
  words: ArgumentWords,
  block: TensorRef,
  epilogue: FunctionRef,
): FunctionBuilder {
  const { head, column, byte, bits, zero, a, aScale, aSum, weight, scale } = product;
  const rowCount = rowCountOf(product);
  const blockBytes = byte.size.constant!;
  const blocks = product.block.size.constant!;
  const isBytes = aScale !== undefined;
  const factors = isBytes ? 'int8' : 'float32';
  const options = {
    bits,
    blockBytes,
    factors,
    zero: typeof zero === 'number' ? zero : undefined,
    relaxed: relaxedSimd,
  } as const;
  const tables: Record<string, TensorRef> = {
    a,
    aSum,
    weight,
    scale,
    ...(aScale && { aScale }),
    ...(typeof zero !== 'number' && { zeros: zero }),
  };
  const places = Object.fromEntries(Object.entries(tables).map(([name, tensor]) => [name, words.tensor(tensor)]));
  const blockAt = words.tensor(block);
  const dims = { rows: rowCount, groups: column.size.ceilDiv(groupColumns) };
  const dimAt = Object.fromEntries(
    Object.entries(dims).map(([name, dim]) => [name, dim.constant === undefined ? words.dim(dim) : -1]),
  );
  const f = new FunctionBuilder(`${head.name}.packed`, kernelParams);
  const [args, begin, end, scratch] = f.params;
  const wordBytes = Math.ceil((words.words.length * 4) / 64) * 64;
  const compute = (name: string, code: () => void): Local => {
    const local = f.local('i32', name);
    code();
    f.set(local);
    return local;
  };
  const op = (x: Local | number, y: Local | number, name: Parameters<FunctionBuilder['op']>[0]) => (): void => {
    f.push(x);
    f.push(y);
    f.op(name);
  };
  const word = (index: number) => (): void => {
    f.get(args);
    f.load('i32.load', index * 4);
  };
  const size = (name: keyof typeof dims): Local => {
    const { constant } = dims[name];
    return compute(name, constant === undefined ? word(dimAt[name]) : () => f.i32Const(constant));
  };
  f.get(scratch);
  f.get(args);
  f.i32Const(words.words.length * 4);
  f.memoryCopy();
  const blockAddress = compute('block', op(scratch, wordBytes, 'i32.add'));
  const parts = compute('parts', op(blockAddress, blockRows * blockColumns * 4, 'i32.add'));
  f.get(scratch);
  f.get(blockAddress);
  f.store('i32.store', blockAt * 4);
  const rows = size('rows');
  const groups = size('groups');
  const base = Object.fromEntries(Object.entries(places).map(([name, index]) => [name, compute(name, word(index))]));
  const rowBlocks = compute('rowBlocks', () => {
    op(rows, blockRows - 1, 'i32.add')();
    f.i32Const(blockRows);
    f.op('i32.div_u');
  });
  const aStride = blocks * blockBytes * (8 / bits) * (isBytes ? 1 : 4);
  const minimum = (local: Local, limit: Local): void => {
    f.get(local);
    f.get(limit);
    op(local, limit, 'i32.lt_u')();
    f.select();
    f.set(local);
  };
  const groupBytes = blocks * blockBytes * groupColumns;
  const tableBytes = blocks * groupColumns * 4;
  /** Groups from `first` to `end` for the rows of one kernel from `row` on. */
  const sweep = (ref: FunctionRef, at: { row: Local; out: Local; first: Local; end: Local }): void => {
    const out = compute('out', () => f.get(at.out));
    f.forRange({ begin: at.first, end: at.end }, (group) => {
      const table = (name: string, index: Local, stride: number): void => {
        f.get(base[name]);
        op(index, stride, 'i32.mul')();
        f.op('i32.add');
      };
      table('a', at.row, aStride);
      f.i32Const(aStride);
      if (isBytes) table('aScale', at.row, blocks * 4);
      else f.i32Const(0);
      table('aSum', at.row, blocks * 4);
      f.i32Const(blocks * 4);
      table('weight', group, groupBytes);
      table('scale', group, tableBytes);
      if (typeof zero === 'number') f.i32Const(0);
      else table('zeros', group, tableBytes);
      f.i32Const(blocks);
      f.get(out);
      f.i32Const(blockColumns * 4);
      f.call(ref);
      op(out, groupColumns * 4, 'i32.add')();
      f.set(out);
    });
  };
  const rowCounts = [manyRows[factors], 1].filter((count) => count === 1 || (rowCount.constant ?? count) >= count);
  const dotKernels = rowCounts.map((rows) => module.define(emitDotKernel({ ...options, rows })));
  f.forRange({ begin, end }, (tile) => {
    f.scope(() => {
      const above = compute('above', op(tile, rowBlocks, 'i32.div_u'));
      const firstRow = compute('firstRow', () => {
        op(tile, rowBlocks, 'i32.rem_u')();
        f.i32Const(blockRows);
        f.op('i32.mul');
      });
      const lastRow = compute('lastRow', op(firstRow, blockRows, 'i32.add'));
      minimum(lastRow, rows);
      const first = compute('first', op(above, blockColumns / groupColumns, 'i32.mul'));
      const last = compute('last', op(first, blockColumns / groupColumns, 'i32.add'));
      minimum(last, groups);
      const row = compute('row', () => f.get(firstRow));
      const out = compute('out', () => f.get(blockAddress));
      for (const [n, count] of rowCounts.entries()) {
        f.block((exit) => {
          f.loop((again) => {
            op(row, count, 'i32.add')();
            f.get(lastRow);
            f.op('i32.gt_u');
            f.brIf(exit);
            sweep(dotKernels[n], { row, out, first, end: last });
            op(row, count, 'i32.add')();
            f.set(row);
            op(out, count * blockColumns * 4, 'i32.add')();
            f.set(out);
            f.br(again);
          });
        });
      }
      f.get(scratch);
      for (const edge of [firstRow, lastRow]) {
        op(above, rows, 'i32.mul')();
        f.get(edge);
        f.op('i32.add');
      }
      f.get(parts);
      f.call(epilogue);
    });
  });
  return f;
}
