// Core's session, with providers chosen when the caller names none.

import {
  InferenceSession as CoreSession,
  createSession as createCoreSession,
  type ModelSource,
  type ProviderFactory,
  type SessionOptions,
} from '@onnx-ts/core';
import { cpu } from '@onnx-ts/cpu';

/** What every host can use. */
function defaultProviders(): readonly ProviderFactory[] {
  return [cpu()];
}

/**
 * Loads and compiles a model, on the CPU provider unless `options.providers` says otherwise.
 * @throws OnnxTsError as core's `createSession`
 */
export function createSession(source: ModelSource, options: SessionOptions = {}): Promise<CoreSession> {
  return createCoreSession(source, { ...options, providers: options.providers ?? defaultProviders() });
}

/** A session; see `createSession`. */
export type InferenceSession = CoreSession;

function create(source: ModelSource, options?: SessionOptions): Promise<CoreSession>;
function create(
  source: ArrayBufferLike,
  byteOffset: number,
  byteLength?: number,
  options?: SessionOptions,
): Promise<CoreSession>;
function create(
  source: ModelSource,
  second?: SessionOptions | number,
  byteLength?: number,
  options?: SessionOptions,
): Promise<CoreSession> {
  if (typeof second !== 'number') return createSession(source, second);
  return createSession(new Uint8Array(source as ArrayBufferLike, second, byteLength), options);
}

/** `InferenceSession.create` and `instanceof`, as users of onnxruntime know them. */
export const InferenceSession = {
  create,
  [Symbol.hasInstance]: (value: unknown): value is CoreSession => value instanceof CoreSession,
};
