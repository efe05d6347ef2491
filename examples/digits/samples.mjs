// The model and its 360 test images, as they lie in data/.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PNG } from 'pngjs';

const data = new URL('data/', import.meta.url);

/** What goes in, what comes out, and how accurate the model was where it was trained. */
export const meta = JSON.parse(readFileSync(new URL('meta.json', data), 'utf8'));

export const modelPath = fileURLToPath(new URL('model.onnx', data));

/** Pixels of an image: 8 rows of 8. */
export const pixelCount = 64;

/** Path of the example image of a digit. */
export function examplePath(digit) {
  return fileURLToPath(new URL(`${digit}.png`, data));
}

/** @returns {{ images: Float32Array, labels: Uint8Array }} all images one after the other, scaled to [0, 1], and their digits */
export function testSamples() {
  const bytes = readFileSync(new URL('test-images.f32', data));
  const images = new Float32Array(new Uint8Array(bytes).buffer);
  return { images, labels: new Uint8Array(readFileSync(new URL('test-labels.u8', data))) };
}

/**
 * Reads a grey 8 × 8 image.
 * @returns {Float32Array} pixels scaled to [0, 1]
 * @throws Error for another size
 */
export function readImage(path) {
  const { width, height, data: rgba } = PNG.sync.read(readFileSync(path));
  if (width !== 8 || height !== 8) throw new Error(`${path} is ${width} × ${height} pixels; the model wants 8 × 8.`);
  return Float32Array.from({ length: pixelCount }, (_, at) => rgba[at * 4] / 255);
}

/** @returns {number} position of the largest of `count` values from `start` on */
export function best(values, start = 0, count = values.length) {
  let winner = 0;
  for (let at = 1; at < count; at++) if (values[start + at] > values[start + winner]) winner = at;
  return winner;
}
