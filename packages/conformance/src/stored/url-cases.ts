// Stored cases behind URLs, for browser pages: a list beside folders in ONNX's form.

import type { StoredCase, StoredDataSet } from './stored-case.ts';

/** One entry of the list: how many files its folder has. `directoryIndex` writes it. */
export interface CaseIndexEntry {
  /** Folder below the list. */
  readonly name: string;
  /** Numbers of inputs and outputs of each data set, `test_data_set_0` first. */
  readonly dataSets: readonly { readonly inputs: number; readonly outputs: number }[];
}

/**
 * Cases of a list at `<base>/index.json`.
 * @throws Error when the list cannot be fetched
 */
export async function urlCases(base: string | URL): Promise<readonly StoredCase[]> {
  const root = new URL(`${String(base).replace(/\/$/, '')}/`, globalThis.location?.href);
  const index = (await fetchJson(new URL('index.json', root))) as readonly CaseIndexEntry[];
  return index.map(({ name, dataSets }) => ({
    name,
    async load() {
      const folder = new URL(`${name}/`, root);
      const files = (set: number, kind: 'input' | 'output', count: number): Promise<Uint8Array>[] =>
        Array.from({ length: count }, (_, at) => fetchBytes(new URL(`test_data_set_${set}/${kind}_${at}.pb`, folder)));
      const sets = dataSets.map(
        async ({ inputs, outputs }, set): Promise<StoredDataSet> => ({
          inputs: await Promise.all(files(set, 'input', inputs)),
          outputs: await Promise.all(files(set, 'output', outputs)),
        }),
      );
      return { model: await fetchBytes(new URL('model.onnx', folder)), dataSets: await Promise.all(sets) };
    },
  }));
}

async function fetchJson(url: URL): Promise<unknown> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return response.json();
}

async function fetchBytes(url: URL): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}
