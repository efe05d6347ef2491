// Where test folders state tolerances: `tolerance.json` or `data.json` beside the model, or an `index.json` one folder up
// whose `models` each have a name and a tolerance.

import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { OnnxTsError } from '@onnx-ts/core';
import { onnxTolerance, parseTolerance, type Tolerance } from '../compare/tolerance.ts';
import { readJson } from '../model/json-file.ts';

interface Index {
  readonly models?: readonly { readonly name: string; readonly tolerance?: unknown }[];
}

export class ToleranceFiles {
  /** Tolerances by case name, for each folder that was looked into. */
  readonly #indexes = new Map<string, ReadonlyMap<string, unknown>>();

  /**
   * The tolerance nearest to the model counts; what it leaves out is as ONNX's runner has it.
   * @throws OnnxTsError INVALID_INPUT
   */
  forCase(folder: string): Tolerance {
    for (const name of ['tolerance.json', 'data.json']) {
      const path = join(folder, name);
      if (existsSync(path)) return this.parse(readJson(path), path);
    }
    const parent = dirname(folder);
    const listed = this.#index(parent).get(basename(folder));
    return listed === undefined ? onnxTolerance : this.parse(listed, join(parent, 'index.json'));
  }

  /** @throws OnnxTsError INVALID_INPUT naming the file */
  parse(json: unknown, path: string): Tolerance {
    try {
      return parseTolerance(json, onnxTolerance, 'tolerance');
    } catch (cause) {
      throw new OnnxTsError('INVALID_INPUT', `${(cause as Error).message}.`, { place: { path }, cause });
    }
  }

  #index(folder: string): ReadonlyMap<string, unknown> {
    let index = this.#indexes.get(folder);
    if (!index) {
      const path = join(folder, 'index.json');
      const json = existsSync(path) ? (readJson(path) as Index) : {};
      const entries = Array.isArray(json.models) ? json.models : [];
      index = new Map(entries.map((entry) => [entry.name, entry.tolerance]));
      this.#indexes.set(folder, index);
    }
    return index;
  }
}
