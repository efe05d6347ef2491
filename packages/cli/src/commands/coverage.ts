import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OnnxTsError } from '@onnx-ts/core';
import { defaultRegistry } from '@onnx-ts/core/internal';
import type { Command } from 'commander';
import { coverageReport } from '../operator-coverage/coverage-report.ts';
import { findSuiteCases, resultsOf, runCoverage } from '../operator-coverage/run-coverage.ts';
import { textDifference } from '../operator-coverage/text-difference.ts';
import { parseProviders } from '../providers.ts';
import { Progress } from '../terminal/progress.ts';
import { UsageError } from '../usage-error.ts';

interface CoverageOptions {
  readonly provider: string;
  readonly output?: string;
  readonly check?: string;
}

const details = `
The folder holds ONNX's suites (node, simple, light, ...), one folder each. Without it, onnx-backend-tests is taken from
the folder that ONNX_TS_TEST_DATA names, or from ../shared. Each provider runs alone, on one thread, in a process of its
own beside the others. The report states no times, so that it changes only when a result does.

With --check the exit code is 1 when the file says anything else than a new report would, and what differs is printed.`;

export function addCoverageCommand(program: Command, finish: (code: number) => void): void {
  program
    .command('coverage')
    .summary('table of operators: which cases of ONNX pass on which provider')
    .description("Runs ONNX's backend tests and makes a table: operator × operator set × provider, as Markdown.")
    .argument('[folder]', 'folder of the suites')
    .option('-p, --provider <ids>', 'providers to run, comma-separated', 'cpu,webgpu,reference')
    .option('-o, --output <file>', 'write the table there instead of printing it')
    .option('--check <file>', 'compare the table with a file instead of printing it')
    .addHelpText('after', details)
    .action(async (folder: string | undefined, options: CoverageOptions) => {
      finish((await makeCoverage(folder ?? defaultFolder(), options)) ? 0 : 1);
    });
}

function defaultFolder(): string {
  const folder = join(process.env.ONNX_TS_TEST_DATA ?? '../shared', 'onnx-backend-tests');
  if (existsSync(folder)) return folder;
  throw new UsageError(`there is no folder ${folder}: name the folder of the suites, or set ONNX_TS_TEST_DATA`);
}

/** @returns false when the file to check is not current */
async function makeCoverage(folder: string, { provider, output, check }: CoverageOptions): Promise<boolean> {
  const providers = parseProviders(provider);
  if (check !== undefined && !existsSync(check)) {
    throw new OnnxTsError('INVALID_INPUT', 'there is no such file.', {
      place: { path: check },
      hint: 'Make it with --output.',
    });
  }
  const cases = findSuiteCases(folder);
  if (cases.length === 0) throw new UsageError(`no test case below ${folder}`);
  const progress = new Progress();
  try {
    const verdicts = await runCoverage(cases, {
      providers,
      threads: 1,
      progress: (done, total, name) => progress.update(done / total, `${done}/${total}: ${name}`),
    });
    progress.clear();
    const report = coverageReport(resultsOf(cases, verdicts), providers, defaultRegistry().names());
    if (output !== undefined) writeFileSync(output, report);
    if (check === undefined) {
      if (output === undefined) process.stdout.write(report);
      return true;
    }
    const difference = textDifference(readFileSync(check, 'utf8'), report);
    console.log(difference === undefined ? `${check} is current` : `${check} is not current:\n${difference}`);
    return difference === undefined;
  } finally {
    progress.clear();
  }
}
