import type { Artifact, ArtifactStore } from './artifact.ts';

/**
 * Artifacts that came with the program, as `onnx-ts aot` writes them. Nothing can be put there.
 * @param artifacts by key
 */
export function staticArtifacts(artifacts: Readonly<Record<string, Artifact>>): ArtifactStore {
  return {
    isPrecompiled: true,
    get: async (key) => (Object.hasOwn(artifacts, key) ? artifacts[key] : undefined),
    put: async () => {},
  };
}
