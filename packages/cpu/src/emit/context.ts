// What every function of the value layer needs to know: where code goes, how many lanes there are, and where functions
// that are too long to be inlined live.

import { FunctionBuilder, type Local } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import type { FunctionRef, ValueType } from '../wasm/types.ts';
import type { Lanes, NumberShape } from './value-type.ts';

export interface EmitContext {
  /** The function that is being written. */
  readonly f: FunctionBuilder;
  /** Lanes that hold values; the others are unspecified. */
  readonly lanes: Lanes;
  readonly helpers: HelperFunctions;
  /**
   * A local that already holds this constant in all lanes, so that a loop need not build it each time.
   * `HoistedConstants` is one implementation. Absent or undefined: the constant is written in place.
   */
  constantLocal?(shape: NumberShape, value: number | bigint): Local | undefined;
}

/** A function that a module has at most once, however many kernels call it. Identity is the object. */
export interface HelperDefinition {
  readonly name: string;
  readonly params: Readonly<Record<string, ValueType>>;
  readonly result: ValueType;
  /** Pushes the result. */
  readonly body: (c: EmitContext, params: readonly Local[]) => void;
}

/** The helper functions of one module, added when first called. */
export class HelperFunctions {
  /** Whether code of the module may use relaxed SIMD, where it gives the same result as other instructions. */
  readonly relaxedSimd: boolean;
  readonly #module: ModuleBuilder;
  readonly #defined = new Map<HelperDefinition, FunctionRef>();

  constructor(module: ModuleBuilder, relaxedSimd = false) {
    this.#module = module;
    this.relaxedSimd = relaxedSimd;
  }

  reference(helper: HelperDefinition): FunctionRef {
    const known = this.#defined.get(helper);
    if (known) return known;
    const f = new FunctionBuilder(helper.name, helper.params, [helper.result]);
    helper.body({ f, lanes: 4, helpers: this }, f.params);
    const ref = this.#module.define(f);
    this.#defined.set(helper, ref);
    return ref;
  }

  /** Arguments are on the stack. */
  call(f: FunctionBuilder, helper: HelperDefinition): void {
    f.call(this.reference(helper));
  }
}

/**
 * Vector constants kept in locals across a loop, which makes polynomials up to twice as fast. Write the loop twice: first
 * into a FunctionBuilder that is thrown away, so that the pool learns what is needed, then into the real one, behind
 * `emit`. A pool serves one function.
 */
export class HoistedConstants {
  readonly #limit: number;
  readonly #entries = new Map<
    string,
    { readonly shape: NumberShape; readonly value: number | bigint; local?: Local }
  >();

  /** @param limit more constants than this are left where they are used: too many locals only spill */
  constructor(limit = 40) {
    this.#limit = limit;
  }

  readonly constantLocal = (shape: NumberShape, value: number | bigint): Local | undefined => {
    const key = `${shape} ${Object.is(value, -0) ? '-0' : value}`;
    const entry = this.#entries.get(key);
    if (!entry && this.#entries.size < this.#limit) this.#entries.set(key, { shape, value });
    return entry?.local;
  };

  /** Sets one local per constant noted so far. */
  emit(f: FunctionBuilder): void {
    for (const entry of this.#entries.values()) {
      entry.local = f.local('v128', `const ${entry.value}`);
      f.lanesConst(entry.shape, entry.value);
      f.set(entry.local);
    }
  }
}
