// What a kernel function finds behind its `args` pointer: i32 words that the host fills in when sizes are known.

import type { Dim, TensorRef } from '@onnx-ts/tensor-ir';

/**
 * - `tensor`: the byte address of a tensor;
 * - `dim`: the value of a dim, as an i32 (two's complement);
 * - `site`: number of the kernel's first error site; the function adds the index of the site in `errorSites`.
 */
export type ArgumentWord =
  | { readonly kind: 'tensor'; readonly tensor: TensorRef }
  | { readonly kind: 'dim'; readonly dim: Dim }
  | { readonly kind: 'site' };

/** The words that the phases of a kernel share, in order of first use. */
export class ArgumentWords {
  readonly words: ArgumentWord[] = [];
  readonly #indices = new Map<string, number>();

  tensor(tensor: TensorRef): number {
    return this.#index(`tensor ${tensor.id}`, { kind: 'tensor', tensor });
  }

  dim(dim: Dim): number {
    return this.#index(`dim ${dim.key}`, { kind: 'dim', dim });
  }

  site(): number {
    return this.#index('site', { kind: 'site' });
  }

  #index(key: string, word: ArgumentWord): number {
    const known = this.#indices.get(key);
    if (known !== undefined) return known;
    const index = this.words.length;
    this.words.push(word);
    this.#indices.set(key, index);
    return index;
  }
}
