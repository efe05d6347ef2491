import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HostValue, type PlacementStrategy, Tensor } from '@onnx-ts/core';
import type { Command } from 'commander';
import { freeInputs } from '../model/declared-values.ts';
import { imageOperators } from '../model/image-codecs.ts';
import { readModelFile } from '../model/model-file.ts';
import { openSession } from '../model/open-session.ts';
import { parseDimSizes, wholeNumber, withDims, withInputs, withPlacement } from '../options.ts';
import { parseProviders } from '../providers.ts';
import { feedsFromOptions, inputHelp } from '../tensors/input-options.ts';
import { jsonOfValue } from '../tensors/json.ts';
import { writeNpy } from '../tensors/npy.ts';
import { summarize } from '../tensors/summary.ts';

interface RunOptions {
  readonly input?: readonly string[];
  readonly dim?: readonly string[];
  readonly provider: string;
  readonly placement: PlacementStrategy;
  readonly pin?: readonly string[];
  readonly threads?: number;
  readonly seed: number;
  readonly output?: string;
  readonly json?: boolean;
}

const outputHelp = `
Outputs: a line each with type, shape, least, greatest and mean value and the first ones; with --json an object
{"outputs": {NAME: {"type", "dims", "data"}}} with flat data in row-major order, integers beyond 2^53, NaN and
infinities as strings; with --output a file NAME.npy each (characters that files cannot have become "_"; items of
sequences are NAME.0.npy, NAME.1.npy, …; types that NumPy lacks are widened; maps are written as NAME.json).`;

export function addRunCommand(program: Command): void {
  const command = program
    .command('run')
    .summary('run a model once and show its outputs')
    .description('Runs a model once and shows its outputs.')
    .argument('<model>', 'a .onnx file');
  withPlacement(withDims(withInputs(command)))
    .option('--seed <n>', 'seed of random inputs and operators', wholeNumber('--seed', 0), 0)
    .option('-o, --output <folder>', 'write the outputs as .npy files')
    .option('--json', 'print the outputs as JSON')
    .addHelpText('after', `${inputHelp}\n${outputHelp}`)
    .action(runModel);
}

async function runModel(path: string, options: RunOptions): Promise<void> {
  parseProviders(options.provider);
  const dims = parseDimSizes(options.dim);
  const model = readModelFile(path);
  const assumed = new Set<string>();
  const feeds = feedsFromOptions(options.input ?? [], freeInputs(model), {
    seed: options.seed,
    dims,
    unnamedDim: (dim) => assumed.add(dim.replace(/#.*$/, '')),
  });
  if (assumed.size > 0) process.stderr.write(`note: ${[...assumed].join(', ')} taken as 1; set sizes with --dim\n`);
  const session = await openSession(path, { ...options, dims, operators: imageOperators(model) });
  try {
    const outputs = await session.run(feeds);
    if (options.output !== undefined) {
      mkdirSync(options.output, { recursive: true });
      for (const [name, value] of Object.entries(outputs)) writeOutput(options.output, fileNameOf(name), value);
    }
    if (options.json) {
      const entries = Object.entries(outputs).map(([name, value]) => [name, jsonOfValue(value)]);
      console.log(JSON.stringify({ outputs: Object.fromEntries(entries) }));
    } else {
      for (const [name, value] of Object.entries(outputs)) console.log(`${name}  ${summarize(value)}`);
    }
  } finally {
    await session.dispose();
  }
}

function fileNameOf(name: string): string {
  return name.replaceAll(/[^\w.-]/g, '_');
}

function writeOutput(folder: string, name: string, value: HostValue): void {
  if (Tensor.is(value)) writeFileSync(join(folder, `${name}.npy`), writeNpy(value));
  else if (value.kind === 'sequence') {
    for (const [at, item] of value.items.entries()) writeOutput(folder, `${name}.${at}`, item);
  } else if (value.kind === 'optional') {
    if (value.value !== undefined) writeOutput(folder, name, value.value);
  } else writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(jsonOfValue(value))}\n`);
}
