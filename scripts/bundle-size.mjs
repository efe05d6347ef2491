// What core and the CPU provider weigh in a web page: bundled, minified, gzipped.
//
//   npm run bundle-size

import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

/** Bytes after gzip that core and the CPU provider together may have. */
export const sizeLimit = 350_000;

const root = fileURLToPath(new URL('..', import.meta.url));

/** What an application imports at least, and what each package may add to that. */
const entries = {
  'core + cpu': `export { createSession, Tensor } from '@onnx-ts/core'; export { cpu } from '@onnx-ts/cpu';`,
  'onnx-ts (everything exported)': `export * from 'onnx-ts';`,
};

/**
 * Bundles from the sources, as an application for browsers would from the published files.
 * @returns {Promise<{ name: string, bytes: number, gzipped: number, nodeImports: string[], packages: Record<string, number> }[]>}
 *   sizes in bytes; `packages` are the minified bytes of each
 */
export async function measureBundles() {
  const measured = [];
  for (const [name, contents] of Object.entries(entries)) {
    const { outputFiles, metafile } = await build({
      stdin: { contents, resolveDir: root, sourcefile: 'entry.js' },
      bundle: true,
      minify: true,
      write: false,
      metafile: true,
      platform: 'browser',
      format: 'esm',
      target: 'es2023',
      conditions: ['@onnx-ts/source'],
      external: ['node:*'],
      logLevel: 'silent',
    });
    const [output] = Object.values(metafile.outputs);
    const packages = {};
    for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
      const owner =
        /packages\/([^/]+)\//.exec(path)?.[1] ?? /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path;
      packages[owner] = (packages[owner] ?? 0) + bytesInOutput;
    }
    measured.push({
      name,
      bytes: outputFiles[0].contents.byteLength,
      gzipped: gzipSync(outputFiles[0].contents, { level: 9 }).byteLength,
      nodeImports: output.imports.filter(({ kind }) => kind !== 'dynamic-import').map(({ path }) => path),
      packages,
    });
  }
  return measured;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  for (const { name, bytes, gzipped, nodeImports, packages } of await measureBundles()) {
    console.log(`${name}: ${kilobytes(bytes)} minified, ${kilobytes(gzipped)} gzipped`);
    for (const [owner, part] of Object.entries(packages).sort((a, b) => b[1] - a[1])) {
      console.log(`  ${owner.padEnd(12)} ${kilobytes(part).padStart(9)}`);
    }
    if (nodeImports.length > 0 || (name === 'core + cpu' && gzipped >= sizeLimit)) {
      console.error(`  too much: ${[...nodeImports, `limit ${kilobytes(sizeLimit)}`].join(', ')}`);
      process.exitCode = 1;
    }
  }
}
