// The CPU provider beside onnxruntime-web and onnxruntime-node on full-size models. `--help` tells the options.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { materializeModel } from '../materialize-models.mjs';
import { cache, here, repository, results } from '../places.mjs';
import { firstCases, isSameCell, isSameModel, listCells } from './cells.mjs';
import { measureCreation } from './creation.mjs';
import { measureLimits } from './limits.mjs';
import { reportText } from './report.mjs';

const help = `npm run benchmark:cpu -- [options]

  --models <names>     comma-separated, each a model or model:case; all by default
  --threads <counts>   comma-separated; 1,2 by default
  --against <runtimes> comma-separated; onnxruntime-web,onnxruntime-node by default
  --seconds <s>        time of measured runs for each runtime; 2 by default, at least three rounds in any case
  --minutes <m>        starts no further measurement after that long
  --missing            leaves out what the results have already
  --limits             measures what the machine allows as well
  --profile            measures the kernels of onnx-ts instead, for the figures of docs/cpu-kernels.md (see figures.mjs)
  --creation           measures only how sessions are created: without and with a store, the first run, memory; about
                       a quarter of a minute for each model, with the least of the thread counts
  --rounds <n>         rounds of that; 3 by default
  --out <file>         results as JSON; benchmarks/results/cpu.json by default

Without --profile and --creation, runs are measured, and then the creation of sessions.

Each cell (model, case, thread count) has a process of its own for each runtime. Outputs are compared before anything is
timed, then the runtimes take turns. Results are written after each cell, and the report beside them as Markdown, so that
a run can be stopped and taken up again.
`;

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: '' },
    threads: { type: 'string', default: '1,2' },
    against: { type: 'string', default: 'onnxruntime-web,onnxruntime-node' },
    seconds: { type: 'string', default: '2' },
    minutes: { type: 'string', default: 'Infinity' },
    missing: { type: 'boolean', default: false },
    limits: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    creation: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    out: { type: 'string', default: join(results, 'cpu.json') },
    help: { type: 'boolean', default: false },
  },
});

/** Runs of each runtime before the measured ones; engines compile in tiers, between runs. */
const warmupRuns = '4';
const profiledRuns = '15';

