// Runs one test case in this process, or in this page of a browser, and judges it.

import {
  type ChromeTraceEvent,
  type Explanation,
  type HostValue,
  InferenceSession,
  OnnxTsError,
  type PlacementStrategy,
  type ProviderFactory,
  type Tensor,
} from '@onnx-ts/core';
import type { OperatorDefinition } from '@onnx-ts/core/operators';
import type { ModelProto } from '@onnx-ts/onnx-proto';
import { compareValues } from '../compare/compare.ts';
import { type DeclaredValue, declaredOutputs, freeInputs, parseModelBytes } from '../model/declared-values.ts';
import type { TensorSpec } from '../tensors/generator.ts';
import { decodeValueFile } from '../tensors/proto-values.ts';
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
  /** Kernels that each provider has compiled for it. */
  readonly kernels?: Readonly<Record<string, number>>;
}

/** What is different in Node and in a page. */
export interface CaseHost {
  /** @throws OnnxTsError INVALID_INPUT naming the path */
  read(path: string): Uint8Array | Promise<Uint8Array>;
  generate(spec: TensorSpec): Tensor;
  /** Operators that core does not have by itself. */
  operators(model: ModelProto): readonly OperatorDefinition[] | undefined;
}

export interface CaseOptions {
  readonly providers: readonly ProviderFactory[];
  readonly threads?: number;
  /** False makes a case unsupported when the first provider left a tensor operator to somebody else. */
  readonly fallback: boolean;
  /** See `SessionOptions`. By default providers come in their order, so that the first one is what is tested. */
  readonly placement?: PlacementStrategy;
}

/** Never throws. */
export async function runCase(test: TestCase, options: CaseOptions, host: CaseHost): Promise<Verdict> {
  let session: InferenceSession | undefined;
  try {
    const model = parseModelBytes(await host.read(test.model), test.model);
    const inputs = freeInputs(model);
    const outputs = declaredOutputs(model);
    const operators = host.operators(model);
    const typesOnly = isRandomCase(basename(test.name));
    session = await InferenceSession.create(test.model, {
      providers: options.providers,
      seed: 0,
      enableProfiling: !options.fallback,
      placement: options.placement ?? (options.fallback ? 'first' : 'providers'),
      ...(options.threads !== undefined && { threads: options.threads }),
      ...(operators && { operators }),
    });
    for (const set of test.dataSets) {
      const results = await session.run(await feedsOf(set, inputs, host));
      for (const [at, file] of set.outputFiles.entries()) {
        const output = outputs[at];
        if (!file) continue;
        if (!output) return { outcome: 'error', reason: `the model has no output ${at} for ${basename(file)}` };
        const expected = decodeValueFile(await host.read(file), output.type, file);
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
    return { outcome: 'pass', reason: typesOnly ? '(distribution)' : '', kernels: kernelCounts(session.explain()) };
  } catch (error) {
    return verdictOf(error);
  } finally {
    await session?.dispose().catch(() => {});
  }
}

async function feedsOf(
  set: DataSet,
  inputs: readonly DeclaredValue[],
  host: CaseHost,
): Promise<Record<string, HostValue>> {
  const feeds: Record<string, HostValue> = {};
  for (const [at, file] of set.inputFiles.entries()) {
    if (file && inputs[at]) feeds[inputs[at].name] = decodeValueFile(await host.read(file), inputs[at].type, file);
  }
  for (const [name, spec] of Object.entries(set.generated)) feeds[name] = host.generate(spec);
  return feeds;
}

function kernelCounts({ steps }: Explanation): Record<string, number> {
  const counts: Record<string, number> = {};
  const visit = (inner: Explanation['steps']): void => {
    for (const { provider, kernels, bodies } of inner) {
      if (kernels) counts[provider] = (counts[provider] ?? 0) + kernels.length;
      for (const body of bodies ?? []) visit(body.steps);
    }
  };
  visit(steps);
  return counts;
}

/** The last part of a path. */
function basename(path: string): string {
  return /[^/\\]*$/.exec(path)![0];
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
