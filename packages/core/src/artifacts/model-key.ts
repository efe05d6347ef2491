// The key of a prepared model: a hash of everything that the preparation depends on, except what large weights hold. Of
// those it reads little, and what it read is checked when the artifact is read again: see `weight-reads.ts`.

import { largeWeight } from '../onnx/weights.ts';
import { type Digest, hexText, joinBytes } from './digest.ts';

/** Fields on the way from a model to the data of its initializers (onnx.proto). */
const graphOfModel = 7;
const initializerOfGraph = 5;
const rawDataOfTensor = 9;

/**
 * @param settings all else that the result depends on
 * @returns undefined for bytes that are no model
 */
export async function modelKey(model: Uint8Array, settings: unknown, digest: Digest): Promise<string | undefined> {
  const weights = weightRanges(model);
  if (!weights) return undefined;
  const parts: Uint8Array[] = [new TextEncoder().encode(`${JSON.stringify(settings)}\0`)];
  let at = 0;
  for (const { start, end } of weights) {
    parts.push(model.subarray(at, start));
    at = end;
  }
  parts.push(model.subarray(at));
  return hexText(await digest(joinBytes(parts)));
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** Where the model holds the data of large initializers; undefined when it is no message. */
export function weightRanges(model: Uint8Array): readonly Range[] | undefined {
  const path = [graphOfModel, initializerOfGraph, rawDataOfTensor];
  const found: Range[] = [];
  /** Whether the message is well formed. */
  const visit = ({ start, end }: Range, depth: number): boolean => {
    const reader = new FieldReader(model, start, end);
    for (let field = reader.next(); field; field = reader.next()) {
      if (field.number !== path[depth] || !field.content) continue;
      if (depth + 1 < path.length) {
        if (!visit(field.content, depth + 1)) return false;
      } else if (field.content.end - field.content.start >= largeWeight) found.push(field.content);
    }
    return reader.isWhole;
  };
  return visit({ start: 0, end: model.byteLength }, 0) ? found : undefined;
}

/** The fields of a protobuf message, without their values. */
class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  #isBroken = false;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Whether the message ended where it should. */
  get isWhole(): boolean {
    return !this.#isBroken && this.#at === this.#end;
  }

  /** `content` is where a field of bytes, text or a message has them. */
  next(): { readonly number: number; readonly content: Range | undefined } | undefined {
    if (this.#isBroken || this.#at >= this.#end) return undefined;
    const tag = this.#varint();
    const number = Math.floor(tag / 8);
    let content: Range | undefined;
    switch (tag % 8) {
      case 0:
        this.#varint();
        break;
      case 1:
        this.#at += 8;
        break;
      case 2: {
        const length = this.#varint();
        content = { start: this.#at, end: this.#at + length };
        this.#at += length;
        break;
      }
      case 5:
        this.#at += 4;
        break;
      default:
        this.#isBroken = true;
    }
    if (this.#at > this.#end) this.#isBroken = true;
    return this.#isBroken ? undefined : { number, content };
  }

  #varint(): number {
    let [value, scale] = [0, 1];
    for (let count = 0; count < 10 && this.#at < this.#end; count++) {
      const byte = this.#bytes[this.#at++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    this.#isBroken = true;
    return 0;
  }
}