if (values.help) console.log(help);
else {
  try {
    await measureAll();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}

async function measureAll() {
  const started = performance.now();
  const threads = values.threads.split(',').map(Number);
  const store = openResults(values.out);
  if (values.limits) {
    store.limits = await measureLimits(threads);
    save(store);
  }
  const cells = listCells(listOf(values.models), threads);
  const least = Math.min(...threads);
  const created = firstCases(cells.filter((cell) => cell.threads === least));
  const kept = (name, list) =>
    list.filter((cell) => !values.missing || !store[name].some((record) => isSameCell(record, cell)));
  const work = [
    ...(values.profile
      ? kept('profiles', cells).map((cell) => ({ name: 'profiles', measure: profileCell, cell }))
      : []),
    ...(values.profile || values.creation
      ? []
      : kept('records', cells).map((cell) => ({ name: 'records', measure: measureCell, cell }))),
    ...(values.profile
      ? []
      : kept('creation', created).map((cell) => ({ name: 'creation', measure: createdCell, cell }))),
  ];
  for (const [at, { name, measure, cell }] of work.entries()) {
    if ((performance.now() - started) / 60e3 >= Number(values.minutes)) {
      console.log(`${work.length - at} of ${work.length} left: go on with --missing`);
      break;
    }
    const date = new Date().toISOString().slice(0, 10);
    const record = { ...cell, date, ...measure(cell, await materializeModel(cell.model)) };
    // A session is created alike for all cases of a model.
    const isSame = name === 'creation' ? isSameModel : isSameCell;
    store[name] = [...store[name].filter((before) => !isSame(before, cell)), record];
    save(store);
    console.log(lineOf(record));
    if (record.failures.length > 0) process.exitCode = 1;
  }
  console.log(`\n${reportText(store)}`);
}

function createdCell(cell, folder) {
  const bench = (peers, options) => {
    const against = peers.length > 0 ? ['--against', peers.join(',')] : [];
    return runCommand('bench', cell, folder, [...options, ...against]);
  };
  return measureCreation(cell, { bench, peers: listOf(values.against), rounds: Number(values.rounds), cache });
}

/** Where one peer fails, the others are measured without it. */
function measureCell(cell, folder) {
  const peers = listOf(values.against);
  const all = bench(cell, folder, peers);
  if (all.measurements || peers.length === 0)
    return { runtimes: all.measurements ?? [], failures: failuresOf(all, []) };
  const failures = [];
  const sound = [];
  for (const peer of peers) {
    const pair = bench(cell, folder, [peer]);
    failures.push(...failuresOf(pair, [peer]));
    if (pair.measurements) sound.push({ peer, measurements: pair.measurements });
  }
  if (sound.length === 0) {
    const own = bench(cell, folder, []);
    return { runtimes: own.measurements ?? [], failures: [...failures, ...failuresOf(own, [])] };
  }
  const [own] = sound[0].measurements;
  return { runtimes: [own, ...sound.map(({ measurements }) => measurements[1])], failures };
}

function failuresOf({ reason }, [peer]) {
  return reason === undefined ? [] : [{ runtime: peer ?? 'onnx-ts', reason }];
}

/** `onnx-ts bench` with the outputs checked: `{ measurements }` or `{ reason }`. */
function bench(cell, folder, peers) {
  const { reason, measurements } = runCommand('bench', cell, folder, [
    '--check',
    ...['--warmup', warmupRuns, '--seconds', values.seconds],
    ...(peers.length > 0 ? ['--against', peers.join(',')] : []),
  ]);
  if (reason !== undefined) return { reason };
  return { measurements: measurements.map(({ threads: _threads, ratio: _ratio, ...figures }) => figures) };
}

/**
 * Time and work of the kernels of one run, each at its fastest; what takes less than a hundredth of their sum is left out.
 */
function profileCell(cell, folder) {
  const { reason, kernels } = runCommand('profile', cell, folder, ['--runs', profiledRuns]);
  if (reason !== undefined) return { kernels: [], failures: [{ runtime: 'onnx-ts', reason }] };
  const runMs = kernels.reduce((sum, { leastMs }) => sum + leastMs, 0);
  const long = kernels.filter(({ leastMs }) => leastMs >= runMs / 100);
  return {
    runMs,
    kernels: long.map(({ kind, leastMs: ms, launches, flops, bytes }) => ({ kind, ms, launches, flops, bytes })),
    failures: [],
  };
}

/** A command of onnx-ts on a cell, in a process of its own: what it writes as JSON, or the `reason` of its failure. */
function runCommand(command, { case: name, threads }, folder, options) {
  const json = join(cache, `${command}-${process.pid}.json`);
  const cli = fileURLToPath(import.meta.resolve('@onnx-ts/cli'));
  const main = join(dirname(cli), cli.endsWith('.ts') ? 'main.ts' : 'main.js');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...process.execArgv,
      main,
      command,
      join(folder, 'model.onnx'),
      ...['--inputs', join(folder, 'inputs.json'), '--case', name, '--threads', String(threads)],
      ...options,
      ...['--json', json],
    ],
    // The peers are dependencies of this folder.
    { cwd: here, encoding: 'utf8' },
  );
  if (status !== 0) return { reason: withoutPaths((stderr || stdout).trim()) };
  const record = JSON.parse(readFileSync(json, 'utf8'));
  rmSync(json);
  return record;
}

/** The places of this machine are nobody else's business. */
function withoutPaths(text) {
  return text.replaceAll(repository, '.').replaceAll(dirname(repository), '..').slice(0, 500);
}

/** @throws Error when the file was written on another kind of machine */
function openResults(file) {
  const machine = { cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism(), node: process.version };
  if (!existsSync(file)) return { machine, limits: [], records: [], profiles: [], creation: [] };
  const store = { creation: [], ...JSON.parse(readFileSync(file, 'utf8')) };
  if (JSON.stringify(store.machine) !== JSON.stringify(machine)) {
    const { cpu, cores, node } = store.machine;
    throw new Error(
      `${file} was measured on ${cpu}, ${cores} cores, Node ${node}: name another file with --out, or delete it.`,
    );
  }
  return store;
}

function save(store) {
  mkdirSync(dirname(values.out), { recursive: true });
  writeFileSync(values.out, `${JSON.stringify(store, null, 1)}\n`);
  writeFileSync(values.out.replace(/\.json$/, '.md'), reportText(store));
}

function lineOf({ model, case: name, threads, runtimes, runMs, failures }) {
  const times = runtimes
    ? runtimes.map(({ name, p50Ms, loadMs }) => `${name} ${p50Ms?.toFixed(1) ?? `created in ${loadMs.toFixed(0)}`} ms`)
    : [`profiled run ${runMs?.toFixed(1)} ms`];
  const failed = failures.map(({ runtime, reason }) => `${runtime}: ${reason.split('\n')[0]}`);
  return `${model} ${name}, ${threads} threads: ${[...times, ...failed].join(', ')}`;
}

function listOf(text) {
  return text.split(',').filter((item) => item !== '');
}
