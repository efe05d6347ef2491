// Whatever the bytes are, decoding ends soon, with a message or with a ProtoDecodeError.

import { readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { block, bytes, integer, pickSeed, randomSource, varint } from '../tests/bytes.ts';
import { haveModels, modelFiles } from '../tests/model-files.ts';
import {
  decodeModel,
  decodeOptional,
  decodeSequence,
  decodeTensor,
  decodeType,
  encodeModel,
  encodeSequence,
  ProtoDecodeError,
} from './index.ts';

/** True where the bytes are a message; only a ProtoDecodeError may say that they are not. */
function isReadable(input: Uint8Array, decode: (input: Uint8Array) => unknown = decodeModel): boolean {
  try {
    decode(input);
    return true;
  } catch (error) {
    if (!(error instanceof ProtoDecodeError)) throw error;
    expect(error.offset).toBeGreaterThanOrEqual(0);
    expect(error.offset).toBeLessThanOrEqual(input.length);
    return false;
  }
}

const small = encodeModel({
  irVersion: 10,
  opsetImport: [{ domain: 'ai.onnx.ml', version: 5 }],
  graph: {
    name: 'g',
    node: [
      {
        opType: 'Conv',
        input: ['x', 'w'],
        output: ['y'],
        attribute: [{ name: 'pads', type: 7, ints: [1n, -1n, 300n] }],
      },
      { opType: 'If', attribute: [{ name: 'then_branch', g: { node: [{ opType: 'Exp' }] }, floats: [1, 2], f: 0.5 }] },
    ],
    initializer: [{ name: 'w', dims: [2, 2], dataType: 1, floatData: [1, 2, 3, 4], rawData: new Uint8Array(9) }],
    sparseInitializer: [{ values: { int64Data: [1n, -1n], int32Data: [-3], doubleData: [1] }, dims: [9] }],
    input: [{ name: 'x', type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: 'n' }, { dimValue: 3 }] } } } }],
  },
  metadataProps: [{ key: 'k', value: 'v' }],
});

describe('truncated files', () => {
  it('are refused, unless they are cut between fields of the model', () => {
    let readable = 0;
    for (let length = 0; length < small.length; ++length) if (isReadable(small.subarray(0, length))) ++readable;
    // The fields of the model itself: versions, graph, one operator set, metadata.
    expect(readable).toBe(4);
  });
});

describe('random changes', () => {
  const seed = pickSeed();
  const corpus = [small];
  if (haveModels) {
    const files = modelFiles('*/model.onnx').filter((file) => statSync(file).size < 60_000);
    corpus.push(...files.slice(0, 6).map((file) => new Uint8Array(readFileSync(file))));
  }

  it(`never hang or crash (ONNX_TS_SEED=${seed})`, () => {
    const chance = randomSource(seed);
    const pick = (count: number): number => Math.floor(chance() * count);
    let readable = 0;
    for (let round = 0; round < 4000; ++round) {
      const original = corpus[pick(corpus.length)];
      let mutated: Uint8Array = original.slice(0, pick(4) === 0 ? pick(original.length) : undefined);
      for (let change = pick(8); change >= 0 && mutated.length > 0; --change) {
        const at = pick(Math.min(mutated.length, pick(2) === 0 ? 300 : Number.POSITIVE_INFINITY));
        if (pick(3) > 0) mutated[at] = pick(3) === 0 ? 255 : pick(256);
        else
          mutated = bytes(
            mutated.subarray(0, at),
            varint(BigInt(pick(2 ** 32)) << BigInt(pick(32))),
            mutated.subarray(at),
          );
      }
      if (isReadable(mutated)) {
        ++readable;
        expect(isReadable(encodeModel(decodeModel(mutated)))).toBe(true);
      }
    }
    expect(readable).toBeGreaterThan(0);
  });

  it(`nor do random bytes (ONNX_TS_SEED=${seed})`, () => {
    const chance = randomSource(seed);
    for (let round = 0; round < 4000; ++round) {
      const noise = Uint8Array.from({ length: Math.floor(chance() * 200) }, () => chance() * 256);
      for (const decode of [decodeModel, decodeTensor, decodeSequence, decodeType]) isReadable(noise, decode);
    }
  });
});

