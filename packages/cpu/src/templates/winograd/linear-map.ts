// Small constant matrices applied to vectors, as code: the three transforms of Winograd's convolutions.
//
// F(m × m, 3 × 3) after A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), section 4: with
// d a tile of (m + 2)² pixels and g a window of 3 × 3 weights, the m² results are Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A.

import type { FunctionBuilder, Local } from '../../wasm/function.ts';

/**
 * y = S₂ M S₁ x, where S₁ (`before`) and S₂ (`after`) replace each pair (p, q) of elements by p + q and p − q. What rows of
 * the whole matrix have in common is computed once that way.
 */
export interface LinearMap {
  readonly before?: readonly (readonly [number, number])[];
  readonly matrix: readonly (readonly number[])[];
  readonly after?: readonly (readonly [number, number])[];
}

/** The maps of F(size × size, 3 × 3), each applied along both axes. */
export interface WinogradMaps {
  readonly size: 2 | 4;
  /** Bᵀ */
  readonly image: LinearMap;
  /** G */
  readonly weight: LinearMap;
  /** Aᵀ */
  readonly result: LinearMap;
}

export const winogradMaps: Readonly<Record<2 | 4, WinogradMaps>> = {
  2: {
    size: 2,
    image: {
      matrix: [
        [1, 0, -1, 0],
        [0, 1, 1, 0],
        [0, -1, 1, 0],
        [0, 1, 0, -1],
      ],
    },
    weight: {
      matrix: [
        [1, 0, 0],
        [1 / 2, 0, 1 / 2],
        [0, 1 / 2, 0],
        [0, 0, 1],
      ],
      after: [[1, 2]],
    },
    result: {
      before: [[1, 2]],
      matrix: [
        [1, 1, 0, 0],
        [0, 0, 1, -1],
      ],
    },
  },
  4: {
    size: 4,
    image: {
      matrix: [
        [4, 0, -5, 0, 1, 0],
        [0, 0, -4, 0, 1, 0],
        [0, -4, 0, 1, 0, 0],
        [0, 0, -1, 0, 1, 0],
        [0, -2, 0, 2, 0, 0],
        [0, 4, 0, -5, 0, 1],
      ],
      after: [
        [1, 2],
        [3, 4],
      ],
    },
    weight: {
      matrix: [
        [1 / 4, 0, 0],
        [-1 / 6, 0, -1 / 6],
        [0, -1 / 6, 0],
        [1 / 24, 0, 1 / 6],
        [0, 1 / 12, 0],
        [0, 0, 1],
      ],
      after: [
        [1, 2],
        [3, 4],
      ],
    },
    result: {
      before: [
        [1, 2],
        [3, 4],
      ],
      matrix: [
        [1, 1, 0, 1, 0, 0],
        [0, 0, 1, 0, 2, 0],
        [0, 1, 0, 4, 0, 0],
        [0, 0, 1, 0, 8, 1],
      ],
    },
  },
};

/** How code for a map along both axes of a tile gets its vectors and leaves them. */
export interface TileAccess {
  /**
   * Vectors of an element, side by side in memory. Where engines compute with pairs of vectors, they find two that are
   * stored one after the other.
   */
  readonly vectors: 1 | 2;
  /** Pushes a vector of the element at row and column of the tile. */
  load(row: number, column: number, vector: number): void;
  /** Stores what `value` pushes. */
  store(row: number, column: number, vector: number, value: () => void): void;
  /** Address of room for the rows of the map's result times the columns of the tile, 32 bytes each. */
  readonly between: Local;
}

const elementBytes = 32;
const vectorBytes = 16;

/** Code for map · tile · mapᵀ. Factors are locals that the caller keeps across loops. */
export class MapWriter {
  readonly #f: FunctionBuilder;
  readonly #map: LinearMap;
  readonly #relaxed: boolean;
  readonly #factors = new Map<number, Local>();

  /** Call it outside of loops: it sets the locals that hold the factors. */
  constructor(f: FunctionBuilder, map: LinearMap, relaxed: boolean) {
    this.#f = f;
    this.#map = map;
    this.#relaxed = relaxed;
    const factors = new Set(map.matrix.flat().filter((factor) => Math.abs(factor) !== 1 && factor !== 0));
    for (const factor of factors) {
      const local = f.local('v128', 'factor');
      f.lanesConst('f32x4', factor);
      f.set(local);
      this.#factors.set(factor, local);
    }
  }

