// The commands end to end, on small models and the reference provider.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { floatTensor, temporaryFolder, unaryModel, writeCase, writeFile } from '../tests/fixtures.ts';
import { runCli } from './cli.ts';
import { readNpy } from './tensors/npy.ts';

let out = '';
let errors = '';

beforeEach(() => {
  out = '';
  errors = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    out += String(chunk);
    return true;
  });
  vi.spyOn(console, 'log').mockImplementation((text: string) => {
    out += `${text}\n`;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    errors += String(chunk);
    return true;
  });
  return () => vi.restoreAllMocks();
});

const reference = ['--provider', 'reference'];

describe('exit codes', () => {
  it('help is fine', async () => {
    for (const command of ['run', 'test', 'coverage', 'bench', 'inspect', 'explain', 'profile', 'aot']) {
      expect(await runCli([command, '--help'])).toBe(0);
      expect(out).toContain(`Usage: onnx-ts ${command}`);
    }
    expect(await runCli(['--version'])).toBe(0);
  });

  it.each([
    [[], 'Usage'],
    [['ran'], 'Did you mean run?'],
    [['run'], "missing required argument 'model'"],
    [['run', 'x.onnx', '--threads', '0'], '--threads wants'],
    [['explain', 'x.onnx', '--provider', 'tpu'], 'there is no provider "tpu"'],
    [['bench', 'x.onnx', '--against', 'tflite'], '--against tflite'],
    [['bench', 'x.onnx', '--check'], '--check and --case need --inputs'],
  ])('wrong use: %j', async (args, message) => {
    expect(await runCli(args)).toBe(2);
    expect(errors).toContain(message);
  });

  it('failures are a message without a stack', async () => {
    expect(await runCli(['inspect', '/no/such/model.onnx'])).toBe(1);
    expect(errors).toBe('error: file /no/such/model.onnx: there is no such file.\n');
    expect(await runCli(['inspect', '/no/such/model.onnx', '--debug'])).toBe(1);
    expect(errors).toContain('    at ');
  });
});

describe('run', () => {
  it('writes outputs in three forms', async () => {
    const folder = temporaryFolder();
    const model = writeFile(join(folder, 'm.onnx'), unaryModel('Relu'));
    const x = writeFile(join(folder, 'x.json'), '[[-1, 2], [3, -4]]');
    expect(await runCli(['run', model, '-i', x, '-o', join(folder, 'out'), ...reference])).toBe(0);
    expect(out).toBe('y  float32[2, 2]  min 0  max 3  mean 1.25  0, 2, 3, 0\n');
    expect([...readNpy(readFileSync(join(folder, 'out/y.npy'))).data]).toEqual([0, 2, 3, 0]);
    out = '';
    expect(await runCli(['run', model, '-i', `x=${x}`, '--json', ...reference])).toBe(0);
    expect(JSON.parse(out)).toEqual({ outputs: { y: { type: 'float32', dims: [2, 2], data: [0, 2, 3, 0] } } });
  });

  it('says which sizes it assumes', async () => {
    const model = writeFile(join(temporaryFolder(), 'm.onnx'), unaryModel('Relu'));
    expect(await runCli(['run', model, '-i', 'random', ...reference])).toBe(0);
    expect(errors).toContain('note: batch taken as 1');
  });
});

describe('test', () => {
  it('judges cases in a child process and survives one that takes too long', async () => {
    const root = join(temporaryFolder(), 'cases');
    const [x, right, wrong] = [floatTensor([1, 2], [-1, 2]), floatTensor([1, 2], [0, 2]), floatTensor([1, 2], [1, 2])];
    writeCase(join(root, 'right'), unaryModel('Relu'), x, right);
    writeCase(join(root, 'wrong'), unaryModel('Relu'), x, wrong);
    writeCase(join(root, 'unknown'), unaryModel('Nonsense'), x, right);
    writeCase(join(root, 'broken'), new Uint8Array([1, 2, 3]), x, right);
    const json = join(root, 'report.json');
    expect(await runCli(['test', root, '--json', json, ...reference])).toBe(1);
    expect(out).toMatch(/\n1 passed, 3 failed, 0 skipped\n$/);
    const records = JSON.parse(readFileSync(json, 'utf8')) as { case: string; outcome: string }[];
    expect(records.map((record) => [record.case, record.outcome])).toEqual([
      ['cases/broken', 'error'],
      ['cases/right', 'pass'],
      ['cases/unknown', 'unsupported'],
      ['cases/wrong', 'fail'],
    ]);
    expect(await runCli(['test', root, '--timeout', '0.001', '--filter', 'right', ...reference])).toBe(1);
    expect(out).toContain('no answer within 0.001 s');
    expect(await runCli(['test', root, '--filter', 'right', '--no-fallback', ...reference])).toBe(0);
    expect(await runCli(['test', root, '--filter', 'left', ...reference])).toBe(2);
  });
});

