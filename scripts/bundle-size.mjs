// What core weighs in a web page with the CPU provider, and with the WebGPU provider: bundled, minified, gzipped.
//
//   npm run bundle-size

import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/**
 * Bytes after gzip that core and a provider together may have: what a page loads at once, what it has loaded when it has
 * compiled a model of basic operators, and everything.
 */
export const sizeLimits = {
  'core + cpu': { initial: 160_000, fresh: 240_000, total: 350_000 },
  'core + webgpu': { initial: 150_000, fresh: 200_000, total: 300_000 },
};

const root = fileURLToPath(new URL('..', import.meta.url));

/** What an application imports at least, and what each package may add to that. */
const entries = {
  'core + cpu': `export { createSession, Tensor } from '@onnx-ts/core'; export { cpu } from '@onnx-ts/cpu';`,
  'core + webgpu': `export { createSession, Tensor } from '@onnx-ts/core'; export { webgpu } from '@onnx-ts/webgpu';`,
  'onnx-ts (everything exported)': `export * from 'onnx-ts';`,
};

/** Fetched for a model that no store has. */
const neededToCompile = [
  'packages/core/src/session/prepare-model.ts',
  'packages/cpu/src/provider/compile-partition.ts',
  'packages/webgpu/src/provider/compile-partition.ts',
];

/**
 * Bundles from the sources, as an application for browsers would from the published files: what is imported dynamically
 * goes into files of its own. Each file is compressed by itself, as servers do.
 * @returns {Promise<{ name: string, initial: Size, fresh: Size, total: Size, nodeImports: string[], packages: Record<string, number>, later: Record<string, number> }[]>}
 *   sizes in bytes, `Size` minified and gzipped; `fresh` with what compiling any model needs; `packages` are the minified bytes of each in all files, `later` the
 *   gzipped bytes that a page fetches when it imports something dynamically, by what
 */
export async function measureBundles() {
  const measured = [];
  for (const [name, contents] of Object.entries(entries)) {
    const { outputFiles, metafile } = await build({
      stdin: { contents, resolveDir: root, sourcefile: 'entry.js' },
      bundle: true,
      splitting: true,
      minify: true,
      write: false,
      metafile: true,
      outdir: 'bundle',
      absWorkingDir: root,
      platform: 'browser',
      format: 'esm',
      target: 'es2023',
      conditions: ['@onnx-ts/source'],
      external: ['node:*'],
      logLevel: 'silent',
    });
    const sizes = new Map(
      outputFiles.map(({ path, contents: bytes }) => {
        const gzipped = gzipSync(bytes, { level: 9 }).byteLength;
        return [relative(root, path), { bytes: bytes.byteLength, gzipped }];
      }),
    );
    const entry = Object.keys(metafile.outputs).find((path) => metafile.outputs[path].entryPoint === 'entry.js');
    const initial = loadedWith(entry, metafile.outputs);
    const packages = {};
    const later = {};
    const nodeImports = [];
    for (const [path, { inputs, imports, entryPoint }] of Object.entries(metafile.outputs)) {
      for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
        const owner =
          /packages\/([^/]+)\//.exec(file)?.[1] ?? /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? file;
        packages[owner] = (packages[owner] ?? 0) + bytesInOutput;
      }
      const fixed = imports.filter(({ kind, external }) => external && kind !== 'dynamic-import');
      nodeImports.push(...fixed.map(({ path: module }) => module));
      if (!entryPoint || initial.has(path)) continue;
      const more = [...loadedWith(path, metafile.outputs)].filter((file) => !initial.has(file));
      later[entryPoint] = sumOf(more, sizes).gzipped;
    }
    const fresh = new Set(initial);
    for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) {
      if (!neededToCompile.includes(entryPoint)) continue;
      for (const file of loadedWith(path, metafile.outputs)) fresh.add(file);
    }
    measured.push({
      name,
      initial: sumOf(initial, sizes),
      fresh: sumOf(fresh, sizes),
      total: sumOf(sizes.keys(), sizes),
      nodeImports,
      packages,
      later,
    });
  }
  return measured;
}

/** A file with all that it imports at once. */
function loadedWith(entry, outputs) {
  const loaded = new Set();
  const visit = (path) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const { path: imported, kind, external } of outputs[path].imports) {
      if (kind !== 'dynamic-import' && !external) visit(imported);
    }
  };
  visit(entry);
  return loaded;
}

function sumOf(paths, sizes) {
  const sum = { bytes: 0, gzipped: 0 };
  for (const path of paths) {
    sum.bytes += sizes.get(path).bytes;
    sum.gzipped += sizes.get(path).gzipped;
  }
  return sum;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  const text = ({ bytes, gzipped }) => `${kilobytes(gzipped)} gzipped (${kilobytes(bytes)} minified)`;
  for (const { name, initial, fresh, total, nodeImports, packages, later } of await measureBundles()) {
    console.log(`${name}: at once ${text(initial)}, to compile a model ${text(fresh)}, in all ${text(total)}`);
    for (const [owner, part] of Object.entries(packages).sort((a, b) => b[1] - a[1])) {
      console.log(`  ${owner.padEnd(12)} ${kilobytes(part).padStart(9)} minified`);
    }
    for (const [what, gzipped] of Object.entries(later).sort((a, b) => b[1] - a[1])) {
      console.log(`  later: ${what.padEnd(48)} ${kilobytes(gzipped).padStart(9)} gzipped`);
    }
    const sizes = { initial, fresh, total };
    const allowed = Object.entries(sizeLimits[name] ?? {});
    const tooLarge = allowed.some(([which, bytes]) => sizes[which].gzipped >= bytes);
    if (nodeImports.length > 0 || tooLarge) {
      const limits = allowed.map(([which, bytes]) => `${which} ${kilobytes(bytes)}`);
      console.error(`  too much, limits: ${[...nodeImports, ...limits].join(', ')}`);
      process.exitCode = 1;
    }
  }
}
