// Stored cases in folders, in the form of ONNX's backend tests: model.onnx beside test_data_set_<k>/input_<i>.pb and
// output_<i>.pb.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, relative, resolve, sep } from 'node:path';
import { OnnxTsError } from '@onnx-ts/core';
import type { StoredCase, StoredDataSet } from '../stored/stored-case.ts';
import type { CaseIndexEntry } from '../stored/url-cases.ts';

/**
 * All cases below a folder, by name. Their files are read when they run.
 * @throws OnnxTsError INVALID_INPUT when there is no such folder
 */
export function directoryCases(folder: string): readonly StoredCase[] {
  const root = resolve(folder);
  return [...caseFolders(root)].map((path) => ({
    name: nameOf(root, path),
    load: async () => ({ model: read(join(path, 'model.onnx')), dataSets: dataSets(path).map(readDataSet) }),
  }));
}

/** What `urlCases` needs as index.json beside the folders. */
export function directoryIndex(folder: string): readonly CaseIndexEntry[] {
  const root = resolve(folder);
  return [...caseFolders(root)].map((path) => ({
    name: nameOf(root, path),
    dataSets: dataSets(path).map((set) => {
      const names = readdirSync(set);
      const count = (kind: string): number => names.filter((name) => name.startsWith(`${kind}_`)).length;
      return { inputs: count('input'), outputs: count('output') };
    }),
  }));
}

function nameOf(root: string, path: string): string {
  return relative(root, path).split(sep).join('/') || basename(path);
}

function* caseFolders(folder: string): Generator<string> {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new OnnxTsError('INVALID_INPUT', 'there is no such folder.', { place: { path: folder } });
  }
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const folders = entries.filter((entry) => entry.isDirectory());
  const isCase = entries.some(({ name }) => name === 'model.onnx') && folders.some(({ name }) => isDataSet(name));
  if (isCase) yield folder;
  for (const { name } of folders) if (!isDataSet(name)) yield* caseFolders(join(folder, name));
}

function isDataSet(name: string): boolean {
  return /^test_data_set_\d+$/.test(name);
}

function dataSets(path: string): string[] {
  const number = (name: string): number => Number(name.split('_').at(-1));
  const names = readdirSync(path).filter(isDataSet);
  return names.sort((a, b) => number(a) - number(b)).map((name) => join(path, name));
}

function readDataSet(folder: string): StoredDataSet {
  const [inputs, outputs]: Uint8Array[][] = [[], []];
  for (const name of readdirSync(folder)) {
    const match = /^(input|output)_(\d+)\.pb$/.exec(name);
    if (match) (match[1] === 'input' ? inputs : outputs)[Number(match[2])] = read(join(folder, name));
  }
  return { inputs, outputs };
}

function read(path: string): Uint8Array {
  const bytes = readFileSync(path);
  // A Buffer is a Uint8Array with another idea of `slice`.
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
