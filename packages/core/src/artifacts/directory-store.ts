import { OnnxTsError } from '../errors.ts';
import { nodeModules } from '../session/node-modules.ts';
import { type ArtifactStore, decodeArtifact, encodeArtifact } from './artifact.ts';

/**
 * Artifacts in a folder, which is made when it is missing: one file each, for Node, Deno and Bun. Processes may share it:
 * a file appears whole or not at all, and one that is damaged is not taken. Nothing is ever deleted.
 * @throws OnnxTsError INVALID_INPUT where there are no files
 */
export function directoryArtifacts(folder: string): ArtifactStore {
  const node = nodeModules();
  if (!node) {
    throw new OnnxTsError('INVALID_INPUT', 'this host has no folders.', {
      hint: 'Use cacheArtifacts() in a browser.',
    });
  }
  const { path } = node;
  const fs = node.fs.promises;
  const pathOf = (key: string): string => path.join(folder, `${key}.onnx-ts`);
  return {
    async get(key) {
      try {
        return await decodeArtifact(await fs.readFile(pathOf(key)));
      } catch (error) {
        if ((error as { code?: unknown }).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    async put(key, artifact) {
      const file = pathOf(key);
      await fs.mkdir(folder, { recursive: true });
      const unfinished = `${file}.${node.crypto.randomUUID()}`;
      try {
        await fs.writeFile(unfinished, await encodeArtifact(artifact), { flag: 'wx' });
        await fs.rename(unfinished, file);
      } catch (error) {
        await fs.rm(unfinished, { force: true });
        throw error;
      }
    },
  };
}
