// 8 × 8 images on canvases.

import { pixelCount } from './digit-model.ts';

/** A canvas of 8 × 8 pixels; style sheets scale it. */
export function pixelCanvas(pixels: Float32Array): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.className = 'pixels';
  canvas.width = canvas.height = 8;
  showPixels(canvas, pixels);
  return canvas;
}

/** White ink, as opaque as there is much of it. */
export function showPixels(canvas: HTMLCanvasElement, pixels: Float32Array): void {
  const image = new ImageData(8, 8);
  image.data.fill(255);
  for (let at = 0; at < pixelCount; at++) image.data[at * 4 + 3] = Math.round(pixels[at] * 255);
  canvas.getContext('2d')!.putImageData(image, 0, 0);
}

/** Pixels of a grey image file of 8 × 8 pixels. */
export async function readImage(path: string): Promise<Float32Array> {
  const image = new Image();
  image.src = path;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 8;
  const context = canvas.getContext('2d')!;
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, 8, 8);
  return Float32Array.from({ length: pixelCount }, (_, at) => data[at * 4] / 255);
}
