// `onnx-ts aot`: everything that creating a session would generate, as files that a program is built with.

import { createHash } from 'node:crypto';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Artifact, createSession, OnnxTsError } from '@onnx-ts/core';
import type { Command } from 'commander';
import { type DimSizes, parseDimSizes, wholeNumber, withDims } from '../options.ts';
import { formatBytes, plural } from '../terminal/table.ts';

interface AotOptions {
  readonly out: string;
  readonly dim?: readonly string[];
  readonly threads: number;
}

const details = `
Hosts such as edge workers run only WebAssembly that came with the program. Import the folder and give it to the session:

  import { createSession, staticArtifacts } from '@onnx-ts/core';
  import { cpu } from '@onnx-ts/cpu';
  import { artifacts } from './DIR/index.js';
  const session = await createSession(model, { providers: [cpu()], artifacts: staticArtifacts(artifacts) });

The weights are not in it: the session is made from the same model, or one that differs in large weights only. Use the same
versions of the packages, the same sizes (--dim, freeDimensionOverrides) and as many threads as here (one, or several).
index.js imports modules as edge workers and bundlers do; index.source.js by "import source", as Node 24 does.`;

export function addAotCommand(program: Command): void {
  const command = program
    .command('aot')
    .summary('compile a model ahead of time, for hosts that compile no WebAssembly')
    .description('Compiles a model ahead of time: WebAssembly modules, and a JavaScript module that imports them.')
    .argument('<model>', 'a .onnx file');
  withDims(command)
    .requiredOption('-o, --out <folder>', 'folder to write into; it is made when it is missing')
    .option('-t, --threads <n>', 'threads that sessions will use', wholeNumber('--threads', 1), 1)
    .addHelpText('after', details)
    .action(async (path: string, options: AotOptions) => {
      if (!statSync(path, { throwIfNoEntry: false })) {
        throw new OnnxTsError('INVALID_INPUT', 'there is no such file.', { place: { path } });
      }
      const { artifacts, late } = await compileAhead(path, parseDimSizes(options.dim), options.threads);
      const files = filesOf(artifacts);
      mkdirSync(options.out, { recursive: true });
      for (const [name, content] of files) writeFileSync(join(options.out, name), content);
      const modules = [...files].filter(([name]) => name.endsWith('.wasm'));
      const bytes = modules.reduce((sum, [, content]) => sum + content.length, 0);
      console.log(`${plural(modules.length, 'module')} of ${formatBytes(bytes)} in ${options.out}`);
      if (late.length > 0) {
        const names = late.map((name) => `"${name}"`).join(', ');
        console.log(`not among them: ${names}, whose shapes only a run can tell. Fixed sizes (--dim) may help.`);
      }
    });
}

/** With and without relaxed SIMD: which of the two a host has shows when the session is made. */
const variants = [true, false];

async function compileAhead(
  path: string,
  dims: DimSizes,
  threads: number,
): Promise<{ readonly artifacts: ReadonlyMap<string, Artifact>; readonly late: readonly string[] }> {
  const { cpu } = await import('@onnx-ts/cpu');
  const artifacts = new Map<string, Artifact>();
  const late = new Set<string>();
  for (const relaxedSimd of variants) {
    await using session = await createSession(path, {
      providers: [cpu({ relaxedSimd, wideVectors: false, threads })],
      freeDimensionOverrides: dims,
      artifacts: { get: async () => undefined, put: async (key, artifact) => void artifacts.set(key, artifact) },
    });
    for (const { place, nodes } of session.explain().steps) if (place === 'late') late.add(nodes[0].name);
  }
  if (artifacts.size > 0) return { artifacts, late: [...late] };
  throw new OnnxTsError('UNSUPPORTED', 'a part of this model has no file form: a branch that cannot run.', {
    place: { path },
    hint: 'Export the model without it.',
  });
}

/** Names and contents. A module that several artifacts share is one file. */
function filesOf(artifacts: ReadonlyMap<string, Artifact>): ReadonlyMap<string, string | Uint8Array> {
  const files = new Map<string, string | Uint8Array>();
  const modules = new Map<string, number>();
  const entries = [...artifacts].map(([key, { text, blob, code }]) => {
    const positions = code.map((module) => {
      if (!(module instanceof Uint8Array)) throw new TypeError('code must be bytes here');
      const digest = createHash('sha256').update(module).digest('hex');
      const known = modules.get(digest) ?? modules.size;
      modules.set(digest, known);
      files.set(`module-${known}.wasm`, module);
      return known;
    });
    const content = { text, blob: Buffer.from(blob).toString('base64'), code: positions };
    return `  ${JSON.stringify(key)}: ${JSON.stringify(content)},\n`;
  });
  const names = [...modules.values()].map((position) => `module${position}`);
  const index = (phase: string): string =>
    [
      `// Written by onnx-ts aot. Give \`artifacts\` to staticArtifacts of '@onnx-ts/core'.\n\n`,
      ...names.map((name, position) => `import ${phase}${name} from './module-${position}.wasm';\n`),
      `import { artifactsOf } from './artifacts.js';\n\n`,
      `export const artifacts = artifactsOf([${names.join(', ')}]);\n`,
    ].join('');
  files.set('index.js', index(''));
  files.set('index.source.js', index('source '));
  files.set(
    'index.d.ts',
    `import type { Artifact } from '@onnx-ts/core';\n\nexport const artifacts: Readonly<Record<string, Artifact>>;\n`,
  );
  files.set('artifacts.js', artifactsModule(entries));
  return files;
}

function artifactsModule(entries: readonly string[]): string {
  return `// Written by onnx-ts aot: what the modules are for.

const entries = {
${entries.join('')}};

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** @param modules compiled WebAssembly.Module of each file, in order */
export function artifactsOf(modules) {
  return Object.fromEntries(
    Object.entries(entries).map(([key, { text, blob, code }]) => [
      key,
      { text, blob: bytesOf(blob), code: code.map((at) => modules[at]) },
    ]),
  );
}
`;
}
