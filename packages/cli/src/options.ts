// Options that several commands share, and how their texts become values.

import { availableParallelism } from 'node:os';
import type { PlacementPin, PlacementStrategy } from '@onnx-ts/core';
import { type Command, Option } from 'commander';
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

/** For commands that test or measure: providers in order of preference. */
export function withProviders(command: Command): Command {
  return withThreads(
    command
      .option(
        '-p, --provider <ids>',
        `providers in order of preference, comma-separated: ${knownProviders.join(', ')}`,
        'cpu',
      )
      .addOption(placementOption('first')),
  );
}

/** For commands that do what a user's program would: providers to choose from. */
export function withPlacement(command: Command): Command {
  return withThreads(
    command
      .option(
        '-p, --provider <ids>',
        `providers to choose from, comma-separated: ${knownProviders.join(', ')}; or auto for what this machine has`,
        'auto',
      )
      .addOption(placementOption('auto'))
      .option(
        '--pin <node=provider>',
        'run a node on this provider: its name, /pattern/, or op:TYPE for all of a type; repeatable',
        append,
      ),
  );
}

function placementOption(usual: PlacementStrategy): Option {
  return new Option(
    '--placement <how>',
    'which provider runs a node: the plan that takes the least time, or the first that can',
  )
    .choices(['auto', 'first'])
    .default(usual);
}

function withThreads(command: Command): Command {
  return command.option(
    '-t, --threads <n>',
    `threads to use; here ${defaultThreads()} by default`,
    wholeNumber('--threads', 1),
  );
}

/** @throws UsageError */
export function parsePins(texts: readonly string[] = []): PlacementPin[] {
  return texts.map((text) => {
    const at = text.lastIndexOf('=');
    const [what, provider] = [text.slice(0, at), text.slice(at + 1)];
    if (at <= 0 || !provider) throw new UsageError(`--pin wants NODE=PROVIDER, such as op:MatMul=cpu, not "${text}"`);
    const isOperator = what.startsWith('op:');
    const name = isOperator ? what.slice(3) : what;
    const pattern = /^\/(.+)\/$/.exec(name);
    let wanted: string | RegExp = name;
    try {
      if (pattern) wanted = new RegExp(pattern[1]);
    } catch {
      throw new UsageError(`--pin has "${name}", which is no regular expression`);
    }
    return isOperator ? { op: wanted, provider } : { node: wanted, provider };
  });
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

/** Parser of an option in seconds. @param least 0 where none at all means something */
export function seconds(option: string, least?: 0): (text: string) => number {
  return (text) => {
    const value = Number(text);
    const isEnough = least === undefined ? value > 0 : value >= least;
    if (text.trim() === '' || !isEnough || value === Infinity) {
      throw new UsageError(`${option} wants a number of seconds, not "${text}"`);
    }
    return value;
  };
}
