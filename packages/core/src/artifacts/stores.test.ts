// Stores: what was put comes back, whole or not at all.

import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Artifact, decodeArtifact, encodeArtifact } from './artifact.ts';
import { cacheArtifacts } from './cache-store.ts';
import { directoryArtifacts } from './directory-store.ts';
import { memoryArtifacts } from './memory-store.ts';
import { staticArtifacts } from './static-store.ts';

const artifact = (text: string): Artifact => ({
  text,
  blob: Uint8Array.of(1, 2, 3),
  code: [Uint8Array.of(0, 97, 115, 109), new Uint8Array(40).fill(7)],
});

const plain = (found: Artifact | undefined) =>
  found && { text: found.text, blob: [...found.blob], code: found.code.map((item) => [...(item as Uint8Array)]) };

describe('the file of an artifact', () => {
  it('holds all of it', async () => {
    expect(plain(await decodeArtifact(await encodeArtifact(artifact('grün'))))).toEqual(plain(artifact('grün')));
  });

  it('is refused when any byte of it is another one, or missing', async () => {
    const file = await encodeArtifact(artifact('x'));
    for (let at = 0; at < file.byteLength; at++) {
      const damaged = file.slice();
      damaged[at] ^= 1;
      expect(await decodeArtifact(damaged)).toBeUndefined();
      expect(await decodeArtifact(file.subarray(0, at))).toBeUndefined();
    }
  });

  it('cannot hold a compiled module', async () => {
    const code = [new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0))];
    await expect(encodeArtifact({ ...artifact('x'), code })).rejects.toThrow(TypeError);
  });
});

describe('directoryArtifacts', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'artifacts-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('keeps artifacts in files of a folder that it makes', async () => {
    const inside = path.join(folder, 'a', 'b');
    const store = directoryArtifacts(inside);
    expect(await store.get('k')).toBeUndefined();
    await store.put('k', artifact('one'));
    expect(plain(await directoryArtifacts(inside).get('k'))).toEqual(plain(artifact('one')));
    expect(await readdir(inside)).toEqual(['k.onnx-ts']);
  });

  it('ignores files that are no artifacts', async () => {
    await writeFile(path.join(folder, 'k.onnx-ts'), 'something else');
    expect(await directoryArtifacts(folder).get('k')).toBeUndefined();
  });

  it('fails where it cannot write, and leaves nothing behind', async () => {
    const store = directoryArtifacts(folder);
    const code = [new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0))];
    await expect(store.put('k', { ...artifact('x'), code })).rejects.toThrow(TypeError);
    expect(await readdir(folder)).toEqual([]);
  });

  it('serves writers and readers at the same time, in this process and others', async () => {
    const store = directoryArtifacts(folder);
    const texts = Array.from({ length: 20 }, (_, at) => String(at).repeat(5000));
    const module = new URL('./directory-store.ts', import.meta.url).href;
    const child = spawn(
      process.execPath,
      [
        '--conditions=@onnx-ts/source',
        '--input-type=module',
        '-e',
        `import { directoryArtifacts } from ${JSON.stringify(module)};
         const store = directoryArtifacts(${JSON.stringify(folder)});
         for (let at = 0; at < 20; at++)
           await store.put('k', { text: String(at).repeat(5000), blob: new Uint8Array(3), code: [] });`,
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const isOver = new Promise<number | null>((resolve) => child.on('exit', resolve));
    const read = async (): Promise<void> => {
      const found = await store.get('k');
      if (found) expect(texts).toContain(found.text);
    };
    await Promise.all(texts.flatMap((text) => [store.put('k', artifact(text)), read()]));
    expect(await isOver).toBe(0);
    await read();
    expect(await readdir(folder)).toEqual(['k.onnx-ts']);
    expect((await readFile(path.join(folder, 'k.onnx-ts'))).byteLength).toBeGreaterThan(5000);
  });
});

describe('other stores', () => {
  it('memoryArtifacts keeps what it was given', async () => {
    const store = memoryArtifacts();
    expect(await store.get('k')).toBeUndefined();
    await store.put('k', artifact('one'));
    expect((await store.get('k'))?.text).toBe('one');
  });

  it('staticArtifacts has what it was made of, and nothing else', async () => {
    const store = staticArtifacts({ k: artifact('one') });
    await store.put('other', artifact('two'));
    expect((await store.get('k'))?.text).toBe('one');
    expect(await store.get('other')).toBeUndefined();
    expect(await store.get('toString')).toBeUndefined();
    expect(store.isPrecompiled).toBe(true);
  });

  it('cacheArtifacts keeps artifacts as responses', async () => {
    const responses = new Map<string, Response>();
    vi.stubGlobal('caches', {
      open: async (name: string) => ({
        match: async (url: string) => responses.get(`${name} ${url}`)?.clone(),
        put: async (url: string, response: Response) => void responses.set(`${name} ${new URL(url).href}`, response),
      }),
    });
    try {
      const store = cacheArtifacts('models');
      expect(await store.get('k')).toBeUndefined();
      await store.put('k', artifact('one'));
      expect(plain(await cacheArtifacts('models').get('k'))).toEqual(plain(artifact('one')));
      expect(await cacheArtifacts('others').get('k')).toBeUndefined();
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
