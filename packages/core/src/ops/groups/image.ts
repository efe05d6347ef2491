// Pictures in files.

export * as imageDecoder from '../image/image-decoder.ts';
