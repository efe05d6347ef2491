// Which operators have random cases, and that a few cases of each family agree.

import { defaultRegistry } from '@onnx-ts/core/internal';
import { describe, expect, it } from 'vitest';
import { operatorOf } from './case.ts';
import { families } from './families.ts';
import { operatorVersions } from './generated/schemas.ts';
import { knownDifference } from './known-differences.ts';
import { judge } from './run-cases.ts';

/** Operators without random cases, and why. */
const exceptions: Readonly<Record<string, string>> = {
  ':ImageDecoder': 'its inputs are files of six formats: they are written out in the tests beside it',
  'com.microsoft:SparseToDenseMatMul': 'its input is a sparse matrix: some are written out in the tests beside it',
};

describe('families', () => {
  it('have distinct names', () => {
    expect(new Set(families.map(({ name }) => name)).size).toBe(families.length);
  });

  it('have a generator for every operator of ONNX and com.microsoft, or a reason why not', () => {
    const covered = new Set(
      families.flatMap(({ cases }) =>
        Object.keys(cases).map((key) => {
          const { domain, op } = operatorOf(key);
          return `${domain}:${op}`;
        }),
      ),
    );
    const defined = defaultRegistry()
      .names()
      .map(({ domain, name }) => `${domain}:${name}`);
    // Operators of com.microsoft that have no definition are listed, with reasons, by the coverage test of the operators.
    const schemas = Object.keys(operatorVersions).filter((key) => !key.startsWith('com.microsoft:'));
    // Those of our own domains come from rewrites of the others.
    const wanted = [...schemas, ...defined].filter((key) => !key.startsWith('onnx-ts'));
    const missing = [...new Set(wanted)].filter((key) => !covered.has(key));
    expect(missing.sort()).toEqual(Object.keys(exceptions).sort());
  });
});

/** Cases of each family that are the same each time. */
const fixed = 10;
/** Milliseconds that further cases of one family may take. */
const budget = 200;
const seed = Number(process.env.ONNX_TS_SEED ?? Math.floor(Math.random() * 2 ** 30));

/** @returns what went wrong, or nothing */
async function failureOf(family: string, at: number): Promise<string> {
  const verdict = await judge({ family, seed: at }, 'cpu');
  const isFine = verdict.outcome === 'pass' || verdict.outcome === 'unsupported' || knownDifference('cpu', verdict);
  return isFine ? '' : `${verdict.op}, seed ${at}: ${verdict.reason}\n${verdict.text}`;
}

describe('cases of every family agree on one thread', () => {
  it.each(families.map(({ name }) => name))('%s, the same each time', async (family) => {
    for (let at = 1; at <= fixed; at++) expect(await failureOf(family, at)).toBe('');
  });

  it.each(families.map(({ name }) => name))(`%s, others (seed ${seed}, ONNX_TS_SEED sets another)`, async (family) => {
    const end = performance.now() + budget;
    for (let at = seed; performance.now() < end; at++) expect(await failureOf(family, at)).toBe('');
  });
});
