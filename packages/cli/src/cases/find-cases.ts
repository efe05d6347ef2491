// Finds test cases below folders: ONNX's own form (a model beside `test_data_set_<k>` folders), and the flat form that
// `light.json` lists.

import { type Dirent, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { OnnxTsError } from '@onnx-ts/core';
import type { Tolerance } from '../compare/tolerance.ts';
import { readJson } from '../model/json-file.ts';
import type { TensorSpec } from '../tensors/generator.ts';
import { ToleranceFiles } from './tolerance-files.ts';

/** One set of inputs with its expected outputs. All paths are absolute. */
export interface DataSet {
  readonly name: string;
  /** By position among the model's inputs without initializers. */
  readonly inputFiles: readonly (string | undefined)[];
  /** Inputs that are not stored, by name. */
  readonly generated: Readonly<Record<string, TensorSpec>>;
  /** By position among the model's outputs. */
  readonly outputFiles: readonly (string | undefined)[];
}

export interface TestCase {
  /** Path from the folder that was given, that folder's own name included. */
  readonly name: string;
  readonly model: string;
  readonly dataSets: readonly DataSet[];
  readonly tolerance: Tolerance;
}

/**
 * @returns cases sorted by name
 * @throws OnnxTsError INVALID_INPUT for a path that is no folder or a file that is not as it should be
 */
export function findCases(folders: readonly string[]): TestCase[] {
  const tolerances = new ToleranceFiles();
  const cases = new Map<string, TestCase>();
  for (const folder of folders) {
    const root = resolve(folder);
    if (!statSync(root, { throwIfNoEntry: false })?.isDirectory()) {
      throw new OnnxTsError('INVALID_INPUT', 'there is no such folder.', { place: { path: folder } });
    }
    const parent = dirname(root);
    for (const found of walk(root, tolerances)) {
      const name = relative(parent, found.path).split(sep).join('/');
      cases.set(found.path, { ...found.case, name });
    }
  }
  return [...cases.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

interface Found {
  readonly path: string;
  readonly case: Omit<TestCase, 'name'>;
}

function* walk(folder: string, tolerances: ToleranceFiles): Generator<Found> {
  const entries = readdirSync(folder, { withFileTypes: true });
  const models = entries.filter((entry) => !entry.isDirectory() && entry.name.endsWith('.onnx'));
  const sets = entries.filter((entry) => entry.isDirectory() && /^test_data_set_\d+$/.test(entry.name));
  const model = models.find((entry) => entry.name === 'model.onnx') ?? (models.length === 1 ? models[0] : undefined);
  if (model && sets.length > 0) {
    const dataSets = sortByNumber(sets).map((entry) => readDataSet(join(folder, entry.name)));
    const tolerance = tolerances.forCase(folder);
    yield { path: folder, case: { model: join(folder, model.name), dataSets, tolerance } };
  }
  if (entries.some((entry) => entry.name === 'light.json')) yield* flatCases(folder, tolerances);
  for (const entry of entries) {
    if (entry.isDirectory() && !sets.includes(entry)) yield* walk(join(folder, entry.name), tolerances);
  }
}

function sortByNumber(entries: readonly Dirent[]): Dirent[] {
  const numberOf = (entry: Dirent): number => Number(/(\d+)/.exec(entry.name)![1]);
  return [...entries].sort((a, b) => numberOf(a) - numberOf(b));
}

function readDataSet(folder: string): DataSet {
  const inputFiles: string[] = [];
  const outputFiles: string[] = [];
  for (const name of readdirSync(folder)) {
    const match = /^(input|output)_(\d+)\.pb$/.exec(name);
    if (match) (match[1] === 'input' ? inputFiles : outputFiles)[Number(match[2])] = join(folder, name);
  }
  return { name: basename(folder), inputFiles, generated: {}, outputFiles };
}

interface LightEntry {
  readonly model: string;
  readonly outputs: readonly string[];
  readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

/** Inputs are float32 and count up: element k of n is k / n. */
function* flatCases(folder: string, tolerances: ToleranceFiles): Generator<Found> {
  const path = join(folder, 'light.json');
  const list = readJson(path) as Readonly<Record<string, LightEntry>>;
  for (const [name, entry] of Object.entries(list)) {
    const generated = entry.inputs.map(({ name: input, shape }) => {
      const count = shape.reduce((product, size) => product * size, 1);
      const spec: TensorSpec = { dtype: 'float32', shape, dist: { kind: 'fractions', count } };
      return [input, spec] as const;
    });
    const dataSet: DataSet = {
      name: 'light',
      inputFiles: [],
      generated: Object.fromEntries(generated),
      outputFiles: entry.outputs.map((file) => join(folder, file)),
    };
    yield {
      path: join(folder, name),
      case: { model: join(folder, entry.model), dataSets: [dataSet], tolerance: tolerances.parse(entry, path) },
    };
  }
}
