// What there is to measure: a cell is one case of one full-size model at one thread count.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { modelNames } from '../materialize-models.mjs';
import { testData } from '../places.mjs';

/** Groups whose geometric means are told, in the order of the report. `decode` counts beside the type of the weights. */
export const groups = ['float32', 'float16', 'int8', 'int4', 'decode'];

/**
 * @param models `name` or `name:case`; all there are when empty
 * @param threads thread counts
 * @returns cells `{ model, case, threads }`
 * @throws Error when there is no such model or case
 */
export function listCells(models, threads) {
  const known = modelNames();
  return (models.length > 0 ? models : known).flatMap((wanted) => {
    const [model, only] = wanted.split(':');
    if (!known.includes(model)) throw new Error(`There is no model "${model}"; there are ${known.join(', ')}.`);
    const { cases } = JSON.parse(readFileSync(join(testData, 'models-full', model, 'inputs.json'), 'utf8'));
    const names = cases.map(({ name }) => name);
    if (only !== undefined && !names.includes(only)) {
      throw new Error(`${model} has no case "${only}"; it has ${names.join(', ')}.`);
    }
    const chosen = only === undefined ? names : [only];
    return chosen.flatMap((name) => threads.map((count) => ({ model, case: name, threads: count })));
  });
}

/** One cell for each model that the cells have: creating a session does not depend on the case. */
export function firstCases(cells) {
  const seen = new Set();
  return cells.filter(({ model, threads }) => {
    const key = `${model} ${threads}`;
    return !seen.has(key) && seen.add(key);
  });
}

/** Groups that a cell counts in. */
export function groupsOf({ model, case: name }) {
  const type = ['int8', 'int4'].find((candidate) => model.includes(candidate));
  const weights = type ?? (model.includes('fp16') ? 'float16' : 'float32');
  return name.startsWith('decode') ? [weights, 'decode'] : [weights];
}

export function isSameCell(a, b) {
  return a.model === b.model && a.case === b.case && a.threads === b.threads;
}

export function isSameModel(a, b) {
  return a.model === b.model && a.threads === b.threads;
}
