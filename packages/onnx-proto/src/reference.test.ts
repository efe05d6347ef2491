// Compares both directions with protobufjs working from the descriptor by reflection, an implementation of its own.

import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { flatName, readDescriptor } from '../scripts/descriptor.mjs';
import { pickSeed, randomSource } from '../tests/bytes.ts';
import { type PlainMessage, randomMessage } from '../tests/random-message.ts';
import * as decoders from './generated/decode.ts';
import * as encoders from './generated/encode.ts';
import { type MessageDecoder, WireReader } from './wire/reader.ts';
import { type MessageEncoder, WireWriter } from './wire/writer.ts';

const { messages, source } = readDescriptor(new URL('../descriptor/onnx-proto.json', import.meta.url));
const reference = protobuf.Root.fromJSON(source);
const decoderOf = decoders as unknown as Record<string, MessageDecoder<PlainMessage>>;
const encoderOf = encoders as unknown as Record<string, MessageEncoder<PlainMessage>>;

function encode(path: string, message: PlainMessage): Uint8Array {
  const writer = new WireWriter();
  encoderOf[`encode${flatName(path)}`](message, writer);
  return writer.finish();
}

const decode = (path: string, bytes: Uint8Array): PlainMessage =>
  decoderOf[`decode${flatName(path)}`](new WireReader(bytes));

/** The form that protobufjs takes: two words for a bigint. */
function forReference(value: unknown): unknown {
  if (typeof value === 'bigint') {
    return {
      low: Number(value & 0xffff_ffffn),
      high: Number((value >> 32n) & 0xffff_ffffn),
      unsigned: value >= 2n ** 63n,
    };
  }
  if (Array.isArray(value)) return value.map(forReference);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, forReference(item)]));
}

/** Typed arrays as plain ones and empty lists left out, as in the messages that the test makes. */
function withoutDefaults(value: unknown): unknown {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return [...(value as Float32Array)];
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item instanceof Uint8Array || !((item as ArrayLike<unknown>).length === 0) || item === '')
      .map(([key, item]) => [key, withoutDefaults(item)]),
  );
}

describe('agreement with protobufjs by reflection', () => {
  const seed = pickSeed();

  it.each(messages.map(({ path }) => path))(`%s (ONNX_TS_SEED=${seed})`, (path) => {
    const type = reference.lookupType(`onnx.${path}`);
    const chance = randomSource(seed);
    for (let round = 0; round < 40; ++round) {
      const message = randomMessage(messages, path, chance);
      const bytes = encode(path, message);
      expect(Buffer.compare(bytes, type.encode(forReference(message) as object).finish())).toBe(0);
      expect(withoutDefaults(decode(path, bytes))).toEqual(message);
    }
  });
});
