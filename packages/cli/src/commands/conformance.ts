import { writeFileSync } from 'node:fs';
import type { ConformanceReport, SuiteId } from '@onnx-ts/conformance';
import { OnnxTsError } from '@onnx-ts/core';
import type { Command } from 'commander';
import { listOf } from '../comma-list.ts';
import { seconds, wholeNumber } from '../options.ts';
import { Progress } from '../terminal/progress.ts';
import { formatTable } from '../terminal/table.ts';
import { UsageError } from '../usage-error.ts';

interface ConformanceCommandOptions {
  readonly provider: string;
  readonly suite?: string;
  readonly onnx?: string;
  readonly filter?: string;
  readonly cases: number;
  readonly graphs: number;
  readonly seed: number;
  readonly partner?: string;
  readonly timeout: number;
  readonly json?: string;
  readonly table?: string;
  readonly badge?: string;
}

const details = `
Suites:
  contract    the promises of the provider contract: memory, sizes, concurrency, aborting, errors, disposal
  onnx        cases with stored outputs: those that the kit carries, or ONNX's backend tests with --onnx FOLDER
  microsoft   the same for operators of com.microsoft
  property    random cases of every operator, compared with the reference provider
  partition   random graphs, split at random between two providers, compared with one

Outcomes: pass (the provider alone computed it, and all agrees); fail; unsupported (a node was refused, with a reason);
skip (the case says nothing here, and why); error (a crash, no answer in time, or an error that is no OnnxTsError).
Nothing falls back: a case that another provider or the host had to help with is unsupported.

A module is a path or a package. It exports a provider, or a function without parameters that gives one, as default, as
its only one, or under the name after #: ./dist/index.js#mine. It may also export \`operators\` (definitions of custom
operators), \`families\` (generators of cases for them), and \`losable\` (see the README of @onnx-ts/conformance).

The exit code is 1 when a case fails or ends in an error, or when the provider takes an operator that no case has run.`;

/** Modules of the providers that come with the command. */
const known: Readonly<Record<string, string>> = {
  cpu: '@onnx-ts/cpu#cpu',
  webgpu: '@onnx-ts/webgpu#webgpu',
  reference: '@onnx-ts/core#reference',
};

/** Bad cases that are told one by one. */
const shownCases = 40;

export function addConformanceCommand(program: Command, finish: (code: number) => void): void {
  program
    .command('conformance')
    .summary('try a provider: its contract, every operator, splits with another one')
    .description('Runs the conformance kit on a provider, each case in a child process.')
    .requiredOption('-p, --provider <module or id>', `module of the provider, or ${Object.keys(known).join(', ')}`)
    .option('-s, --suite <names>', 'suites to run, comma-separated; all of them by default')
    .option('--onnx <folder>', "ONNX's backend tests, or other cases in their form, for the suite onnx")
    .option('-f, --filter <expression>', 'only cases whose name, such as contract/…, matches the regular expression')
    .option('--cases <n>', 'random cases of each generator', wholeNumber('--cases', 1), 4)
    .option('--graphs <n>', 'random graphs to split', wholeNumber('--graphs', 1), 100)
    .option('--seed <n>', 'seed of random cases', wholeNumber('--seed', 0), 1)
    .option('--partner <module or id>', 'the other provider of the suite partition; reference by default')
    .option('--timeout <seconds>', 'time for one case', seconds('--timeout'), 60)
    .option('--json <file>', 'write the report as JSON')
    .option('--table <file>', 'write the report with the table of operators as Markdown')
    .option('--badge <file>', 'write a badge as JSON, for the endpoint of shields.io')
    .addHelpText('after', details)
    .action(async (options: ConformanceCommandOptions) => {
      finish((await runKit(options)) ? 0 : 1);
    });
}