describe('inspect', () => {
  it('as text and as JSON', async () => {
    const model = writeFile(join(temporaryFolder(), 'm.onnx'), unaryModel('Relu'));
    expect(await runCli(['inspect', model, ...reference, '--dim', 'batch=4'])).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "model
        producer       test
        IR version     8
        operator sets  ai.onnx 17

      inputs
        x  float32[batch, 2]

      outputs
        y  float32[batch, 2]

      operators (1 node)
        Relu  1

      memory
        weights      0 B
        activations  64 B
        together     64 B

      providers
        reference (TypeScript interpreter): of 1 node, 1 run on it, 0 not supported
      "
    `);
    out = '';
    expect(await runCli(['inspect', model, ...reference, '--json'])).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      operators: { Relu: 1 },
      memory: { weights: 0, missingDims: ['batch'] },
      providers: [{ id: 'reference', nodes: { provider: 1 }, refused: [] }],
    });
  });

  it('tells of operators that are not known', async () => {
    const model = writeFile(join(temporaryFolder(), 'm.onnx'), unaryModel('Nonsense'));
    expect(await runCli(['inspect', model, ...reference])).toBe(0);
    expect(out).toContain('Nonsense × 1: node "only", Nonsense (opset 17): no operator of this name is known.');
  });
});

it('explain', async () => {
  const model = writeFile(join(temporaryFolder(), 'm.onnx'), unaryModel('Relu'));
  expect(await runCli(['explain', model, ...reference])).toBe(0);
  expect(out).toContain('1 partition with 1 kernel, 0 steps elsewhere');
  expect(out).toContain('only');
});

describe('explain on cpu', () => {
  const model = (): string => writeFile(join(temporaryFolder(), 'm.onnx'), unaryModel('Relu'));

  it('tells memory and costs for given sizes', async () => {
    expect(await runCli(['explain', model(), '--dim', 'batch=500'])).toBe(0);
    expect(out).toMatch(/estimate +1\.00 kFLOP, 8\.00 kB moved/);
    expect(out).toContain('copied in: x (4.00 kB)');
    expect(out).toMatch(/0 {2}pointwise {2}1\.00 kFLOP {2}8\.00 kB {2}only/);
  });

  it('asks for sizes, and prints kernels', async () => {
    expect(await runCli(['explain', model(), '--kernels'])).toBe(0);
    expect(out).toContain('depends on sizes: give --dim batch=N');
    expect(out).toContain('param x float32[batch, 2]');
  });

  it('as JSON', async () => {
    expect(await runCli(['explain', model(), '--json', '--dim', 'batch=2'])).toBe(0);
    const { steps } = JSON.parse(out) as { steps: Record<string, unknown>[] };
    expect(steps).toHaveLength(1);
    expect(steps[0]).toMatchObject({
      copiesIn: [{ value: 'x', bytes: 16 }],
      scratchBytes: 0,
      weightBytes: 0,
      cost: { flops: 4, bytes: 32 },
      kernels: [{ kind: 'pointwise', nodes: ['only'], flops: 4, bytes: 32 }],
    });
    expect(out).not.toContain('param x');
  });
});

it('profile', async () => {
  const folder = temporaryFolder();
  const model = writeFile(join(folder, 'm.onnx'), unaryModel('Relu'));
  const files = { trace: join(folder, 'trace.json'), json: join(folder, 'profile.json') };
  const args = ['--runs', '2', '--threads', '1', '--trace', files.trace, '--json', files.json];
  expect(await runCli(['profile', model, ...args])).toBe(0);
  expect(out).toMatch(/limits of this machine: [\d.]+ GFLOP\/s/);
  expect(out).toContain('host overhead');
  const { kernels, rates } = JSON.parse(readFileSync(files.json, 'utf8')) as Record<string, Record<string, unknown>[]>;
  expect(kernels).toMatchObject([{ kind: 'pointwise', nodes: ['only'], launches: 1, flops: 2, bytes: 16 }]);
  expect(rates).toBeDefined();
  const { traceEvents } = JSON.parse(readFileSync(files.trace, 'utf8')) as { traceEvents: { cat: string }[] };
  expect(traceEvents.map(({ cat }) => cat)).toEqual(['pointwise', 'session', 'pointwise', 'session']);
});

it('coverage', async () => {
  const root = join(temporaryFolder(), 'suites');
  for (const [name, value] of [
    ['good', 2],
    ['wrong', 3],
  ] as const) {
    writeCase(
      join(root, 'node', name),
      unaryModel('Relu'),
      floatTensor([1, 2], [1, -2]),
      floatTensor([1, 2], [value - 1, 0]),
    );
  }
  const table = join(root, 'coverage.md');
  const args = ['coverage', root, '--provider', 'cpu'];
  expect(await runCli([...args, '--output', table])).toBe(0);
  const text = readFileSync(table, 'utf8');
  expect(text).toContain('| Relu | 17: 2 | 1, fail 1 (17) |');
  expect(text).toContain('| node/wrong | fail |');
  expect(await runCli([...args, '--check', table])).toBe(0);
  writeFile(table, text.replace('| Relu | 17: 2 | 1, fail 1 (17) |', '| Relu | 17: 2 | 2 |'));
  expect(await runCli([...args, '--check', table])).toBe(1);
  expect(out).toContain('- | Relu | 17: 2 | 2 |\n+ | Relu | 17: 2 | 1, fail 1 (17) |');
});

it('bench', async () => {
  const folder = temporaryFolder();
  const model = writeFile(join(folder, 'm.onnx'), unaryModel('Relu'));
  const json = join(folder, 'bench.json');
  expect(await runCli(['bench', model, '--seconds', '0.05', '--json', json, ...reference])).toBe(0);
  expect(out).toContain('onnx-ts reference');
  const { measurements } = JSON.parse(readFileSync(json, 'utf8')) as {
    measurements: { ratio: number; runs: number }[];
  };
  expect(measurements).toHaveLength(1);
  expect(measurements[0].runs).toBeGreaterThan(0);
  const brief = ['--seconds', '0', '--warmup', '0', '--artifacts', join(folder, 'store')];
  expect(await runCli(['bench', model, ...brief, '--json', json, ...reference])).toBe(0);
  const [first] = JSON.parse(readFileSync(json, 'utf8')).measurements;
  expect(first).toMatchObject({ runs: 1, p50Ms: first.firstRunMs });
  expect(first.loadCpuMs).toBeGreaterThan(0);
});
