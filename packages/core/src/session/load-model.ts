// Where models come from: bytes, files, URLs; and the files of external data beside them.

import { OnnxTsError } from '../errors.ts';
import { type WeightFile, weightFileOf } from '../onnx/weights.ts';
import { type NodeModules, nodeModules } from './node-modules.ts';

export type ModelSource = string | URL | Uint8Array | ArrayBufferLike;

/** A file of external data that the caller has at hand. */
export interface ExternalData {
  /** As the model names it. */
  readonly path: string;
  readonly data: Uint8Array | ArrayBufferLike | string | URL;
}

export interface LoadOptions {
  readonly externalData?: readonly ExternalData[];
  readonly signal?: AbortSignal;
  /** Bytes so far and in all (undefined when the server does not say). */
  readonly onBytes?: (done: number, total: number | undefined, what: string) => void;
}

/** A model's bytes, and where they came from: what its external data is beside. */
export interface ModelFile {
  readonly bytes: Uint8Array;
  readonly place: Place | undefined;
}

/** @throws OnnxTsError INVALID_INPUT or ABORTED */
export async function readModel(source: ModelSource, options: LoadOptions = {}): Promise<ModelFile> {
  options.signal?.throwIfAborted();
  if (typeof source !== 'string' && !(source instanceof URL)) return { bytes: bytesOf(source), place: undefined };
  const place = placeOf(source);
  return { place, bytes: place.kind === 'file' ? readFile(place.path) : await download(place.url, 'model', options) };
}

export type Place = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'url'; readonly url: URL };

function placeOf(source: string | URL): Place {
  const node = nodeModules();
  const text = String(source);
  if (/^[A-Za-z][A-Za-z0-9+.-]+:/.test(text)) {
    const url = new URL(text);
    if (url.protocol !== 'file:') return { kind: 'url', url };
    if (node) return { kind: 'file', path: node.url.fileURLToPath(url) };
  }
  if (node) return { kind: 'file', path: text };
  const base = (globalThis as { location?: { href: string } }).location?.href;
  return { kind: 'url', url: new URL(text, base) };
}

function bytesOf(source: Uint8Array | ArrayBufferLike): Uint8Array {
  if (source instanceof Uint8Array) return source;
  if (ArrayBuffer.isView(source)) {
    const view = source as ArrayBufferView;
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  }
  const isBuffer =
    source instanceof ArrayBuffer || Object.prototype.toString.call(source) === '[object SharedArrayBuffer]';
  if (isBuffer) return new Uint8Array(source);
  throw new OnnxTsError(
    'INVALID_INPUT',
    `a model must be a path, a URL or bytes, not ${source === null ? 'null' : typeof source}.`,
  );
}

function readFile(path: string): Uint8Array {
  try {
    return nodeModules()!.fs.readFileSync(path);
  } catch (cause) {
    throw new OnnxTsError('INVALID_INPUT', `the model cannot be read: ${(cause as Error).message}.`, {
      place: { path },
      cause,
    });
  }
}

/** Reads a response as it arrives. */
async function download(url: URL, what: string, { signal, onBytes }: LoadOptions): Promise<Uint8Array> {
  const fail = (reason: string, cause?: unknown): never => {
    const code = signal?.aborted ? 'ABORTED' : what === 'model' ? 'INVALID_INPUT' : 'EXTERNAL_DATA';
    throw new OnnxTsError(code, `the download failed: ${reason}.`, { place: { path: url.href }, cause });
  };
  try {
    const response = await fetch(url, signal ? { signal } : {});
    if (!response.ok) fail(`the server answered ${response.status} ${response.statusText}`);
    const length = Number(response.headers.get('content-length'));
    const total = length > 0 && !response.headers.get('content-encoding') ? length : undefined;
    if (!response.body) return new Uint8Array(await response.arrayBuffer());
    const chunks: Uint8Array[] = [];
    let done = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { value, done: isLast } = await reader.read();
      if (isLast) break;
      chunks.push(value);
      done += value.byteLength;
      onBytes?.(done, total, what);
    }
    const bytes = new Uint8Array(done);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.byteLength;
    }
    return bytes;
  } catch (error) {
    if (OnnxTsError.is(error)) throw error;
    return fail((error as Error).message, error);
  }
}