/** @returns whether everything is as it should be */
async function runKit(options: ConformanceCommandOptions): Promise<boolean> {
  // The kit is large; other commands do without it.
  const { badgeOf, reportMarkdown, suiteIds } = await import('@onnx-ts/conformance');
  const { runIsolated } = await import('@onnx-ts/conformance/node');
  const suites = suitesOf(options.suite, suiteIds);
  const pattern = patternOf(options.filter);
  const progress = new Progress();
  const controller = new AbortController();
  const interrupt = (): void => controller.abort();
  process.once('SIGINT', interrupt);
  let bad = 0;
  try {
    const report = await runIsolated(
      {
        module: known[options.provider] ?? options.provider,
        perGenerator: options.cases,
        graphs: options.graphs,
        seed: options.seed,
        ...(suites && { suites }),
        ...(pattern !== undefined && { pattern }),
        ...(options.onnx !== undefined && { onnxFolder: options.onnx }),
        ...(options.partner !== undefined && { partner: known[options.partner] ?? options.partner }),
      },
      {
        timeoutSeconds: options.timeout,
        signal: controller.signal,
        onResult: ({ suite, name, outcome }, done, total) => {
          if (outcome === 'fail' || outcome === 'error') bad++;
          progress.update(done / total, `${done}/${total}${bad > 0 ? `, ${bad} bad` : ''}: ${suite}/${name}`);
        },
      },
    );
    progress.clear();
    if (report.results.length === 0 && report.isComplete) throw new UsageError('no case matches the filter');
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, null, 1)}\n`);
    if (options.table !== undefined) writeFileSync(options.table, `${reportMarkdown(report)}\n`);
    if (options.badge !== undefined) writeFileSync(options.badge, `${JSON.stringify(badgeOf(report))}\n`);
    console.log(reportText(report));
    return report.isComplete && bad === 0 && report.findings.length === 0;
  } catch (error) {
    if (OnnxTsError.is(error) && error.code === 'INVALID_INPUT') throw new UsageError(error.message);
    throw error;
  } finally {
    process.off('SIGINT', interrupt);
    progress.clear();
  }
}

/** @throws UsageError */
function suitesOf(text: string | undefined, ids: readonly SuiteId[]): readonly SuiteId[] | undefined {
  if (text === undefined) return undefined;
  const names = listOf(text);
  const wrong = names.find((name) => !(ids as readonly string[]).includes(name));
  if (wrong !== undefined || names.length === 0) {
    throw new UsageError(`there is no suite "${wrong ?? ''}"; there are ${ids.join(', ')}`);
  }
  return names as SuiteId[];
}

/** @throws UsageError for a bad regular expression */
function patternOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return new RegExp(text).source;
  } catch (error) {
    throw new UsageError(`--filter ${text}: ${(error as Error).message}`);
  }
}

function reportText({ provider, device, results, counts, findings, isComplete }: ConformanceReport): string {
  const suites = [...new Set(results.map(({ suite }) => suite))];
  const outcomes = Object.keys(counts) as (keyof typeof counts)[];
  const count = (suite: string, outcome: string): string =>
    String(results.filter((result) => result.suite === suite && result.outcome === outcome).length);
  const rows = suites.map((suite) => [suite, ...outcomes.map((outcome) => count(suite, outcome))]);
  const table = formatTable(
    [['', ...outcomes], ...rows],
    outcomes.map((_, at) => at + 1),
  );
  const wrong = results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error');
  const lines = wrong.slice(0, shownCases).map(({ suite, name, outcome, reason, text }) => {
    const more = text ? `\n      ${text.replaceAll('\n', '\n      ')}` : '';
    return `${outcome}  ${suite}/${name}\n    ${reason.replaceAll('\n', '\n    ')}${more}`;
  });
  if (wrong.length > shownCases) lines.push(`and ${wrong.length - shownCases} more`);
  const { pass, fail, error, unsupported, skip } = counts;
  return [
    `${provider}: ${device}`,
    ...lines,
    ...(findings.length > 0 ? [`findings\n  ${findings.join('\n  ')}`] : []),
    ...(isComplete ? [] : ['interrupted']),
    table,
    `${pass} passed, ${fail + error} failed, ${unsupported + skip} skipped`,
  ].join('\n\n');
}
