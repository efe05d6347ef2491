// What a session keeps of its work: how it looks, and how it becomes one file.

import { hostDigest, joinBytes } from './digest.ts';

/**
 * A prepared model without its large weights: the graph after all rewrites, and what providers compiled of it. It is valid
 * for one key only, which names everything that it depends on.
 */
export interface Artifact {
  /** A JSON document. */
  readonly text: string;
  /** Small constants that the document refers to. */
  readonly blob: Uint8Array;
  /**
   * Code that the document refers to, in order: WebAssembly as bytes or, where hosts compile none, as modules that came
   * with the program.
   */
  readonly code: readonly (Uint8Array | WebAssembly.Module)[];
}

/**
 * Where artifacts are kept, for `SessionOptions.artifacts`. Several sessions and processes may use one at the same time.
 * What `get` or `put` throw only means that nothing was found or kept: it never fails a session.
 */
export interface ArtifactStore {
  /** What was put under this key; undefined when there is nothing, or when it is damaged. */
  get(key: string): Promise<Artifact | undefined>;
  /** @param key a word of letters, digits, '.', '_' and '-' that is a file name everywhere */
  put(key: string, artifact: Artifact): Promise<void>;
  /** Its code came with the program, so that a host that compiles no WebAssembly from bytes can run it. */
  readonly isPrecompiled?: boolean;
}

const magic = new TextEncoder().encode('onnx-ts artifact 1\n');
const digestBytes = 32;

/** Where blobs and code begin: any element may be read in place. */
const alignment = 16;

const padding = (length: number): number => -length & (alignment - 1);

/** As one file, which tells whether it is whole. @throws TypeError for code that is a module already, or without SHA-256 */
export async function encodeArtifact({ text, blob, code }: Artifact): Promise<Uint8Array> {
  const digest = hostDigest();
  if (!digest) throw new TypeError('this host has no SHA-256');
  const sections = [new TextEncoder().encode(text), blob, ...code].map((section) => {
    if (section instanceof Uint8Array) return section;
    throw new TypeError('a compiled module cannot be written into a file');
  });
  const table = new DataView(new ArrayBuffer(4 + 4 * sections.length));
  table.setUint32(0, sections.length, true);
  for (const [at, section] of sections.entries()) table.setUint32(4 + 4 * at, section.byteLength, true);
  const head = magic.byteLength + digestBytes + table.byteLength;
  const parts: Uint8Array[] = [new Uint8Array(table.buffer), new Uint8Array(padding(head))];
  for (const section of sections) parts.push(section, new Uint8Array(padding(section.byteLength)));
  const payload = joinBytes(parts);
  return joinBytes([magic, await digest(payload), payload]);
}

/** Undefined for bytes that `encodeArtifact` did not write, or not all of them. */
export async function decodeArtifact(file: Uint8Array): Promise<Artifact | undefined> {
  const digest = hostDigest();
  const start = magic.byteLength + digestBytes;
  if (!digest || file.byteLength < start + 4 || !hasEqualBytes(file.subarray(0, magic.byteLength), magic))
    return undefined;
  const payload = file.subarray(start);
  if (!hasEqualBytes(await digest(payload), file.subarray(magic.byteLength, start))) return undefined;
  // From here on the file is what was written.
  const table = new DataView(file.buffer, file.byteOffset + start);
  const count = table.getUint32(0, true);
  let at = start + 4 + 4 * count;
  const sections = Array.from({ length: count }, (_, index) => {
    at += padding(at);
    const section = file.subarray(at, at + table.getUint32(4 + 4 * index, true));
    at += section.byteLength;
    return section;
  });
  const [text, blob, ...code] = sections;
  return { text: new TextDecoder().decode(text), blob, code };
}

function hasEqualBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, at) => byte === b[at]);
}
