// Options that several commands share, and how their texts become values.

import { availableParallelism } from 'node:os';
import type { Command } from 'commander';
import { knownProviders } from './providers.ts';
import { UsageError } from './usage-error.ts';

const mostThreads = 16;

/** Sizes for names of dims: `--dim batch=2`. */
export type DimSizes = Readonly<Record<string, number>>;

/** Collects an option that may be repeated; absent options stay undefined. */
export function append(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

export function withInputs(command: Command): Command {
  return command.option(
    '-i, --input <name=source>',
    'value of an input: a .npy, .pb, .json or .png file, or "random"; repeat for each input',
    append,
  );
}

export function withDims(command: Command): Command {
  return command.option('-d, --dim <name=size>', 'size of a symbolic dim, for example batch=1; repeatable', append);
}

export function withProviders(command: Command): Command {
  return command
    .option(
      '-p, --provider <ids>',
      `providers in order of preference, comma-separated: ${knownProviders.join(', ')}`,
      'cpu',
    )
    .option('-t, --threads <n>', `threads to use; here ${defaultThreads()} by default`, wholeNumber('--threads', 1));
}

/** As many as there are cores, but not more than help one model. */
export function defaultThreads(): number {
  return Math.min(availableParallelism(), mostThreads);
}

/** @throws UsageError */
export function parseDimSizes(texts: readonly string[] = []): DimSizes {
  const sizes: Record<string, number> = {};
  for (const text of texts) {
    const at = text.lastIndexOf('=');
    const size = text.slice(at + 1);
    if (at <= 0 || !/^\d+$/.test(size)) throw new UsageError(`--dim wants NAME=SIZE, such as batch=1, not "${text}"`);
    sizes[text.slice(0, at)] = Number(size);
  }
  return sizes;
}

/** Parser of an integer option. */
export function wholeNumber(option: string, least: number): (text: string) => number {
  return (text) => {
    if (!/^\d+$/.test(text) || Number(text) < least) {
      throw new UsageError(`${option} wants a whole number of at least ${least}, not "${text}"`);
    }
    return Number(text);
  };
}

/** Parser of an option in seconds. */
export function seconds(option: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value > 0) || value === Infinity) {
      throw new UsageError(`${option} wants a number of seconds, not "${text}"`);
    }
    return value;
  };
}
