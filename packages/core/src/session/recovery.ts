// What a session remembers to be made again when a device is lost: where the model came from, and the options.

import { OnnxTsError } from '../errors.ts';
import type { ExternalData, ModelSource } from './load-model.ts';
import type { SessionOptions } from './options.ts';
import { prepareSession, type SessionParts } from './prepare-session.ts';

/**
 * Bytes are remembered for as long as somebody else has them: a session must not keep a second copy of its weights.
 * @returns makes the parts of the session anew. It throws OnnxTsError as creating the session does, and PROVIDER when
 *   bytes are gone
 */
export function recipeOf(source: ModelSource, options: SessionOptions): () => Promise<SessionParts> {
  const model = remember(source, 'the model');
  // The signal was for creating the session.
  const { signal: _, externalData, ...rest } = options;
  const files = externalData?.map(({ path, data }) => ({ path, data: remember(data, `the external data "${path}"`) }));
  return () =>
    prepareSession(model(), {
      ...rest,
      ...(files && { externalData: files.map(({ path, data }): ExternalData => ({ path, data: data() })) }),
    });
}

function remember(source: ModelSource, what: string): () => ModelSource {
  if (typeof source !== 'object' || source === null || source instanceof URL) return () => source;
  const view = ArrayBuffer.isView(source) ? source : new Uint8Array(source);
  const { byteOffset, byteLength } = view;
  const kept = new WeakRef(view.buffer);
  return () => {
    const buffer = kept.deref();
    if (buffer && buffer.byteLength >= byteOffset + byteLength) return new Uint8Array(buffer, byteOffset, byteLength);
    throw new OnnxTsError('PROVIDER', `nobody has the bytes of ${what} any more.`, {
      hint: 'Create a new session, or create sessions from paths or URLs, which are read again.',
    });
  };
}
