// Bundles the page into a folder that any web server can serve.
//
//   node build.mjs

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const samples = fileURLToPath(new URL('../../examples/digits/data/', import.meta.url));

export const outputFolder = join(here, 'dist');

/**
 * @param {string} folder is emptied first
 * @param {{ conditions?: string[] }} options export conditions: from which files packages are taken
 */
export async function buildPage(folder = outputFolder, { conditions } = {}) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  cpSync(join(here, 'public'), folder, { recursive: true });
  cpSync(samples, join(folder, 'data'), { recursive: true });
  await build({
    entryPoints: [join(here, 'src', 'main.ts')],
    outfile: join(folder, 'main.js'),
    bundle: true,
    minify: true,
    sourcemap: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2023',
    ...(conditions && { conditions }),
    logLevel: 'warning',
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage();
