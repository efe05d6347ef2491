// The `onnx-ts` program: its commands, and what becomes of errors.

import { readFileSync } from 'node:fs';
import { OnnxTsError } from '@onnx-ts/core';
import { Command, CommanderError } from 'commander';
import { RuntimeError } from './bench/runtime-process.ts';
import { addAotCommand } from './commands/aot.ts';
import { addBenchCommand } from './commands/bench.ts';
import { addConformanceCommand } from './commands/conformance.ts';
import { addCoverageCommand } from './commands/coverage.ts';
import { addExplainCommand } from './commands/explain.ts';
import { addInspectCommand } from './commands/inspect.ts';
import { addProfileCommand } from './commands/profile.ts';
import { addRunCommand } from './commands/run.ts';
import { addTestCommand } from './commands/test.ts';
import { UsageError } from './usage-error.ts';

/** Exit codes of every command. */
export const exitCodes = { ok: 0, failure: 1, usage: 2 } as const;

const description = 'Runs, tests, measures and looks into ONNX models.';

const examples = `
Examples:
  onnx-ts inspect model.onnx                            what it takes and gives, and what it is made of
  onnx-ts run model.onnx --input image=cat.png          run it
  onnx-ts run model.onnx --input random --dim batch=4   run it on anything
  onnx-ts bench model.onnx --against onnxruntime-web    how fast it is here
  onnx-ts profile model.onnx                            where the time goes

Exit codes: 0 fine, 1 something failed, 2 wrong usage.`;

/**
 * Runs one command line; everything is printed.
 * @param args what follows the program's name
 * @returns the exit code
 */
export async function runCli(args: readonly string[]): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const program = new Command('onnx-ts')
    .description(description)
    .version(packageVersion(), '-V, --version', 'print the version')
    .option('--debug', 'show the stack of errors')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('(add --help for the options)')
    .addHelpText('after', examples)
    .exitOverride();
  const finish = (code: number): void => {
    exitCode = code;
  };
  addRunCommand(program);
  addTestCommand(program, finish);
  addCoverageCommand(program, finish);
  addConformanceCommand(program, finish);
  addBenchCommand(program, finish);
  addInspectCommand(program);
  addExplainCommand(program);
  addAotCommand(program);
  addProfileCommand(program);
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const debug = program.opts<{ debug?: boolean }>().debug || args.includes('--debug');
    process.stderr.write(`error: ${errorText(error, debug)}\n`);
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failure;
  }
}

/** Errors for users are their message; anything else is a bug, whose stack is wanted. */
function errorText(error: unknown, debug: boolean): string {
  if (!(error instanceof Error)) return String(error);
  const isPlain =
    OnnxTsError.is(error) || error instanceof UsageError || error instanceof RuntimeError || 'syscall' in error;
  if (isPlain && !debug) return error.message;
  const cause = error.cause === undefined ? '' : `\ncaused by: ${errorText(error.cause, debug)}`;
  return `${error.stack ?? error.message}${cause}`;
}

function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