  write({ vectors, load, store, between }: TileAccess): void {
    const f = this.#f;
    const [inner, outer] = [this.#map.matrix[0].length, this.#map.matrix.length];
    const place = (row: number, column: number, vector: number): number =>
      (row * inner + column) * elementBytes + vector * vectorBytes;
    for (let column = 0; column < inner; column++) {
      this.#apply(
        vectors,
        (row, vector) => load(row, column, vector),
        (row, vector, value) => {
          f.get(between);
          value();
          f.store('v128.store', place(row, column, vector));
        },
      );
    }
    for (let row = 0; row < outer; row++) {
      this.#apply(
        vectors,
        (column, vector) => {
          f.get(between);
          f.load('v128.load', place(row, column, vector));
        },
        (column, vector, value) => store(row, column, vector, value),
      );
    }
  }

  #apply(
    vectors: number,
    load: (at: number, vector: number) => void,
    store: (at: number, vector: number, value: () => void) => void,
  ): void {
    const f = this.#f;
    const { matrix, before = [], after = [] } = this.#map;
    f.scope(() => {
      const sides = Array.from({ length: vectors }, () => f.locals(matrix[0].length, 'v128'));
      for (const at of matrix[0].keys()) {
        for (const [vector, values] of sides.entries()) {
          load(at, vector);
          f.set(values[at]);
        }
      }
      for (const pair of before) for (const values of sides) this.#sumAndDifference(pair.map((at) => values[at]));
      for (const [at, row] of matrix.entries()) {
        const pair = after.find((candidate) => candidate.includes(at));
        if (!pair) for (const [vector, values] of sides.entries()) store(at, vector, () => this.#combine(row, values));
        else if (pair[0] === at) this.#storePair(pair, sides, store);
      }
    });
  }

  #storePair(
    pair: readonly [number, number],
    sides: readonly (readonly Local[])[],
    store: (at: number, vector: number, value: () => void) => void,
  ): void {
    const f = this.#f;
    const { matrix } = this.#map;
    f.scope(() => {
      const parts = sides.map((values) =>
        pair.map((at) => {
          const part = f.local('v128');
          this.#combine(matrix[at], values);
          f.set(part);
          return part;
        }),
      );
      for (const [place, op] of (['f32x4.add', 'f32x4.sub'] as const).entries()) {
        for (const [vector, [p, q]] of parts.entries()) {
          store(pair[place], vector, () => {
            f.get(p);
            f.get(q);
            f.op(op);
          });
        }
      }
    });
  }

  #sumAndDifference([p, q]: readonly Local[]): void {
    const f = this.#f;
    f.scope(() => {
      const sum = f.local('v128');
      f.get(p);
      f.get(q);
      f.op('f32x4.add');
      f.set(sum);
      f.get(p);
      f.get(q);
      f.op('f32x4.sub');
      f.set(q);
      f.get(sum);
      f.set(p);
    });
  }

  /** Pushes Σ row[at] · values[at]. */
  #combine(row: readonly number[], values: readonly Local[]): void {
    const f = this.#f;
    const terms = [...row.entries()].filter(([, factor]) => factor !== 0);
    // A term without a factor goes first: it needs no multiplication.
    terms.sort(([, a], [, b]) => Number(b === 1) - Number(a === 1));
    for (const [place, [at, factor]] of terms.entries()) {
      const local = this.#factors.get(factor);
      if (place === 0) {
        f.get(values[at]);
        if (local) {
          f.get(local);
          f.op('f32x4.mul');
        } else if (factor === -1) f.op('f32x4.neg');
      } else if (!local) {
        f.get(values[at]);
        f.op(factor === 1 ? 'f32x4.add' : 'f32x4.sub');
      } else this.#addProduct(values[at], local);
    }
  }

  /** Adds value · factor to what is on the stack. */
  #addProduct(value: Local, factor: Local): void {
    const f = this.#f;
    if (!this.#relaxed) {
      f.get(value);
      f.get(factor);
      f.op('f32x4.mul');
      f.op('f32x4.add');
      return;
    }
    f.scope(() => {
      const sum = f.local('v128');
      f.set(sum);
      f.get(value);
      f.get(factor);
      f.get(sum);
      f.op('f32x4.relaxed_madd');
    });
  }
}
