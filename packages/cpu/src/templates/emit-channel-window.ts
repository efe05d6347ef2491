// Code for windows that work channel by channel: for each pixel, vectors of channels are combined over the taps.

import { Dim, IndexAnalysis, productOf, type TensorRef } from '@onnx-ts/tensor-ir';
import type { CompiledKernel } from '../kernel/compile-kernel.ts';
import { FunctionBuilder, type Local } from '../wasm/function.ts';
import type { FunctionRef } from '../wasm/types.ts';
import { type BlockTarget, type BlockTurn, compileBlocks } from './block-loop.ts';
import { epiloguePhase, newBlock, newTable, tablePhase } from './block-phases.ts';
import type { ChannelWindow } from './channel-window.ts';
import { blockColumns, turnRows } from './micro-kernel.ts';

/** Nanoseconds for one tap of one channel. */
const pointNanoseconds = 0.12;

/** Vectors of channels that are held in registers together, widest first. */
const widths = [8, 4, 1] as const;

export function compileChannelWindow(window: ChannelWindow, target: BlockTarget): CompiledKernel {
  const { taps, image, weight, fill, column } = window;
  const analysis = new IndexAnalysis();
  const tapCount = productOf(taps.map((axis) => axis.size));
  const block = newBlock('float32');
  const table = newTable(tapCount, turnRows.float32, 0);
  const micro = target.module.define(emitPixel(window.op, weight !== undefined, target.relaxedSimd));
  return compileBlocks(
    {
      shape: window,
      analysis,
      tablePhase: tablePhase(window, analysis, {
        load: image,
        taps,
        fixed: [column],
        table,
        turnRows: turnRows.float32,
      }),
      epiloguePhase: epiloguePhase(window, analysis, block, Dim.constant(turnRows.float32)),
      table,
      block,
      turnRows: turnRows.float32,
      allColumns: true,
      operand: image.source as TensorRef,
      fill,
      tensors: weight ? [weight] : [],
      sizes: { taps: tapCount, channelBytes: column.size.mul(4) },
      pointsPerElement: tapCount,
      pointNanoseconds,
      emit: { each: 'turn', code: (turn) => emitTurn(turn, weight, micro) },
    },
    target,
  );
}

function emitTurn(turn: BlockTurn<'taps' | 'channelBytes'>, weight: TensorRef | undefined, micro: FunctionRef): void {
  const { f, rows, out, table, operand, firstColumn, columns, sizes } = turn;
  const [offset, source, weights, vectors, entry, target, left] = f.locals(7, 'i32');
  const set = (local: Local, ...steps: (() => void)[]): void => {
    for (const step of steps) step();
    f.set(local);
  };
  const plus = (local: Local, step: number): void =>
    set(local, () => {
      f.get(local);
      f.i32Const(step);
      f.op('i32.add');
    });
  set(offset, () => {
    f.get(firstColumn);
    f.i32Const(2);
    f.op('i32.shl');
  });
  set(source, () => {
    f.get(operand);
    f.get(offset);
    f.op('i32.add');
  });
  set(weights, () => {
    if (!weight) f.i32Const(0);
    else {
      turn.address(weight);
      f.get(offset);
      f.op('i32.add');
    }
  });
  set(vectors, () => {
    f.get(columns);
    f.i32Const(3);
    f.op('i32.add');
    f.i32Const(2);
    f.op('i32.shr_u');
  });
  set(entry, () => f.get(table));
  set(target, () => f.get(out));
  set(left, () => f.get(rows));
  f.loop((again) => {
    for (const argument of [source, entry, sizes.taps, weights, sizes.channelBytes, target, vectors]) f.get(argument);
    f.call(micro);
    plus(entry, 4);
    plus(target, blockColumns * 4);
    plus(left, -1);
    f.get(left);
    f.brIf(again);
  });
}

/**
 * Function (source, table, taps, weights, stride, out, vectors): one pixel of the result, `vectors` times four channels.
 * Tap t reads source + 4 · table[t · turnRows] and weights + t · stride. Up to three channels past the last are read and
 * written, which the block has room for.
 */
function emitPixel(op: ChannelWindow['op'], isWeighted: boolean, relaxed: boolean): FunctionBuilder {
  const params = {
    source: 'i32',
    table: 'i32',
    taps: 'i32',
    weights: 'i32',
    stride: 'i32',
    out: 'i32',
    vectors: 'i32',
  } as const;
  const f = new FunctionBuilder(`window_${op}${isWeighted ? '_weighted' : ''}`, params);
  const [source, table, taps, weights, stride, out, vectors] = f.params;
  const [entry, left, at, weight] = f.locals(4, 'i32');
  const identity = op === 'sum' ? 0 : op === 'max' ? -Infinity : Infinity;
  const advance = (local: Local, step: number | Local): void => {
    f.get(local);
    f.push(step);
    f.op('i32.add');
    f.set(local);
  };
  for (const width of widths) {
    f.scope(() => {
      const sums = f.locals(width, 'v128', 'sum');
      f.block((exit) => {
        f.loop((again) => {
          f.get(vectors);
          f.i32Const(width);
          f.op('i32.lt_s');
          f.brIf(exit);
          for (const sum of sums) {
            f.lanesConst('f32x4', identity);
            f.set(sum);
          }
          f.get(table);
          f.set(entry);
          f.get(taps);
          f.set(left);
          f.get(weights);
          f.set(weight);
          f.loop((next) => {
            f.get(source);
            f.get(entry);
            f.load('i32.load');
            f.i32Const(2);
            f.op('i32.shl');
            f.op('i32.add');
            f.set(at);
            for (const [lane, sum] of sums.entries()) combine(f, op, isWeighted, relaxed, at, weight, lane, sum);
            advance(entry, turnRows.float32 * 4);
            if (isWeighted) advance(weight, stride);
            advance(left, -1);
            f.get(left);
            f.brIf(next);
          });
          for (const [lane, sum] of sums.entries()) {
            f.get(out);
            f.get(sum);
            f.store('v128.store', lane * 16, 4);
          }
          advance(source, width * 16);
          if (isWeighted) advance(weights, width * 16);
          advance(out, width * 16);
          advance(vectors, -width);
          f.br(again);
        });
      });
    });
  }
  return f;
}

function combine(
  f: FunctionBuilder,
  op: ChannelWindow['op'],
  isWeighted: boolean,
  relaxed: boolean,
  at: Local,
  weight: Local,
  lane: number,
  sum: Local,
): void {
  const load = (address: Local): void => {
    f.get(address);
    f.load('v128.load', lane * 16, 4);
  };
  if (isWeighted && relaxed) {
    load(at);
    load(weight);
    f.get(sum);
    f.op('f32x4.relaxed_madd');
  } else {
    f.get(sum);
    load(at);
    if (isWeighted) {
      load(weight);
      f.op('f32x4.mul');
    }
    f.op(op === 'sum' ? 'f32x4.add' : op === 'max' ? 'f32x4.max' : 'f32x4.min');
  }
  f.set(sum);
}
