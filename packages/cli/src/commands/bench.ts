import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { resolve } from 'node:path';
import type { PlacementStrategy } from '@onnx-ts/core';
import type { Command } from 'commander';
import { type CheckResult, checkOutputs, type InputsCase, readInputsFile } from '../bench/inputs-file.ts';
import { type Contestant, type Measurement, measure } from '../bench/measure.ts';
import { findPeer } from '../bench/peers.ts';
import { type PlainTensors, plainTensors, type RelativeTolerance } from '../bench/plain-tensor.ts';
import { RuntimeError } from '../bench/runtime-process.ts';
import { listOf } from '../comma-list.ts';
import { freeInputs } from '../model/declared-values.ts';
import { externalFiles, readModelFile } from '../model/model-file.ts';
import {
  defaultThreads,
  parseDimSizes,
  seconds,
  wholeNumber,
  withDims,
  withInputs,
  withProviders,
} from '../options.ts';
import { parseProviders } from '../providers.ts';
import { feedsFromOptions, inputHelp } from '../tensors/input-options.ts';
import { Progress } from '../terminal/progress.ts';
import { formatBytes, formatMilliseconds, formatTable } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';

interface BenchOptions {
  readonly inputs?: string;
  readonly case?: string;
  readonly input?: readonly string[];
  readonly dim?: readonly string[];
  readonly provider: string;
  readonly placement: PlacementStrategy;
  readonly threads?: number;
  readonly warmup: number;
  readonly seconds: number;
  readonly against?: string;
  readonly check?: boolean;
  readonly seed: number;
  readonly artifacts?: string;
  readonly json?: string;
}

const defaultTolerance: RelativeTolerance = { max: 1e-3, mean: 2e-4 };

const definitions = `load    creating the session from files that are in the page cache; importing the runtime's module is not counted
first   the first run
p50     median of the measured runs; p90: nine of ten were faster
cpu     median processor time of a run, all threads together; on a busy machine the better figure
peak    most memory the process ever held, Node itself included
ratio   p50 relative to the first line: 2 means twice as slow`;

const details = `
${definitions}

Each runtime has a process of its own, all in one process group, on the same inputs and thread count. Outputs of the
first run are compared first; runtimes that disagree are not timed. Then come --warmup runs, and then rounds that take
turns between the runtimes until each has run for --seconds. Inputs that nobody names are random. With --artifacts, the
load time of onnx-ts is that of a session that comes from the folder, once a session was made with it before.

--inputs takes {"tolerance": {"max_over_absmax", "mean_over_absmax"}, "cases": [{"name", "inputs": [{"name", "dtype",
"shape", "seed", "dist"}], "outputs"}]}: inputs made from seeds, summaries of the outputs, and how far the largest and
the mean error may go, relative to an output's largest magnitude (${defaultTolerance.max} and ${defaultTolerance.mean} by default).`;

export function addBenchCommand(program: Command, finish: (code: number) => void): void {
  const command = program
    .command('bench')
    .summary('load time, time of a run and memory, alone or against other runtimes')
    .description('Measures a model: load time, first run, median run and memory, alone or against other runtimes.')
    .argument('<model>', 'a .onnx file');
  withProviders(withDims(withInputs(command)))
    .option('--inputs <file>', 'cases of seeded inputs with expected outputs, as JSON')
    .option('--case <name>', 'case of --inputs; the first by default')
    .option('--check', 'compare the outputs with the summaries in --inputs; a difference is a failure')
    .option('--warmup <n>', 'runs before the measured ones', wholeNumber('--warmup', 0), 5)
    .option(
      '--seconds <s>',
      'time of measured runs for each runtime; 0: the first run only',
      seconds('--seconds', 0),
      3,
    )
    .option('--against <runtimes>', 'also measure onnxruntime-web, onnxruntime-node (comma-separated)')
    .option('--artifacts <folder>', 'keep what onnx-ts prepares in this folder, and use what it has')
    .option('--seed <n>', 'seed of random inputs', wholeNumber('--seed', 0), 0)
    .option('--json <file>', 'write the figures as JSON')
    .addHelpText('after', `${details}\n${inputHelp}`)
    .action(async (path: string, options: BenchOptions) => {
      finish((await runBench(path, options)) ? 0 : 1);
    });
}

