// The containers of repeated fields while a message is decoded.

type NumericArray = Float32Array | Float64Array | Int32Array | BigInt64Array | BigUint64Array;

/** Shared by all empty repeated fields, so that a small message costs little memory. Never written to. */
export const NONE = Object.freeze<never[]>([]) as never[];
export const NO_FLOATS = new Float32Array(0);
export const NO_DOUBLES = new Float64Array(0);
export const NO_INT32S = new Int32Array(0);
export const NO_INT64S = new BigInt64Array(0);
export const NO_UINT64S = new BigUint64Array(0);

/** A message type whose fields can be assigned and whose arrays can be pushed to. */
export type Draft<T> = {
  -readonly [Key in keyof T]: T[Key] extends readonly (infer Element)[] ? Element[] : T[Key];
};

/**
 * `array` with room for `count` more elements at its end, in the same memory where that suffices.
 * The first growth is exact, later ones double, so that a field in many pieces takes linear time.
 * `array` must have come from here (or be one of the empty ones): its memory is ours.
 */
export function extend<T extends NumericArray>(array: T, count: number): T {
  const ArrayType = array.constructor as new (source: number | ArrayBufferLike, offset?: number, length?: number) => T;
  const length = array.length + count;
  if (length * array.BYTES_PER_ELEMENT <= array.buffer.byteLength) return new ArrayType(array.buffer, 0, length);
  const grown = new ArrayType(array.length === 0 ? length : Math.max(length, 2 * array.length));
  (grown as Float32Array).set(array as Float32Array);
  return new ArrayType(grown.buffer, 0, length);
}

/** `array` and one more element, for numeric fields that are written unpacked. */
export function append<T extends NumericArray>(array: T, value: T[number]): T {
  const result = extend(array, 1);
  result[array.length] = value;
  return result;
}

/** Assigning one member of a oneof unsets the others. */
export function keepOnly<T, Key extends keyof T>(message: T, members: readonly Key[], kept: Key): void {
  for (const member of members) if (member !== kept) delete (message as Partial<T>)[member];
}
