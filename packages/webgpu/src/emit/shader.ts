// A WGSL module under construction: its arguments, bindings, helpers and error sites.

import type { Dim, DType, TensorRef } from '@onnx-ts/tensor-ir';
import { HelperSet } from './helpers.ts';
import { elementsPerWord, isShared, storageTypeOf } from './register-type.ts';

export type Access = 'read' | 'read_write' | 'atomic';

/** A tensor that the shader reads or writes. */
export interface TensorBinding {
  readonly tensor: TensorRef;
  readonly name: string;
  access: Access;
}

/** Words of the uniform block, in order. */
export type ArgumentWord =
  | { readonly kind: 'dim'; readonly dim: Dim }
  /** Number of the kernel's first error site, plus one. */
  | { readonly kind: 'site' }
  /** Number of the launch, of a dispatch that is launched several times. */
  | { readonly kind: 'step' }
  /** First 32-bit word of a tensor in the merged buffer. */
  | { readonly kind: 'base'; readonly tensor: TensorRef };

/** Storage buffers that every adapter allows a shader. */
const mostBuffers = 8;

/** Iterations of a loop that a driver may unroll. */
const longestUnrolled = 8;

/** Invocations of a workgroup; adapters have to allow 256. */
export const workgroupSize = 64;

export class Shader {
  readonly helpers = new HelperSet();
  readonly words: ArgumentWord[] = [];
  readonly bindings: TensorBinding[] = [];
  /** Tensors that are copied into one buffer before the launch: there are more than a shader may bind. */
  readonly merged: TensorRef[] = [];
  /** What each error site belongs to. */
  readonly sites: unknown[] = [];
  readonly #wordOf = new Map<string, number>();
  readonly #shared: string[] = [];
  readonly #mostReads: number;
  #names = 0;

  /** @param outputs tensors that it will write */
  constructor(outputs = 1) {
    // One more for errors, and one for the merged buffer.
    this.#mostReads = Math.max(1, mostBuffers - 2 - outputs);
  }

  /** A name that nothing else in the module has. */
  fresh(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  /** The value of a size. */
  dim(dim: Dim): string {
    const constant = dim.constant;
    if (constant !== undefined) return constant < 0 ? `(${constant}i)` : `${constant}i`;
    return this.#word(`dim ${dim.key}`, { kind: 'dim', dim });
  }

  /**
   * The bound of a loop. Drivers unroll loops whose bounds they know, which may take them minutes, so longer ones come with
   * the arguments.
   */
  bound(dim: Dim): string {
    return dim.atMost(longestUnrolled) ? this.dim(dim) : this.#word(`dim ${dim.key}`, { kind: 'dim', dim });
  }

  /** Number of the launch, from 0. */
  step(): string {
    return this.#word('step', { kind: 'step' });
  }

  /** Number of an error site, for the error buffer. */
  site(origin: unknown): string {
    const first = this.#word('site', { kind: 'site' });
    let at = this.sites.indexOf(origin);
    if (at < 0) at = this.sites.push(origin) - 1;
    return `u32(${first} + ${at}i)`;
  }

  #word(key: string, word: ArgumentWord): string {
    let at = this.#wordOf.get(key);
    if (at === undefined) {
      at = this.words.push(word) - 1;
      this.#wordOf.set(key, at);
    }
    return `args[${at >> 2}].${'xyzw'[at & 3]}`;
  }

  binding(tensor: TensorRef, access: Access): TensorBinding {
    let found = this.bindings.find((binding) => binding.tensor === tensor);
    if (!found) {
      found = { tensor, name: `t${this.bindings.length}`, access };
      this.bindings.push(found);
    } else if (found.access === 'read' || access === 'atomic') found.access = access;
    return found;
  }

  /** First word of a tensor that has to share a buffer with others; undefined when it has a binding of its own. */
  mergedBase(tensor: TensorRef): string | undefined {
    if (this.bindings.some((binding) => binding.tensor === tensor)) return undefined;
    if (!this.merged.includes(tensor)) {
      if (this.bindings.filter(({ access }) => access === 'read').length < this.#mostReads) return undefined;
      this.merged.push(tensor);
    }
    return this.#word(`base ${tensor.id}`, { kind: 'base', tensor });
  }

  /** Declares an array in workgroup memory. */
  workgroupArray(type: string, size: number): string {
    const name = this.fresh('shared');
    this.#shared.push(`var<workgroup> ${name}: array<${type}, ${size}>;`);
    return name;
  }

  /** The whole module around the lines of `main`. */
  text(body: readonly string[], size = workgroupSize): string {
    const declarations = this.bindings.map(({ tensor, name, access }, at) => {
      const element = access === 'atomic' ? 'atomic<u32>' : storageTypeOf(tensor.dtype);
      const mode = access === 'read' ? 'read' : 'read_write';
      return `@group(0) @binding(${at}) var<storage, ${mode}> ${name}: array<${element}>;`;
    });
    let at = this.bindings.length;
    if (this.merged.length > 0) {
      declarations.push(`@group(0) @binding(${at++}) var<storage, read> merged: array<u32>;`);
    }
    if (this.sites.length > 0) {
      declarations.push(`@group(0) @binding(${at++}) var<storage, read_write> errors: array<atomic<u32>>;`);
    }
    if (this.words.length > 0) {
      const blocks = Math.ceil(this.words.length / 4);
      declarations.push(`@group(0) @binding(${at}) var<uniform> args: array<vec4<i32>, ${blocks}>;`);
    }
    return [
      ...declarations,
      ...this.#shared,
      this.helpers.text,
      `@compute @workgroup_size(${size})`,
      'fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {',
      ...body.map((line) => `  ${line}`),
      '}',
    ]
      .filter(Boolean)
      .join('\n');
  }
}

/** Position of an element that shares its word: the word's index, and the first bit. */
export function bitPosition(dtype: DType, offset: string): { readonly word: string; readonly bit: string } {
  const per = elementsPerWord(dtype);
  if (!isShared(dtype)) throw new TypeError(`elements of ${dtype} do not share words`);
  return { word: `(${offset} / ${per}i)`, bit: `(u32(${offset} & ${per - 1}i) * ${32 / per}u)` };
}
