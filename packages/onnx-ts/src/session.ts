// Core's session, with the providers that the host may have when the caller names none.

import {
  InferenceSession as CoreSession,
  createSession as createCoreSession,
  type ModelSource,
  type SessionOptions,
} from '@onnx-ts/core';
import { cpu } from '@onnx-ts/cpu';
import { webgpuWhenNeeded } from './webgpu-when-needed.ts';

/**
 * Loads and compiles a model. Unless `options.providers` says otherwise it runs on the CPU or, where this host has a GPU
 * that makes it faster, there; `session.explain()` tells why.
 * @throws OnnxTsError as core's `createSession`
 */
export function createSession(source: ModelSource, options: SessionOptions = {}): Promise<CoreSession> {
  if (options.providers || options.executionProviders) return createCoreSession(source, options);
  // What was compiled ahead of time was compiled for the CPU.
  const providers = options.artifacts?.isPrecompiled ? [cpu()] : [cpu(), webgpuWhenNeeded()];
  return createCoreSession(source, { ...options, providers });
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
