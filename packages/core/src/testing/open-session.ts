// Sessions on small models for tests, and errors as data.

import { OnnxTsError } from '../errors.ts';
import { reference } from '../provider/reference.ts';
import type { SessionOptions } from '../session/options.ts';
import { createSession, type InferenceSession } from '../session/session.ts';
import { type ModelSpec, model } from './build-model.ts';

export function open(spec: ModelSpec | Uint8Array, options: SessionOptions = {}): Promise<InferenceSession> {
  const bytes = spec instanceof Uint8Array ? spec : model(spec);
  return createSession(bytes, { providers: [reference()], ...options });
}

/**
 * The error of something that must fail.
 * @throws Error when it does not, or with anything but an OnnxTsError
 */
export async function errorOf(action: (() => unknown) | Promise<unknown>): Promise<OnnxTsError> {
  try {
    await (typeof action === 'function' ? action() : action);
  } catch (error) {
    if (OnnxTsError.is(error)) return error;
    throw new Error(`not an OnnxTsError: ${String(error)}`, { cause: error });
  }
  throw new Error('it did not fail');
}