/** @returns whether all checks passed */
async function runBench(path: string, options: BenchOptions): Promise<boolean> {
  const providers = parseProviders(options.provider);
  const peers = listOf(options.against ?? '').map(findPeer);
  const dims = parseDimSizes(options.dim);
  const threads = options.threads ?? defaultThreads();
  if (options.inputs === undefined && (options.check || options.case !== undefined)) {
    throw new UsageError('--check and --case need --inputs');
  }
  const model = readModelFile(path);
  const given = options.inputs === undefined ? undefined : readInputsFile(options.inputs, options.case);
  const feeds =
    given?.feeds ??
    feedsFromOptions(options.input ?? [], freeInputs(model), { seed: options.seed, dims, randomRest: true });
  const tolerance = given?.tolerance ?? defaultTolerance;
  const contestants: Contestant[] = [
    {
      name: `onnx-ts ${providers.join(',')}`,
      version: '',
      spec: {
        kind: 'onnx-ts',
        providers,
        placement: options.placement,
        dims,
        ...(options.artifacts !== undefined && { artifacts: resolve(options.artifacts) }),
      },
    },
    ...peers.map(({ id, entry, version }): Contestant => ({ name: id, version, spec: { kind: 'peer', id, entry } })),
  ];
  let checks: readonly CheckResult[] = [];
  const progress = new Progress();
  let measurements: Measurement[];
  try {
    measurements = await measure(contestants, {
      request: { model: resolve(path), externalFiles: externalFiles(model), threads },
      feeds: plainTensors(feeds),
      tolerance,
      warmup: options.warmup,
      seconds: options.seconds,
      ...(options.check && { check: (outputs: PlainTensors) => (checks = check(outputs, given!, tolerance)) }),
      progress: (fraction, what) => progress.update(fraction, what),
    });
  } finally {
    progress.clear();
  }
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), node: process.version };
  if (options.json !== undefined) {
    const record = { model: path, case: given?.name ?? null, threads, machine, measurements, checks };
    writeFileSync(options.json, `${JSON.stringify(record, null, 1)}\n`);
  }
  console.log(
    `${path}${given ? `, case ${given.name}` : ''}; threads: ${threads}; ${machine.cpu}; Node ${machine.node}\n`,
  );
  console.log(measurementTable(measurements));
  if (checks.length > 0) console.log(`\n${checkText(checks)}`);
  console.log(`\n${definitions}`);
  return checks.every((result) => result.problem === undefined);
}

/** @throws RuntimeError when the outputs are wrong: wrong results are not timed */
function check(outputs: PlainTensors, given: InputsCase, tolerance: RelativeTolerance): CheckResult[] {
  if (given.expected.length === 0) throw new UsageError('--check: the case states no expected outputs');
  const results = checkOutputs(outputs, given.expected, tolerance);
  const bad = results.find((result) => result.problem !== undefined);
  if (bad) throw new RuntimeError(`the outputs are not as expected:\n${checkText(results)}`);
  return results;
}

function measurementTable(measurements: readonly Measurement[]): string {
  const rows = measurements.map((item) => [
    `${item.name} ${item.version}`.trim(),
    `${formatMilliseconds(item.loadMs)} ms`,
    `${formatMilliseconds(item.firstRunMs)} ms`,
    `${formatMilliseconds(item.p50Ms)} ms`,
    `${formatMilliseconds(item.p90Ms)} ms`,
    `${formatMilliseconds(item.cpuMs)} ms`,
    String(item.runs),
    formatBytes(item.peakBytes),
    item.ratio >= 0.1 ? item.ratio.toFixed(2) : item.ratio.toPrecision(2),
  ]);
  return formatTable(
    [['runtime', 'load', 'first', 'p50', 'p90', 'cpu', 'runs', 'peak', 'ratio'], ...rows],
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
}

function checkText(checks: readonly CheckResult[]): string {
  const rows = checks.map(({ output, maxError, meanError, problem }) => [
    output,
    maxError.toExponential(1),
    meanError.toExponential(1),
    problem ?? 'as expected',
  ]);
  return formatTable([['output', 'largest error', 'mean error', ''], ...rows], [1, 2]);
}
