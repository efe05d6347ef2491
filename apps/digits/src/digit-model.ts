// The trained model and its test images, as the page uses them.

import { createSession, type InferenceSession, Tensor } from 'onnx-ts';

/** Pixels of an image: 8 rows of 8, from 0 (no ink) to 1. */
export const pixelCount = 64;

/** Where the model runs, and why not on more threads. */
export interface Runtime {
  readonly device: string;
  readonly note: string | undefined;
}

export class DigitModel {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  /** @param threads as many as there are cores when absent */
  static async load(threads?: number): Promise<DigitModel> {
    const source = new URL('data/model.onnx', document.baseURI);
    return new DigitModel(await createSession(source, { ...(threads !== undefined && { threads }) }));
  }

  get runtime(): Runtime {
    const [{ device, note }] = this.#session.explain().providers;
    return { device, note };
  }

  /**
   * @param images pixels of any number of images, one after the other
   * @returns ten probabilities for each
   */
  async classify(images: Float32Array): Promise<Float32Array> {
    const image = new Tensor('float32', images, [images.length / pixelCount, 1, 8, 8]);
    const { probabilities } = await this.#session.run({ image });
    return probabilities.data as Float32Array;
  }
}

export interface TestSamples {
  readonly images: Float32Array;
  readonly labels: Uint8Array;
}

export async function loadTestSamples(): Promise<TestSamples> {
  const [images, labels] = await Promise.all(['data/test-images.f32', 'data/test-labels.u8'].map(download));
  return { images: new Float32Array(images), labels: new Uint8Array(labels) };
}

async function download(path: string): Promise<ArrayBuffer> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: the server answered ${response.status}`);
  return response.arrayBuffer();
}

/** Position of the largest of `count` values from `start` on. */
export function best(values: Float32Array, start = 0, count = values.length): number {
  let winner = 0;
  for (let at = 1; at < count; at++) if (values[start + at] > values[start + winner]) winner = at;
  return winner;
}
