// Runs one test case in this process and judges it.

import { basename } from 'node:path';
import {
  type ChromeTraceEvent,
  type Explanation,
  type HostValue,
  InferenceSession,
  OnnxTsError,
  type ProviderFactory,
} from '@onnx-ts/core';
import { compareValues } from '../compare/compare.ts';
import { imageOperators } from '../model/image-codecs.ts';
import { type DeclaredValue, declaredOutputs, freeInputs, readModelFile } from '../model/model-file.ts';
import { generateTensor } from '../tensors/generator.ts';
import { readValueFile } from '../tensors/proto-files.ts';
import type { DataSet, TestCase } from './find-cases.ts';
import { isRandomCase } from './random-cases.ts';

/**
 * - `pass`: every output agrees;
 * - `fail`: a wrong result;
 * - `unsupported`: the model asks for something that is not there;
 * - `error`: anything else that went wrong.
 */
export type Outcome = 'pass' | 'fail' | 'unsupported' | 'error';

export interface Verdict {
  readonly outcome: Outcome;
  /** Why it did not pass; for a pass, what was left out. */
  readonly reason: string;
}

export interface CaseOptions {
  readonly providers: readonly ProviderFactory[];
  readonly threads?: number;
  /** False makes a case unsupported when the first provider left a tensor operator to somebody else. */
  readonly fallback: boolean;
}

/** Never throws. */
export async function runCase(test: TestCase, options: CaseOptions): Promise<Verdict> {
  let session: InferenceSession | undefined;
  try {
    const model = readModelFile(test.model);
    const inputs = freeInputs(model);
    const outputs = declaredOutputs(model);
    const operators = imageOperators(model);
    const typesOnly = isRandomCase(basename(test.name));
    session = await InferenceSession.create(test.model, {
      providers: options.providers,
      seed: 0,
      enableProfiling: !options.fallback,
      placement: options.fallback ? 'auto' : 'providers',
      ...(options.threads !== undefined && { threads: options.threads }),
      ...(operators && { operators }),
    });
    for (const set of test.dataSets) {
      const results = await session.run(feedsOf(set, inputs));
      for (const [at, file] of set.outputFiles.entries()) {
        const output = outputs[at];
        if (!file) continue;
        if (!output) return { outcome: 'error', reason: `the model has no output ${at} for ${basename(file)}` };
        const expected = readValueFile(file, output.type);
        const what = `${test.dataSets.length > 1 ? `${set.name}, ` : ''}output "${output.name}"`;
        const difference = compareValues(results[output.name], expected, what, {
          tolerance: test.tolerance,
          typesOnly,
        });
        if (difference !== undefined) return { outcome: 'fail', reason: difference };
      }
    }
    if (!options.fallback) {
      const left = leftToOthers(session.explain(), options.providers[0].id, session.endProfiling().traceEvents);
      if (left !== undefined) return { outcome: 'unsupported', reason: left };
    }
    return { outcome: 'pass', reason: typesOnly ? '(distribution)' : '' };
  } catch (error) {
    return verdictOf(error);
  } finally {
    await session?.dispose().catch(() => {});
  }
}

function feedsOf(set: DataSet, inputs: readonly DeclaredValue[]): Record<string, HostValue> {
  const feeds: Record<string, HostValue> = {};
  for (const [at, file] of set.inputFiles.entries()) {
    if (file && inputs[at]) feeds[inputs[at].name] = readValueFile(file, inputs[at].type);
  }
  for (const [name, spec] of Object.entries(set.generated)) feeds[name] = generateTensor(spec);
  return feeds;
}

function verdictOf(error: unknown): Verdict {
  if (OnnxTsError.is(error)) {
    const isMissing = error.code === 'UNKNOWN_OPERATOR' || error.code === 'UNSUPPORTED';
    return {
      outcome: isMissing ? 'unsupported' : 'error',
      reason: isMissing ? error.message : `${error.code}: ${error.message}`,
    };
  }
  return { outcome: 'error', reason: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
}

/** The first node that a provider could have run, but did not. */
function leftToOthers(
  explanation: Explanation,
  provider: string,
  events: readonly ChromeTraceEvent[],
): string | undefined {
  for (const step of explanation.steps) {
    const [node] = step.nodes;
    const what = `${node.op} was not run by ${provider}`;
    if (step.place === 'provider' && step.provider !== provider) return `${what} but by ${step.provider}`;
    if (step.cause === 'unsupported') return `${what}: ${step.reason}`;
    const ranOnHost = events.some(
      (event) => event.name === node.name && event.cat === `host ${node.op.split('.').at(-1)}`,
    );
    if (step.place === 'late' && ranOnHost) return `${what} but by the host: ${step.reason}`;
  }
  return undefined;
}
