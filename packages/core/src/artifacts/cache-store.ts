import { type ArtifactStore, decodeArtifact, encodeArtifact } from './artifact.ts';

/** Never fetched: entries of a cache need an address. */
const addressOf = (key: string): string => `https://artifacts.onnx-ts.invalid/${key}`;

/**
 * Artifacts in a cache of the browser (Cache API), which outlives the page; `caches.delete(name)` empties it. Deno and
 * edge hosts have such caches, too.
 */
export function cacheArtifacts(name = 'onnx-ts artifacts'): ArtifactStore {
  return {
    async get(key) {
      const cache = await caches.open(name);
      const response = await cache.match(addressOf(key));
      return response && decodeArtifact(new Uint8Array(await response.arrayBuffer()));
    },
    async put(key, artifact) {
      const cache = await caches.open(name);
      const file = (await encodeArtifact(artifact)) as Uint8Array<ArrayBuffer>;
      await cache.put(addressOf(key), new Response(file));
    },
  };
}
