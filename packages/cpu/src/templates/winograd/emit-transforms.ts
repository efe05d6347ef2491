// Functions for the three transforms of Winograd's convolutions and for the products between them.
//
// Transformed images are stored as [tile element][tile of the block][channel], products as [tile element][tile of the
// block][column of 64].

import { Dim } from '@onnx-ts/tensor-ir';
import { ArgumentWords } from '../../kernel/argument-words.ts';
import type { CompiledKernel } from '../../kernel/compile-kernel.ts';
import { kernelParams } from '../../runtime/driver.ts';
import { FunctionBuilder, type Local } from '../../wasm/function.ts';
import type { FunctionRef } from '../../wasm/types.ts';
import type { BlockTarget } from '../block-loop.ts';
import { blockColumns, turnRows } from '../micro-kernel.ts';
import { MapWriter, type WinogradMaps } from './linear-map.ts';
import type { TransformedWeights } from './winograd.ts';

export interface BlockSizes {
  readonly maps: WinogradMaps;
  /** Tiles of a block. */
  readonly tiles: number;
  readonly channels: number;
  readonly columns: number;
  /** Columns of a panel of transformed weights. */
  readonly panelWidth: number;
}

export const floatBytes = 4;
const vectorBytes = 16;
/** Floats of two vectors. */
const pairFloats = 8;

/** Elements of a transformed tile. */
export function elementsOf({ size }: WinogradMaps): number {
  return (size + 2) ** 2;
}

function add(f: FunctionBuilder, local: Local, value: number | Local): void {
  f.get(local);
  f.push(value);
  f.op('i32.add');
  f.set(local);
}

/** The image transform in a module, which has it once for blocks of one size. See `emitImageTransform`. */
export function defineImageTransform({ module, relaxedSimd }: BlockTarget, sizes: BlockSizes): FunctionRef {
  const key = ['winograd image', sizes.maps.size, sizes.tiles, sizes.channels, relaxedSimd].join(' ');
  return module.defineOnce(key, () => emitImageTransform(sizes, relaxedSimd));
}

/** The result transform in a module, which has it once for blocks of one size. See `emitResultTransform`. */
export function defineResultTransform({ module, relaxedSimd }: BlockTarget, sizes: BlockSizes): FunctionRef {
  const key = ['winograd result', sizes.maps.size, sizes.tiles, relaxedSimd].join(' ');
  return module.defineOnce(key, () => emitResultTransform(sizes, relaxedSimd));
}

/**
 * Function (table, between, out): transforms the pixels of one tile. Entry i of the table is the address of the first
 * channel of pixel i; `out` is where the tile's first element goes.
 */
export function emitImageTransform(
  { maps, tiles, channels }: Pick<BlockSizes, 'maps' | 'tiles' | 'channels'>,
  relaxed: boolean,
): FunctionBuilder {
  const params = { table: 'i32', between: 'i32', out: 'i32' } as const;
  const f = new FunctionBuilder(`winograd_image_${maps.size}`, params);
  const [table, between, out] = f.params;
  const edge = maps.size + 2;
  const writer = new MapWriter(f, maps.image, relaxed);
  const write = (offset: Local | number, vectors: 1 | 2): void => {
    writer.write({
      vectors,
      between,
      load: (row, column, vector) => {
        f.get(table);
        f.load('i32.load', (row * edge + column) * 4);
        f.push(offset);
        f.op('i32.add');
        f.load('v128.load', vector * vectorBytes, 4);
      },
      store: (row, column, vector, value) => {
        f.get(out);
        value();
        f.store('v128.store', (row * edge + column) * tiles * channels * floatBytes + vector * vectorBytes, 4);
      },
    });
    add(f, out, vectors * vectorBytes);
  };
  const paired = Math.floor(channels / pairFloats) * pairFloats;
  f.forRange({ begin: 0, end: paired * floatBytes, step: pairFloats * floatBytes, atLeastOnce: true }, (offset) =>
    write(offset, 2),
  );
  if (paired < channels) write(paired * floatBytes, 1);
  return f;
}

/**
 * Function (products, between, out, pairs): transforms the products of one tile, `pairs` times eight columns, into rows of `blockColumns` results, one for each pixel.
 */
export function emitResultTransform(
  { maps, tiles }: Pick<BlockSizes, 'maps' | 'tiles'>,
  relaxed: boolean,
): FunctionBuilder {
  const params = { products: 'i32', between: 'i32', out: 'i32', pairs: 'i32' } as const;
  const f = new FunctionBuilder(`winograd_result_${maps.size}`, params);
  const [products, between, out, pairs] = f.params;
  const edge = maps.size + 2;
  const writer = new MapWriter(f, maps.result, relaxed);
  f.loop((again) => {
    writer.write({
      vectors: 2,
      between,
      load: (row, column, vector) => {
        f.get(products);
        f.load('v128.load', (row * edge + column) * tiles * blockColumns * floatBytes + vector * vectorBytes);
      },
      store: (row, column, vector, value) => {
        f.get(out);
        value();
        f.store('v128.store', (row * maps.size + column) * blockColumns * floatBytes + vector * vectorBytes);
      },
    });
    add(f, products, 2 * vectorBytes);
    add(f, out, 2 * vectorBytes);
    add(f, pairs, -1);
    f.get(pairs);
    f.brIf(again);
  });
  return f;
}

