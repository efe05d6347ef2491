import { beforeAll, describe, expect, it } from 'vitest';
import { measureBundles, sizeLimits } from './bundle-size.mjs';

describe('the bundle for browsers', () => {
  let bundles: Awaited<ReturnType<typeof measureBundles>>;
  beforeAll(async () => {
    bundles = await measureBundles();
  });

  it.each(Object.entries(sizeLimits))('is small: %s', (what, limits) => {
    const { initial, fresh, total } = bundles.find(({ name }) => name === what)!;
    expect(initial.gzipped).toBeLessThan(limits.initial);
    expect(fresh.gzipped).toBeLessThan(limits.fresh);
    expect(total.gzipped).toBeLessThan(limits.total);
  });

  it('leaves to later what not every session needs', () => {
    const [{ later }] = bundles;
    const groups = Object.keys(later).filter((path) => path.includes('core/src/ops/groups/'));
    expect(groups.length).toBeGreaterThan(5);
    expect(Object.keys(later)).toContain('packages/cpu/src/provider/compile-partition.ts');
  });

  it('is made of our packages alone', () => {
    for (const [at, { packages }] of bundles.entries()) {
      const known = ['core', 'cpu', 'onnx-proto', 'onnx-ts', 'tensor-ir', 'webgpu', 'entry.js'];
      // Pages on hosts with a GPU fetch it.
      if (at > 0) known.push('webgpu');
      expect(Object.keys(packages).filter((name) => !known.includes(name))).toEqual([]);
    }
  });

  it('imports nothing of Node', () => {
    for (const { nodeImports } of bundles) expect(nodeImports).toEqual([]);
  });
});
