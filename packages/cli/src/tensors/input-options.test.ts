import { join } from 'node:path';
import { Tensor } from '@onnx-ts/core';
import { Dim, type DType } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { floatTensor, temporaryFolder, writeFile } from '../../tests/fixtures.ts';
import type { DeclaredValue } from '../model/declared-values.ts';
import { parseDimSizes } from '../options.ts';
import { feedsFromOptions } from './input-options.ts';
import { writeNpy } from './npy.ts';

function input(name: string, dtype: DType, ...dims: (number | string | Dim)[]): DeclaredValue {
  return { name, type: { kind: 'tensor', dtype, shape: dims.map((dim) => Dim.from(dim)) } };
}

const plain = { seed: 0, dims: {} };

describe('files', () => {
  it('by extension', () => {
    const folder = temporaryFolder();
    const inputs = [input('a', 'float32', 2), input('b', 'float32', 2), input('c', 'bfloat16', 1)];
    const feeds = feedsFromOptions(
      [
        `a=${writeFile(join(folder, 'a.pb'), floatTensor([2], [1, 2]))}`,
        `b=${writeFile(join(folder, 'b.json'), '[3, 4]')}`,
        `c=${writeFile(join(folder, 'c.npy'), writeNpy(new Tensor('float32', [1], [1])))}`,
      ],
      inputs,
      plain,
    ) as Record<string, Tensor>;
    expect([...feeds.a.data, ...feeds.b.data]).toEqual([1, 2, 3, 4]);
    expect([feeds.c.type, feeds.c.data[0]]).toEqual(['bfloat16', 0x3f80]);
  });

  it('names may contain "=", and may be left out for a single input', () => {
    const file = writeFile(join(temporaryFolder(), 'x.json'), '[1]');
    expect(Object.keys(feedsFromOptions([`a=b=${file}`], [input('a=b', 'float32', 1)], plain))).toEqual(['a=b']);
    expect(Object.keys(feedsFromOptions([file], [input('x', 'float32', 1)], plain))).toEqual(['x']);
  });
});

describe('random', () => {
  it('is seeded, in a range that suits the type, with sizes from --dim', () => {
    const missing: string[] = [];
    const inputs = [
      input('ids', 'int64', 'batch', 4),
      input('attention_mask', 'int64', 'batch', Dim.symbol('past').add(1)),
      input('position_ids', 'int64', 'batch', 3),
      input('x', 'float32', 'batch', 2),
      input('flags', 'bool', 'other'),
    ];
    const options = {
      seed: 7,
      dims: parseDimSizes(['batch=2', 'past=3']),
      unnamedDim: (dim: string) => missing.push(dim),
    };
    const feeds = feedsFromOptions(['random'], inputs, options) as Record<string, Tensor>;
    expect(feeds.ids.dims).toEqual([2, 4]);
    expect([...(feeds.ids.data as BigInt64Array)].every((id) => id >= 0n && id <= 9n)).toBe(true);
    expect([feeds.attention_mask.dims, new Set(feeds.attention_mask.data as BigInt64Array)]).toEqual([
      [2, 4],
      new Set([1n]),
    ]);
    expect([...feeds.position_ids.data]).toEqual([0n, 1n, 2n, 0n, 1n, 2n]);
    expect([...(feeds.x.data as Float32Array)].every((value) => Math.abs(value) <= 1)).toBe(true);
    expect(feeds.flags.dims).toEqual([1]);
    expect(missing).toEqual(['other']);
    const again = feedsFromOptions(['random'], inputs, options) as Record<string, Tensor>;
    expect(again.x.data).toEqual(feeds.x.data);
  });
});

describe('wrong use', () => {
  const inputs = [input('x', 'float32', 1), input('y', 'float32', 1)];
  it.each([
    [['x=random'], 'this input has no value: "y" (float32[1]): give'],
    [['z=random'], 'the model\'s inputs are "x", "y"'],
    [['x=random', 'x=a.npy', 'y=random'], 'the input "x" is given twice'],
    [['x=', 'y=random'], 'a file or "random" must follow'],
    [['x=a.txt', 'y=random'], 'a .npy, .pb, .json or .png file is wanted'],
    [['x=/no/such/file.npy', 'y=random'], 'there is no such file'],
  ])('%j', (options, message) => {
    expect(() => feedsFromOptions(options, inputs, plain)).toThrow(message);
  });
});
