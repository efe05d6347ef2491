// Text.

export * as text from '../text.ts';
export * as tfIdf from '../tf-idf.ts';