/** The files of a model by location: '' is its own. */
export interface OpenFiles {
  readonly files: ReadonlyMap<string, WeightFile>;
  /** Those beside it. */
  readonly locations: readonly string[];
  close(): void;
}

/**
 * Opens the files of external data that a model names.
 * @throws OnnxTsError EXTERNAL_DATA or ABORTED
 */
export async function openWeights(
  locations: Iterable<string>,
  { bytes, place }: ModelFile,
  options: LoadOptions,
): Promise<OpenFiles> {
  const beside = new Map<string, WeightFile>();
  const close = (): void => {
    for (const file of beside.values()) file.close?.();
  };
  try {
    for (const location of locations) {
      const given = options.externalData?.find((item) => item.path.replace(/^(\.\/)+/, '') === location);
      if (given) beside.set(location, await openGiven(given, options));
      else if (place?.kind === 'file') beside.set(location, openBeside(place.path, location));
      else if (place)
        beside.set(location, weightFileOf(await download(urlBeside(place.url, location), location, options)));
    }
  } catch (error) {
    close();
    throw error;
  }
  return { files: new Map([...beside, ['', weightFileOf(bytes)]]), locations: [...locations], close };
}

/** The location is a file name: nothing in it is a query, or an encoded way out of the folder. */
function urlBeside(model: URL, location: string): URL {
  return new URL(location.split('/').map(encodeURIComponent).join('/'), model);
}

async function openGiven({ data }: ExternalData, options: LoadOptions): Promise<WeightFile> {
  if (typeof data !== 'string' && !(data instanceof URL)) return weightFileOf(bytesOf(data));
  const place = placeOf(data);
  return place.kind === 'file'
    ? openFile(place.path)
    : weightFileOf(await download(place.url, place.url.href, options));
}

/** A file below the model's folder, links resolved: a model must not read anything else. */
function openBeside(model: string, location: string): WeightFile {
  const { fs, path } = nodeModules()!;
  const folder = path.dirname(path.resolve(model));
  const file = path.join(folder, location);
  let real: string;
  try {
    real = fs.realpathSync(file);
  } catch (cause) {
    throw new OnnxTsError('EXTERNAL_DATA', `this file of external data is missing.`, {
      place: { path: file },
      hint: 'Put it beside the model, or pass it in the option `externalData`.',
      cause,
    });
  }
  const relative = path.relative(fs.realpathSync(folder), real);
  if (relative.startsWith('..') || path.isAbsolute(relative)) {
    throw new OnnxTsError(
      'EXTERNAL_DATA',
      'this file of external data is a link that leaves the folder of the model.',
      {
        place: { path: file },
        hint: 'Copy the file there, or pass it in the option `externalData`.',
      },
    );
  }
  return openFile(real);
}

function openFile(path: string): WeightFile {
  const { fs } = nodeModules()!;
  let handle: number | undefined;
  try {
    const open = fs.openSync(path, 'r');
    handle = open;
    const stat = fs.fstatSync(open);
    if (!stat.isFile()) throw new Error('it is not a file');
    return {
      byteLength: stat.size,
      read: (offset, target) => readRange(fs, open, offset, target, path),
      close: () => fs.closeSync(open),
    };
  } catch (cause) {
    if (handle !== undefined) fs.closeSync(handle);
    throw new OnnxTsError('EXTERNAL_DATA', `the file cannot be read: ${(cause as Error).message}.`, {
      place: { path },
      cause,
    });
  }
}

/** One read call takes at most 2 GiB. */
const largestRead = 1 << 30;

function readRange(fs: NodeModules['fs'], handle: number, offset: number, target: Uint8Array, path: string): void {
  let done = 0;
  while (done < target.byteLength) {
    const length = Math.min(largestRead, target.byteLength - done);
    const got = fs.readSync(handle, target, done, length, offset + done);
    if (got === 0)
      throw new OnnxTsError('EXTERNAL_DATA', `the file became shorter while it was read.`, { place: { path } });
    done += got;
  }
}
