// A model compiled ahead of time runs where nothing may be compiled.

import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { temporaryFolder, unaryModel, writeFile } from '../../tests/fixtures.ts';
import { runCli } from '../cli.ts';

beforeEach(() => {
  vi.spyOn(console, 'log').mockImplementation(() => {});
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  return () => vi.restoreAllMocks();
});

/** Makes every way to compile WebAssembly from bytes fail, as edge workers do, and counts attempts. */
const trap = `
let attempts = 0;
const forbid = () => { attempts++; throw new WebAssembly.CompileError('Wasm code generation disallowed by embedder'); };
const { Module, instantiate } = WebAssembly;
WebAssembly.Module = new Proxy(Module, { construct: forbid });
WebAssembly.compile = async () => forbid();
WebAssembly.compileStreaming = WebAssembly.instantiateStreaming = WebAssembly.compile;
WebAssembly.instantiate = (code, imports) => (code instanceof Module ? instantiate(code, imports) : Promise.reject(forbid()));
`;

/** Runs the model at argument 1 with the artifacts at argument 2 (or none), and prints what came of it as JSON. */
const program = `
const { createSession, staticArtifacts, Tensor } = await import('@onnx-ts/core');
const { cpu } = await import('@onnx-ts/cpu');
const [model, index] = process.argv.slice(2);
const { artifacts } = index ? await import(index) : { artifacts: {} };
// Node compiles some for its own ends while it loads modules.
${trap}
let result;
try {
  const session = await createSession(model, { providers: [cpu()], threads: 1, artifacts: staticArtifacts(artifacts) });
  const { y } = await session.run({ x: new Tensor('float32', [1, -2, 3, -4], [2, 2]) });
  result = { y: [...y.data], attempts };
  await session.dispose();
} catch (error) {
  result = { code: error.code, message: error.message };
}
console.log(JSON.stringify(result));
`;

async function runForbidden(folder: string, model: string, index = ''): Promise<Record<string, unknown>> {
  // Beside this package, whose dependencies it imports.
  const script = writeFile(join(folder, 'program.mjs'), program);
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=@onnx-ts/source', '--disable-warning=ExperimentalWarning', '--import', hooks, script, model, index],
    { cwd: import.meta.dirname },
  );
  return JSON.parse(stdout);
}

/** Lets a script in a temporary folder import what this file can. */
const hooks = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, specifier.startsWith('@onnx-ts/') ? { ...context, parentURL: ${JSON.stringify(import.meta.url)} } : context),
  });
`)}`;

describe('aot', () => {
  it('writes modules that run where bytes are not compiled', async () => {
    const folder = temporaryFolder();
    const model = writeFile(join(folder, 'model.onnx'), unaryModel('Relu'));
    expect(await runCli(['aot', model, '--out', join(folder, 'aot')])).toBe(0);
    const files = readdirSync(join(folder, 'aot'));
    expect(files).toEqual(expect.arrayContaining(['artifacts.js', 'index.js', 'index.source.js', 'module-0.wasm']));
    writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    expect(await runForbidden(folder, model, join(folder, 'aot', 'index.source.js'))).toEqual({
      y: [1, 0, 3, 0],
      attempts: 0,
    });
  });

  it('tells what to do when the model is another one', async () => {
    const folder = temporaryFolder();
    const model = writeFile(join(folder, 'model.onnx'), unaryModel('Relu'));
    expect(await runForbidden(folder, model)).toMatchObject({
      code: 'PROVIDER',
      message: expect.stringContaining('onnx-ts aot'),
    });
  });

  it('wants a model that is there', async () => {
    expect(await runCli(['aot', 'missing.onnx', '--out', temporaryFolder()])).not.toBe(0);
  });
});
