import { statSync } from 'node:fs';
import { InferenceSession, OnnxTsError, type PlacementStrategy } from '@onnx-ts/core';
import type { OperatorDefinition } from '@onnx-ts/core/operators';
import { type DimSizes, parsePins } from '../options.ts';
import { loadProviders, parseProviders } from '../providers.ts';
import { Progress } from '../terminal/progress.ts';

export interface OpenOptions {
  /** Ids, separated by commas. */
  readonly provider: string;
  readonly threads?: number;
  readonly placement: PlacementStrategy;
  /** See `parsePins`. */
  readonly pin?: readonly string[];
  readonly dims: DimSizes;
  readonly seed?: number;
  readonly operators?: readonly OperatorDefinition[];
}

/** A session with a progress bar while it loads. */
export async function openSession(path: string, options: OpenOptions): Promise<InferenceSession> {
  const ids = parseProviders(options.provider);
  const pins = parsePins(options.pin);
  if (!statSync(path, { throwIfNoEntry: false })) {
    throw new OnnxTsError('INVALID_INPUT', 'there is no such file.', { place: { path } });
  }
  const providers = await loadProviders(ids);
  const progress = new Progress();
  try {
    return await InferenceSession.create(path, {
      providers,
      placement: { strategy: options.placement, pins },
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
