// Writes runnable models from the weightless ones of the test data into .cache/models-full/<name>/.
//
//   node materialize-models.mjs [name ...]      all models when none is named

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cache, testData } from './places.mjs';

const source = join(testData, 'models-full');

/** Names of the models there are. */
export function modelNames() {
  if (!existsSync(join(source, 'materialize.mjs'))) {
    throw new Error(
      `There are no full-size models in ${source}: set ONNX_TS_TEST_DATA to the folder that holds models-full.`,
    );
  }
  return readdirSync(source, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(source, entry.name, 'weights.json')))
    .map((entry) => entry.name);
}

/**
 * Makes one model, unless it is there already.
 * @returns its folder, with model.onnx, its data file and inputs.json
 * @throws Error when there is no such model or the weights come out different
 */
export async function materializeModel(name) {
  if (!modelNames().includes(name))
    throw new Error(`There is no model "${name}"; there are ${modelNames().join(', ')}.`);
  const from = join(source, name);
  const to = join(cache, 'models-full', name);
  const recipe = JSON.parse(readFileSync(join(from, 'weights.json'), 'utf8'));
  // The marker is written last: a folder that was left half done has none.
  const marker = { bytes: recipe.bytes, weights: recipe.sha256, graph: hashOf(join(from, 'model.onnx')) };
  const markerFile = join(to, 'materialized.json');
  const dataFile = join(to, recipe.data);
  if (existsSync(markerFile) && existsSync(dataFile)) {
    const found = JSON.parse(readFileSync(markerFile, 'utf8'));
    const same = found.weights === marker.weights && found.graph === marker.graph;
    if (same && found.bytes === statSync(dataFile).size) return to;
  }
  rmSync(to, { recursive: true, force: true });
  const started = performance.now();
  const { materialize } = await import(pathToFileURL(join(source, 'materialize.mjs')).href);
  const made = materialize(from, to);
  if (made.sha256 !== recipe.sha256)
    throw new Error(`${name}: the weights have SHA-256 ${made.sha256}, not ${recipe.sha256}.`);
  copyFileSync(join(from, 'inputs.json'), join(to, 'inputs.json'));
  writeFileSync(markerFile, JSON.stringify({ ...marker, bytes: made.bytes }));
  console.log(
    `${name}: ${(made.bytes / 1e6).toFixed(0)} MB of weights in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  return to;
}

function hashOf(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

if (import.meta.main ?? process.argv[1] === new URL(import.meta.url).pathname) {
  try {
    const names = process.argv.slice(2);
    for (const name of names.length > 0 ? names : modelNames()) console.log(await materializeModel(name));
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
