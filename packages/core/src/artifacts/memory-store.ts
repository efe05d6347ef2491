import type { Artifact, ArtifactStore } from './artifact.ts';

/** Artifacts of this process, for programs that open a model more than once. */
export function memoryArtifacts(): ArtifactStore {
  const artifacts = new Map<string, Artifact>();
  return {
    get: async (key) => artifacts.get(key),
    put: async (key, artifact) => {
      artifacts.set(key, artifact);
    },
  };
}
