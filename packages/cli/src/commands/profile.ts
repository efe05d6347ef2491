import { writeFileSync } from 'node:fs';
import type { ChromeTraceEvent, InferenceSession, PlacementStrategy } from '@onnx-ts/core';
import type { Command } from 'commander';
import { readInputsFile } from '../bench/inputs-file.ts';
import { freeInputs } from '../model/declared-values.ts';
import { imageOperators } from '../model/image-codecs.ts';
import { readModelFile } from '../model/model-file.ts';
import { openSession } from '../model/open-session.ts';
import { defaultThreads, parseDimSizes, wholeNumber, withDims, withInputs, withProviders } from '../options.ts';
import { type MachineRates, machineRates, shareOfLimit } from '../profile/machine-rates.ts';
import { profileText } from '../profile/profile-report.ts';
import { summarizeTrace, type TraceSummary } from '../profile/summarize-trace.ts';
import { parseProviders } from '../providers.ts';
import { feedsFromOptions, inputHelp } from '../tensors/input-options.ts';
import { Progress } from '../terminal/progress.ts';
import { plural } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';

interface ProfileOptions {
  readonly inputs?: string;
  readonly case?: string;
  readonly input?: readonly string[];
  readonly dim?: readonly string[];
  readonly provider: string;
  readonly placement: PlacementStrategy;
  readonly threads?: number;
  readonly warmup: number;
  readonly runs: number;
  readonly top: number;
  readonly seed: number;
  readonly trace?: string;
  readonly json?: string;
}

const details = `
Times are medians over the runs; a kernel that runs several times in a run counts with all of them. GFLOP/s and GB/s come
from the kernel's tensor expressions: operations (a function such as exp counts as the 10 to 24 operations of its usual
approximation), and the bytes of what it reads and writes, each once. The last column is the time that the machine's limits
allow divided by the time taken. The limits are measured first: multiplications with additions of float32 in vector
registers, and a copy of more memory than caches hold. Data that comes from caches, and arithmetic on smaller types, can go
beyond 100 %.

Host overhead is the part of a run that no kernel and no host node accounts for: checks, copies in and out, launching.
Shares are of all medians together. Where the median run is much longer, other processes interrupted the runs.

The file of --trace opens in https://ui.perfetto.dev and in chrome://tracing.`;

export function addProfileCommand(program: Command): void {
  const command = program
    .command('profile')
    .summary('time of each kernel, with its share of what the machine allows')
    .description('Runs a model and tells where the time goes, and how far each kernel is from what the machine allows.')
    .argument('<model>', 'a .onnx file');
  withProviders(withDims(withInputs(command)))
    .option('--inputs <file>', 'cases of seeded inputs, as JSON; see bench')
    .option('--case <name>', 'case of --inputs; the first by default')
    .option('--warmup <n>', 'runs before the measured ones', wholeNumber('--warmup', 0), 3)
    .option('--runs <n>', 'measured runs', wholeNumber('--runs', 1), 10)
    .option('--top <n>', 'kernels to list', wholeNumber('--top', 1), 25)
    .option('--seed <n>', 'seed of random inputs', wholeNumber('--seed', 0), 0)
    .option('--trace <file>', 'write what ran when, as a Chrome trace')
    .option('--json <file>', 'write the figures as JSON')
    .addHelpText('after', `${details}\n${inputHelp}`)
    .action(profileModel);
}

async function profileModel(path: string, options: ProfileOptions): Promise<void> {
  if (options.inputs === undefined && options.case !== undefined) throw new UsageError('--case needs --inputs');
  const [provider] = parseProviders(options.provider);
  const dims = parseDimSizes(options.dim);
  const threads = options.threads ?? defaultThreads();
  const model = readModelFile(path);
  const given = options.inputs === undefined ? undefined : readInputsFile(options.inputs, options.case);
  const feeds =
    given?.feeds ??
    feedsFromOptions(options.input ?? [], freeInputs(model), { seed: options.seed, dims, randomRest: true });
  const rates = await machineRates(provider, threads);
  const session = await openSession(path, { ...options, dims, operators: imageOperators(model) });
  let runs: readonly (readonly ChromeTraceEvent[])[];
  try {
    runs = await tracedRuns(session, feeds, options);
  } finally {
    await session.dispose();
  }
  const summary = summarizeTrace(runs);
  if (options.trace !== undefined) writeFileSync(options.trace, `${JSON.stringify({ traceEvents: runs.flat() })}\n`);
  if (options.json !== undefined) {
    const record = { model: path, case: given?.name ?? null, threads, runs: options.runs, rates: rates ?? null };
    writeFileSync(options.json, `${JSON.stringify({ ...record, ...withShares(summary, rates) }, null, 1)}\n`);
  }
  console.log(`${path}${given ? `, case ${given.name}` : ''}; threads: ${threads}; ${plural(options.runs, 'run')}`);
  if (rates) console.log(`limits of this machine: ${limitText(rates)}`);
  console.log(`\n${profileText(summary, rates, options.top)}`);
}

async function tracedRuns(
  session: InferenceSession,
  feeds: Parameters<InferenceSession['run']>[0],
  { warmup, runs }: ProfileOptions,
): Promise<(readonly ChromeTraceEvent[])[]> {
  const progress = new Progress();
  const traces: (readonly ChromeTraceEvent[])[] = [];
  try {
    for (let run = 0; run < warmup + runs; run++) {
      progress.update(run / (warmup + runs), run < warmup ? 'warming up' : `run ${run - warmup + 1} of ${runs}`);
      if (run >= warmup) session.startProfiling();
      await session.run(feeds);
      if (run >= warmup) traces.push(session.endProfiling().traceEvents);
    }
  } finally {
    progress.clear();
  }
  return traces;
}

function limitText({ flops, bandwidth }: MachineRates): string {
  return `${(flops / 1e9).toFixed(1)} GFLOP/s (float32), ${(bandwidth / 1e9).toFixed(1)} GB/s (copy)`;
}

function withShares(summary: TraceSummary, rates: MachineRates | undefined) {
  const kernels = summary.kernels.map((kernel) => ({
    ...kernel,
    share: rates && kernel.ms > 0 ? shareOfLimit(kernel.flops, kernel.bytes, kernel.ms, rates) : null,
  }));
  return { ...summary, kernels };
}
