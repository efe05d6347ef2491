/**
 * What the encoders take for a message `T`: every field may be left out, at any depth,
 * and a typed array may be any list of its elements. A decoded message is such an input.
 */
export type MessageInput<T> = T extends string | number | bigint | Uint8Array
  ? T
  : T extends BigInt64Array | BigUint64Array
    ? ArrayLike<bigint>
    : T extends Float32Array | Float64Array | Int32Array
      ? ArrayLike<number>
      : T extends readonly (infer Element)[]
        ? readonly MessageInput<Element>[]
        : { readonly [Key in keyof T]?: MessageInput<T[Key]> };
