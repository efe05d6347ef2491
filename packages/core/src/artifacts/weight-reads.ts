// What was read of weights while a model was prepared. Samples of a weight decide whether two are one, a small table is
// folded into another: an artifact holds for other weights exactly if all these bytes are the same.

import type { WeightPlace } from '../session/tensor.ts';
import { type Digest, hexText, joinBytes } from './digest.ts';

export interface WeightRead extends WeightPlace {
  readonly length: number;
}

export class WeightReads {
  readonly #reads = new Map<string, WeightRead>();
  /** Reads of a provider that has not kept anything yet. */
  #tentative: Map<string, WeightRead> | undefined;
  #isPaused = false;

  /** What is read from now on counts only once the provider has kept something. */
  beginPartition(): void {
    this.#tentative = new Map();
  }

  /** What was read until now counts; what is read until the partition ends is only loaded. */
  keepPartition(): void {
    for (const [key, read] of this.#tentative ?? []) this.#reads.set(key, read);
    this.#isPaused = true;
  }

  endPartition(): void {
    this.#tentative = undefined;
    this.#isPaused = false;
  }

  note({ location, offset }: WeightPlace, length: number): void {
    if (this.#isPaused || length === 0) return;
    (this.#tentative ?? this.#reads).set(`${offset} ${length} ${location}`, { location, offset, length });
  }

  get all(): readonly WeightRead[] {
    return [...this.#reads.values()];
  }
}

/** Bytes that are hashed at once. */
const portion = 1 << 22;

/**
 * A hash of what the reads give.
 * @throws OnnxTsError EXTERNAL_DATA from `read` when a file is too short
 */
export async function digestReads(
  reads: readonly WeightRead[],
  read: (place: WeightPlace, target: Uint8Array) => void,
  digest: Digest,
): Promise<string> {
  const digests: Uint8Array[] = [];
  let pending: Uint8Array[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    digests.push(await digest(joinBytes(pending)));
    pending = [];
    bytes = 0;
  };
  for (const { location, offset, length } of reads) {
    for (let start = 0; start < length; start += portion) {
      const part = new Uint8Array(Math.min(portion, length - start));
      read({ location, offset: offset + start }, part);
      pending.push(part);
      bytes += part.byteLength;
      if (bytes >= portion) await flush();
    }
  }
  await flush();
  return hexText(await digest(joinBytes(digests)));
}
