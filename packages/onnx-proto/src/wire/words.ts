// Views one 64-bit integer as two 32-bit words, so that no BigInt arithmetic is needed to split or join it.

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** Index of the low and of the high word of a 64-bit array element among its two 32-bit words. */
export const LOW = LITTLE_ENDIAN ? 0 : 1;
export const HIGH = 1 - LOW;

/** One value under three views. Valid until the next call of anything that uses it. */
export const words = new Uint32Array(2);
export const signed = new BigInt64Array(words.buffer);
export const unsigned = new BigUint64Array(words.buffer);