describe('lengths beyond the end', () => {
  it('cost nothing', () => {
    const before = process.memoryUsage();
    for (const field of [1, 4, 5, 6, 7, 8, 9, 10, 11, 13]) {
      for (const length of [1000, 2 ** 31 - 1, 2 ** 32 - 4, 2n ** 62n]) {
        const tensor = bytes(varint(field * 8 + 2), varint(length), 1, 2, 3, 4);
        expect(isReadable(tensor, decodeTensor)).toBe(false);
        // The same within a length that lies.
        expect(isReadable(bytes(varint(7 * 8 + 2), varint(2 ** 31), varint(5 * 8 + 2), varint(2 ** 30), tensor))).toBe(
          false,
        );
      }
    }
    const after = process.memoryUsage();
    expect(after.heapTotal + after.arrayBuffers - before.heapTotal - before.arrayBuffers).toBeLessThan(2 ** 25);
  });
});

describe('memory', () => {
  it.each([
    ['empty nodes', 7, bytes(...Array<Uint8Array>(100_000).fill(block(1, '')))],
    ['empty attributes', 7, block(1, bytes(...Array<Uint8Array>(100_000).fill(block(5, ''))))],
    ['empty tensors', 7, bytes(...Array<Uint8Array>(100_000).fill(block(5, '')))],
    ['empty names', 7, block(1, bytes(...Array<Uint8Array>(100_000).fill(block(1, ''))))],
  ])('grows with the file for %s', (_, field, content) => {
    const input = block(field, content);
    const before = process.memoryUsage().heapUsed;
    const model = decodeModel(input);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * input.length);
    expect(model.graph).toBeDefined();
  });
});

describe('deep nesting', () => {
  /** `count` messages, each in the next, by the given fields in turn from the innermost. */
  function nest(count: number, fields: readonly number[]): Uint8Array {
    const parts: Uint8Array[] = [];
    let size = 0;
    for (let level = 0; level < count; ++level) {
      const head = bytes(varint(fields[level % fields.length] * 8 + 2), varint(size));
      size += head.length;
      parts.push(head);
    }
    return Buffer.concat(parts.reverse());
  }

  it('is refused beyond 100 messages', () => {
    for (const count of [102, 1000, 200_000]) {
      const graphs = block(7, nest(count - (count % 3), [6, 5, 1]));
      expect(isReadable(graphs)).toBe(false);
      expect(isReadable(nest(count, [5]), decodeSequence)).toBe(false);
      expect(isReadable(nest(count, [7]), decodeOptional)).toBe(false);
      expect(isReadable(nest(count, [1, 4]), decodeType)).toBe(false);
    }
  });

  it('is accepted up to there, in both directions', () => {
    expect(isReadable(nest(100, [5]), decodeSequence)).toBe(true);
    expect(encodeSequence(decodeSequence(nest(100, [5])))).toEqual(new Uint8Array(nest(100, [5])));
    expect(() => encodeSequence({ sequenceValues: [decodeSequence(nest(100, [5]))] })).toThrow(RangeError);
  });

  it('is refused in unknown groups', () => {
    expect(isReadable(bytes(...Array<Uint8Array>(100_000).fill(varint(900 * 8 + 3))))).toBe(false);
  });
});

it('says where the bytes go wrong', () => {
  const model = bytes(integer(1, 8), block(7, block(5, bytes(integer(2, 1), varint(9 * 8 + 2), varint(400)))));
  expect(() => decodeModel(model)).toThrow('a length of 400 where 0 bytes are left (at byte 9)');
});
