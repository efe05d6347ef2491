// A WGSL module under construction: its arguments, bindings, helpers and error sites.

import type { Dim, DType, TensorRef } from '@onnx-ts/tensor-ir';
import { HelperSet } from './helpers.ts';
import { elementsPerWord, isShared, isWide, storageTypeOf } from './register-type.ts';
import { knownBytes, partsOf, type ShaderTarget } from './target.ts';

export type Access = 'read' | 'read_write' | 'atomic';

/** A tensor that the shader reads or writes. */
export interface TensorBinding {
  readonly tensor: TensorRef;
  readonly name: string;
  /** Bindings in a row that it takes: more than one where it is larger than a binding may be. */
  readonly parts: number;
  access: Access;
}

/** A shader that would bind more buffers than the device allows. */
export class TooManyBuffers extends TypeError {
  readonly excess: number;

  constructor(count: number, allowed: number) {
    super(`it needs ${count} storage buffers, and the device allows ${allowed}`);
    this.excess = count - allowed;
  }
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

/** Iterations of a nest of loops that a driver may unroll. */
const longestUnrolled = 8;

/** Invocations of a workgroup; adapters have to allow 256. */
export const workgroupSize = 64;

const subgroupBuiltins = [
  '@builtin(subgroup_invocation_id) subgroup_lane: u32',
  '@builtin(subgroup_size) subgroup_size: u32',
  '@builtin(subgroup_id) subgroup: u32',
  '@builtin(num_subgroups) subgroups: u32',
];

export class Shader {
  readonly helpers = new HelperSet();
  readonly words: ArgumentWord[] = [];
  readonly bindings: TensorBinding[] = [];
  /** Tensors that are copied into one buffer before the launch: there are more than a shader may bind. */
  readonly merged: TensorRef[] = [];
  /** What each error site belongs to. */
  readonly sites: unknown[] = [];
  readonly #wordOf = new Map<string, number>();
  readonly #roles = new Map<object, number>();
  readonly #shared: string[] = [];
  #usesSubgroups = false;
  readonly target: ShaderTarget;
  readonly #mostReads: number;
  /** Functions that find the binding of an element, by name. */
  readonly #accessors = new Map<string, string>();
  #names = 0;

  /** @param outputs tensors that it will write */
  constructor(target: ShaderTarget, outputs = 1) {
    this.target = target;
    // One more for errors, and one for the merged buffer.
    this.#mostReads = Math.max(1, target.storageBuffers - 2 - outputs - (target.reserved ?? 0));
  }

  /** A name that nothing else in the module has. */
  fresh(prefix: string): string {
    return `${prefix}${this.#names++}`;
  }

  /**
   * The value of a size.
   *
   * @param role what the size is of. Sizes that happen to be equal share an argument only where they have the same role, so
   * that the shader serves kernels in which they differ
   * @param at which of its sizes
   */
  dim(dim: Dim, role?: object, at = 0): string {
    const constant = dim.constant;
    if (constant === undefined) return this.#word(`dim ${dim.key}`, { kind: 'dim', dim });
    if (role && this.target.genericSizes && constant > 1) return this.#sizeOf(role, at, dim);
    return constant < 0 ? `(${constant}i)` : `${constant}i`;
  }

  /** A size that never makes a difference to the text, not even as 1. */
  size(dim: Dim, role: object, at = 0): string {
    return this.target.genericSizes && dim.constant !== undefined ? this.#sizeOf(role, at, dim) : this.dim(dim);
  }

  /**
   * The bound of a loop. Drivers unroll loops whose bounds they know, which may take them minutes, so longer ones come with
   * the arguments.
   *
   * @param around iterations of the loops around it that may be unrolled as well
   */
  bound(dim: Dim, role: object, around = 1): string {
    if (this.unrolls(dim, around)) return this.dim(dim);
    return dim.constant === undefined ? this.dim(dim) : this.#sizeOf(role, 0, dim);
  }

  /** Whether the bound of a loop is left to be seen by the driver. */
  unrolls(dim: Dim, around = 1): boolean {
    return !this.target.isSoftware && dim.constant !== undefined && dim.constant * around <= longestUnrolled;
  }

