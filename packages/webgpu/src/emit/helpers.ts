// Functions that generated WGSL calls, by name. A shader contains those it needs, callees first.

import { floatHelpers } from './float-helpers.ts';
import { formatHelpers } from './format-helpers.ts';
import { integerHelpers } from './integer-helpers.ts';
import { wideHelpers } from './wide-helpers.ts';

export interface Helper {
  /** Other helpers that the text calls. */
  readonly needs?: readonly string[];
  readonly text: string;
}

const table: Readonly<Record<string, Helper>> = {
  zero_bits: {
    // Zero that compilers of constants do not see through: WGSL forbids constants that are NaN or infinite.
    text: 'var<private> zero_bits: u32 = 0u;',
  },
  ...integerHelpers,
  ...wideHelpers,
  ...floatHelpers,
  ...formatHelpers,
};

/** The helpers that one shader uses. */
export class HelperSet {
  readonly #names = new Set<string>();

  /** Asks for a helper and gives its name, for the call. */
  use(name: string): string {
    if (this.#names.has(name)) return name;
    const helper = table[name];
    if (!helper) throw new TypeError(`there is no WGSL helper "${name}"`);
    for (const needed of helper.needs ?? []) this.use(needed);
    this.#names.add(name);
    return name;
  }

  get text(): string {
    return [...this.#names].map((name) => table[name].text).join('\n');
  }
}

export const helperNames: readonly string[] = Object.keys(table);
