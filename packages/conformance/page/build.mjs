// Bundles the page into a folder that any web server can serve.
//
//   node page/build.mjs

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));

export const outputFolder = join(here, '..', 'dist', 'bundle');

/** @param {string} folder is emptied first */
export async function buildPage(folder = outputFolder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of ['index.html', 'style.css']) cpSync(join(here, name), join(folder, name));
  await build({
    entryPoints: [join(here, '..', 'src', 'page', 'main.ts')],
    outdir: folder,
    bundle: true,
    splitting: true,
    minify: true,
    sourcemap: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2023',
    conditions: ['@onnx-ts/source'],
    external: ['node:*'],
    logLevel: 'warning',
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage();