/**
 * Function (image, weights, out, rows, panels, table): the products of all tile elements, `rows` tiles by `panels` panels.
 * The table holds the offsets of the micro-kernel's rows, r · channels.
 * @param micro by numbers of rows; those for the remainders that occur, and for whole turns
 */
export function emitProducts(
  { maps, tiles, channels, columns, panelWidth }: BlockSizes,
  micro: ReadonlyMap<number, FunctionRef>,
): FunctionBuilder {
  const params = { image: 'i32', weights: 'i32', out: 'i32', rows: 'i32', panels: 'i32', table: 'i32' } as const;
  const f = new FunctionBuilder('winograd_products', params);
  const [image, weights, out, rows, panels, table] = f.params;
  const [panel, target, first, block, left] = f.locals(5, 'i32');
  const most = turnRows.float32;
  const panelBytes = channels * panelWidth * floatBytes;
  const call = (count: number): void => {
    for (const argument of [first, table, 1, channels, panel, block]) f.push(argument);
    f.call(micro.get(count)!);
  };
  f.forRange({ begin: 0, end: elementsOf(maps), atLeastOnce: true }, () => {
    f.get(weights);
    f.set(panel);
    f.get(out);
    f.set(target);
    f.forRange({ begin: 0, end: panels, atLeastOnce: true }, () => {
      f.get(image);
      f.set(first);
      f.get(target);
      f.set(block);
      f.get(rows);
      f.set(left);
      if (micro.has(most)) {
        f.block((exit) => {
          f.loop((again) => {
            f.get(left);
            f.i32Const(most);
            f.op('i32.lt_s');
            f.brIf(exit);
            call(most);
            add(f, first, most * channels * floatBytes);
            add(f, block, most * blockColumns * floatBytes);
            add(f, left, -most);
            f.br(again);
          });
        });
      }
      for (const count of micro.keys()) {
        if (count === most) continue;
        f.get(left);
        f.i32Const(count);
        f.op('i32.eq');
        f.if(() => call(count));
      }
      add(f, panel, panelBytes);
      add(f, target, panelWidth * floatBytes);
    });
    add(f, image, tiles * channels * floatBytes);
    add(f, weights, (columns / panelWidth) * panelBytes);
    add(f, out, tiles * blockColumns * floatBytes);
  });
  return f;
}

/** One tile for each panel of columns. */
export function compileWeightTransform(
  weights: TransformedWeights,
  { module, relaxedSimd }: BlockTarget,
): CompiledKernel {
  const { maps, source, transformed, strides, columns, channels, panelWidth } = weights;
  const words = new ArgumentWords();
  const [sourceAt, transformedAt] = [words.tensor(source), words.tensor(transformed)];
  const f = new FunctionBuilder(`${transformed.name}.transform`, kernelParams);
  const [args, begin, end, between] = f.params;
  const [from, to] = f.locals(2, 'i32');
  const edge = maps.size + 2;
  const panels = columns / panelWidth;
  const panelBytes = channels * panelWidth * floatBytes;
  const writer = new MapWriter(f, maps.weight, relaxedSimd);
  f.forRange({ begin, end }, (panel) => {
    for (const [local, word, step] of [
      [from, sourceAt, panelWidth * strides.column * floatBytes],
      [to, transformedAt, panelBytes],
    ] as const) {
      f.get(args);
      f.load('i32.load', word * 4);
      f.get(panel);
      f.i32Const(step);
      f.op('i32.mul');
      f.op('i32.add');
      f.set(local);
    }
    f.forRange({ begin: 0, end: channels, atLeastOnce: true }, () => {
      for (let half = 0; half < panelWidth; half += 4) {
        writer.write({
          vectors: 1,
          between,
          load: (row, column) => {
            for (let lane = 0; lane < 4; lane++) {
              const element = (half + lane) * strides.column + row * strides.vertical + column * strides.horizontal;
              if (lane === 0) {
                f.get(from);
                f.load('v128.load32_zero', element * floatBytes);
                continue;
              }
              f.scope(() => {
                const vector = f.local('v128');
                f.set(vector);
                f.get(from);
                f.get(vector);
                f.loadLane('v128.load32_lane', lane, element * floatBytes);
              });
            }
          },
          store: (row, column, _vector, value) => {
            f.get(to);
            value();
            f.store('v128.store', (row * edge + column) * panels * panelBytes + half * floatBytes, 4);
          },
        });
      }
      add(f, from, strides.channel * floatBytes);
      add(f, to, panelWidth * floatBytes);
    });
  });
  return {
    phases: [
      {
        function: module.define(f),
        tiles: Dim.constant(panels),
        tilePoints: Dim.constant(channels * panelWidth * elementsOf(maps)),
        pointNanoseconds: 0.5,
        barrier: true,
      },
    ],
    words: words.words,
    scratchBytes: Dim.constant(elementsOf(maps) * 2 * vectorBytes),
    errorSites: [],
  };
}