  #sizeOf(role: object, at: number, dim: Dim): string {
    let number = this.#roles.get(role);
    if (number === undefined) {
      number = this.#roles.size;
      this.#roles.set(role, number);
    }
    return this.#word(`size ${number} ${at}`, { kind: 'dim', dim });
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
      found = { tensor, name: `t${this.bindings.length}`, parts: partsOf(tensor, this.target), access };
      this.bindings.push(found);
    } else if (found.access === 'read' || access === 'atomic') found.access = access;
    return found;
  }

  /** The unit of storage at a position: an element, or a word of elements that share one. */
  load({ tensor, name, parts, access }: TensorBinding, at: string): string {
    const place = (array: string, index: string): string =>
      access === 'atomic' ? `atomicLoad(&${array}[${index}])` : `${array}[${index}]`;
    if (parts === 1) return place(name, at);
    const type = storageTypeOf(tensor.dtype);
    const body = this.#eachPart(tensor.dtype, name, parts, (array, index) => `return ${place(array, index)};`);
    this.#accessors.set(`load_${name}`, `fn load_${name}(at: i32) -> ${type} {\n${body}\n}`);
    return `load_${name}(${at})`;
  }

  /** A statement that stores a unit of storage. */
  store({ tensor, name, parts }: TensorBinding, at: string, value: string): string {
    if (parts === 1) return `${name}[${at}] = ${value};`;
    const type = storageTypeOf(tensor.dtype);
    const body = this.#eachPart(tensor.dtype, name, parts, (array, index) => `${array}[${index}] = value;`);
    this.#accessors.set(`store_${name}`, `fn store_${name}(at: i32, value: ${type}) {\n${body}\n}`);
    return `store_${name}(${at}, ${value});`;
  }

  /** A statement that changes a word for everybody at once. */
  atomic(
    { tensor, name, parts }: TensorBinding,
    operation: 'atomicAnd' | 'atomicOr',
    at: string,
    value: string,
  ): string {
    if (parts === 1) return `${operation}(&${name}[${at}], ${value});`;
    const body = this.#eachPart(
      tensor.dtype,
      name,
      parts,
      (array, index) => `${operation}(&${array}[${index}], value);`,
    );
    this.#accessors.set(`${operation}_${name}`, `fn ${operation}_${name}(at: i32, value: u32) {\n${body}\n}`);
    return `${operation}_${name}(${at}, ${value});`;
  }

  /** A word of the merged buffer. */
  loadMerged(at: string): string {
    return `merged_word(${at})`;
  }

  /** Of each part of a tensor: the statement for a position in it. */
  #eachPart(dtype: DType, name: string, parts: number, statement: (array: string, index: string) => string): string {
    const units = this.target.partBytes / (isWide(dtype) ? 8 : 4);
    const cases = Array.from({ length: parts }, (_, part) => {
      const head = part === parts - 1 ? 'default' : `case ${part}`;
      return `    ${head}: { ${statement(`${name}_${part}`, `at % ${units}i`)} }`;
    });
    return [`  switch at / ${units}i {`, ...cases, '  }'].join('\n');
  }

  /** Bindings of the merged buffer. */
  get mergedParts(): number {
    const { dims, partBytes } = this.target;
    const bytes = this.merged.reduce((sum, tensor) => sum + (knownBytes(tensor, dims) ?? 0) + 16, 0);
    return this.merged.length === 0 ? 0 : Math.ceil(bytes / partBytes);
  }

  /** First word of a tensor that has to share a buffer with others; undefined when it has a binding of its own. */
  mergedBase(tensor: TensorRef): string | undefined {
    if (this.bindings.some((binding) => binding.tensor === tensor)) return undefined;
    if (!this.merged.includes(tensor)) {
      const bound = this.bindings.filter(({ access }) => access === 'read');
      const parts = bound.reduce((sum, binding) => sum + binding.parts, 0);
      if (parts + partsOf(tensor, this.target) <= this.#mostReads || parts === 0) return undefined;
      this.merged.push(tensor);
    }
    return this.#word(`base ${tensor.id}`, { kind: 'base', tensor });
  }

  /** Declares an array in workgroup memory; of one element where none is needed, since WGSL has no empty arrays. */
  workgroupArray(type: string, size: number): string {
    const name = this.fresh('shared');
    this.#shared.push(`var<workgroup> ${name}: array<${type}, ${Math.max(size, 1)}>;`);
    return name;
  }

  /** Gives `main` the place of its invocation among subgroups: `subgroup_lane` of `subgroup_size`, in `subgroup` of `subgroups`. */
  useSubgroups(): void {
    this.#usesSubgroups = true;
  }

  /** The whole module around the lines of `main`. */
  text(body: readonly string[], size = workgroupSize): string {
    const declarations: string[] = [];
    let at = 0;
    const declare = (name: string, parts: number, mode: string, element: string): void => {
      for (let part = 0; part < parts; part++) {
        const variable = parts === 1 ? name : `${name}_${part}`;
        declarations.push(`@group(0) @binding(${at++}) var<storage, ${mode}> ${variable}: array<${element}>;`);
      }
    };
    for (const { tensor, name, parts, access } of this.bindings) {
      const element = access === 'atomic' ? 'atomic<u32>' : storageTypeOf(tensor.dtype);
      declare(name, parts, access === 'read' ? 'read' : 'read_write', element);
    }
    if (this.merged.length > 0) {
      const parts = this.mergedParts;
      declare('merged', parts, 'read', 'u32');
      const body =
        parts === 1
          ? '  return merged[at];'
          : this.#eachPart('uint32', 'merged', parts, (array, index) => `return ${array}[${index}];`);
      this.#accessors.set('merged_word', `fn merged_word(at: i32) -> u32 {\n${body}\n}`);
    }
    if (this.sites.length > 0) {
      declarations.push(`@group(0) @binding(${at++}) var<storage, read_write> errors: array<atomic<u32>>;`);
    }
    if (at > this.target.storageBuffers) throw new TooManyBuffers(at, this.target.storageBuffers);
    if (this.words.length > 0) {
      const blocks = Math.ceil(this.words.length / 4);
      declarations.push(`@group(0) @binding(${at}) var<uniform> args: array<vec4<i32>, ${blocks}>;`);
    }
    const builtins = [
      '@builtin(workgroup_id) group: vec3<u32>',
      '@builtin(num_workgroups) groups: vec3<u32>',
      '@builtin(local_invocation_index) lane: u32',
      ...(this.#usesSubgroups ? subgroupBuiltins : []),
    ];
    return [
      this.#usesSubgroups ? 'enable subgroups;' : '',
      ...declarations,
      ...this.#shared,
      this.helpers.text,
      ...this.#accessors.values(),
      `@compute @workgroup_size(${size})`,
      `fn main(${builtins.join(', ')}) {`,
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
