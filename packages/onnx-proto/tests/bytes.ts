// Writes protobuf by hand, valid or not, independently of the package's own writer.

type Part = number | Uint8Array | readonly Part[];

/** Bytes from numbers, byte arrays and nested lists of these. */
export function bytes(...parts: Part[]): Uint8Array {
  const flat: number[] = [];
  const add = (part: Part): void => {
    if (typeof part === 'number') flat.push(part);
    else for (const item of part) add(item);
  };
  add(parts);
  return Uint8Array.from(flat);
}

/** A varint; negative values take ten bytes. */
export function varint(value: number | bigint): Uint8Array {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Uint8Array.from(out);
}

export const integer = (field: number, value: number | bigint): Uint8Array => bytes(varint(field * 8), varint(value));

/** A length-delimited field: bytes, text, a submessage or packed values. */
export function block(field: number, content: Uint8Array | string): Uint8Array {
  const payload = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  const tag = varint(field * 8 + 2);
  const length = varint(payload.length);
  const out = new Uint8Array(tag.length + length.length + payload.length);
  out.set(tag);
  out.set(length, tag.length);
  out.set(payload, tag.length + length.length);
  return out;
}

/** A deterministic source of numbers in [0, 1) (mulberry32). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The seed of this run: `ONNX_TS_SEED` where set, to repeat a failure. */
export function pickSeed(): number {
  return Number(process.env.ONNX_TS_SEED ?? Math.floor(Math.random() * 2 ** 32));
}
