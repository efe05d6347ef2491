import { beforeAll, describe, expect, it } from 'vitest';
import { measureBundles, sizeLimit } from './bundle-size.mjs';

describe('the bundle for browsers', () => {
  let bundles: Awaited<ReturnType<typeof measureBundles>>;
  beforeAll(async () => {
    bundles = await measureBundles();
  });

  it('is small', () => {
    const [{ name, gzipped }] = bundles;
    expect(name).toBe('core + cpu');
    expect(gzipped).toBeLessThan(sizeLimit);
  });

  it('is made of our packages alone', () => {
    for (const { packages } of bundles) {
      const known = ['core', 'cpu', 'onnx-proto', 'onnx-ts', 'tensor-ir', 'entry.js'];
      expect(Object.keys(packages).filter((name) => !known.includes(name))).toEqual([]);
    }
  });

  it('imports nothing of Node', () => {
    for (const { nodeImports } of bundles) expect(nodeImports).toEqual([]);
  });
});
