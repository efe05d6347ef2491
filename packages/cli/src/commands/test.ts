import { writeFileSync } from 'node:fs';
import type { PlacementStrategy } from '@onnx-ts/core';
import type { Command } from 'commander';
import { CaseProcess } from '../cases/case-process.ts';
import { findCases } from '../cases/find-cases.ts';
import { type CaseRecord, reportText } from '../cases/report.ts';
import { append, seconds, withProviders } from '../options.ts';
import { parseProviders } from '../providers.ts';
import { Progress } from '../terminal/progress.ts';
import { UsageError } from '../usage-error.ts';

interface TestOptions {
  readonly provider: string;
  readonly placement: PlacementStrategy;
  readonly threads?: number;
  readonly fallback: boolean;
  readonly filter?: readonly string[];
  readonly timeout: number;
  readonly json?: string;
}

const details = `
Cases are folders with model.onnx beside test_data_set_<k>/input_<i>.pb and output_<i>.pb, and those listed by a
light.json. Files belong to the inputs without an initializer, in order.

An output agrees when type and shape are equal and |got - want| <= atol + rtol |want| for every float, with rtol 1e-3 and
atol 1e-7; everything else must be equal. Other tolerances: tolerance.json or data.json beside the model
({"rtol", "atol", "mean_atol"}), or index.json in the folder above ({"models": [{"name", "tolerance"}]}).

Outcomes: pass; fail (wrong result); unsupported (an operator, type or attribute is missing); error (anything else,
timeouts and crashes included). The last line is "N passed, N failed, N skipped", where all but pass count as failed.
Cases run one after the other in a child process.`;

export function addTestCommand(program: Command, finish: (code: number) => void): void {
  const command = program
    .command('test')
    .summary('run conformance cases and compare with their expected outputs')
    .description('Runs every test case below the folders and compares with the expected outputs.')
    .argument('<folder...>', 'folders with test cases')
    .option(
      '-f, --filter <text>',
      'only cases whose name contains the text, or matches /regex/; repeat for more',
      append,
    )
    .option('--no-fallback', 'a case that the first provider does not run alone counts as unsupported')
    .option('--timeout <seconds>', 'time for one case', seconds('--timeout'), 60)
    .option('--json <file>', 'write an array of {case, outcome, reason, ms}');
  withProviders(command)
    .addHelpText('after', details)
    .action(async (folders: readonly string[], options: TestOptions) => {
      finish((await runTests(folders, options)) ? 0 : 1);
    });
}

/** @returns whether all cases passed */
async function runTests(folders: readonly string[], options: TestOptions): Promise<boolean> {
  const providers = parseProviders(options.provider);
  const matches = filterOf(options.filter);
  const cases = findCases(folders).filter((test) => matches(test.name));
  if (cases.length === 0) {
    throw new UsageError(`no test case below ${folders.join(', ')}${options.filter ? ' matches the filter' : ''}`);
  }
  const { threads, fallback, placement } = options;
  const runner = new CaseProcess(
    { providers, fallback, ...(fallback && { placement }), ...(threads !== undefined && { threads }) },
    options.timeout * 1000,
  );
  const progress = new Progress();
  const records: CaseRecord[] = [];
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
    runner.stop();
  };
  process.once('SIGINT', interrupt);
  try {
    for (const [at, test] of cases.entries()) {
      const bad = records.filter((record) => record.outcome !== 'pass').length;
      progress.update(at / cases.length, `${at}/${cases.length}${bad > 0 ? `, ${bad} failed` : ''}: ${test.name}`);
      const { outcome, reason, ms } = await runner.run(test);
      if (interrupted) break;
      records.push({ case: test.name, outcome, reason, ms: Math.round(ms * 10) / 10 });
    }
  } finally {
    process.off('SIGINT', interrupt);
    progress.clear();
    runner.stop();
  }
  if (options.json) writeFileSync(options.json, `${JSON.stringify(records, null, 1)}\n`);
  console.log(reportText(records, cases.length - records.length));
  return records.length === cases.length && records.every((record) => record.outcome === 'pass');
}

/** @throws UsageError for a bad regular expression */
export function filterOf(texts: readonly string[] = []): (name: string) => boolean {
  const tests = texts.map((text) => {
    const match = /^\/(.*)\/([a-z]*)$/s.exec(text);
    if (!match) return (name: string) => name.includes(text);
    try {
      const pattern = new RegExp(match[1], match[2].replaceAll('g', ''));
      return (name: string) => pattern.test(name);
    } catch (error) {
      throw new UsageError(`--filter ${text}: ${(error as Error).message}`);
    }
  });
  return (name) => tests.length === 0 || tests.some((test) => test(name));
}
