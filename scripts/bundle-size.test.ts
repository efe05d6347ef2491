import { beforeAll, describe, expect, it } from 'vitest';
import { measureBundles, sizeLimits } from './bundle-size.mjs';

describe('the bundle for browsers', () => {
  let bundles: Awaited<ReturnType<typeof measureBundles>>;
  beforeAll(async () => {
    bundles = await measureBundles();
  });

  it('is small', () => {
    const [{ name, initial, fresh, total }] = bundles;
    expect(name).toBe('core + cpu');
    expect(initial.gzipped).toBeLessThan(sizeLimits.initial);
    expect(fresh.gzipped).toBeLessThan(sizeLimits.fresh);
    expect(total.gzipped).toBeLessThan(sizeLimits.total);
  });

  it('leaves to later what not every session needs', () => {
    const [{ later }] = bundles;
    const groups = Object.keys(later).filter((path) => path.includes('core/src/ops/groups/'));
    expect(groups.length).toBeGreaterThan(5);
    expect(Object.keys(later)).toContain('packages/cpu/src/provider/compile-partition.ts');
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
