import { statSync } from 'node:fs';
import { InferenceSession, OnnxTsError } from '@onnx-ts/core';
import type { OperatorDefinition } from '@onnx-ts/core/operators';
import type { DimSizes } from '../options.ts';
import { loadProviders, parseProviders } from '../providers.ts';
import { Progress } from '../terminal/progress.ts';

export interface OpenOptions {
  /** Ids, separated by commas. */
  readonly provider: string;
  readonly threads?: number;
  readonly dims: DimSizes;
  readonly seed?: number;
  readonly operators?: readonly OperatorDefinition[];
}

/** A session with a progress bar while it loads. */
export async function openSession(path: string, options: OpenOptions): Promise<InferenceSession> {
  const ids = parseProviders(options.provider);
  if (!statSync(path, { throwIfNoEntry: false })) {
    throw new OnnxTsError('INVALID_INPUT', 'there is no such file.', { place: { path } });
  }
  const providers = await loadProviders(ids);
  const progress = new Progress();
  try {
    return await InferenceSession.create(path, {
      providers,
      freeDimensionOverrides: options.dims,
      seed: options.seed ?? 0,
      onProgress: ({ fraction, phase, what }) => progress.update(fraction ?? 0, `${phase} ${what}`),
      ...(options.threads !== undefined && { threads: options.threads }),
      ...(options.operators && { operators: options.operators }),
    });
  } finally {
    progress.clear();
  }
}
