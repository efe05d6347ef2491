// The `--input` options of a command → feeds.

import { extname } from 'node:path';
import { type HostValue, OnnxTsError } from '@onnx-ts/core';
import { typeText, type ValueType } from '@onnx-ts/core/internal';
import type { DeclaredValue } from '../model/declared-values.ts';
import { readJson } from '../model/json-file.ts';
import { readBytes } from '../model/model-file.ts';
import type { DimSizes } from '../options.ts';
import { UsageError } from '../usage-error.ts';
import { convertTensor } from './convert.ts';
import { type Json, jsonHelp, valueFromJson } from './json.ts';
import { readNpy } from './npy.ts';
import { imageTensor, pngHelp } from './png.ts';
import { readValueFile } from './proto-files.ts';
import { randomHelp, randomTensor, seedOf } from './random.ts';

export const inputHelp = `
Sources of inputs:
${[
  ".npy: a NumPy array (format versions 1 to 3, either memory order) of the input's type; types that NumPy lacks are\nconverted from float32 or 8-bit integers.",
  '.pb: a TensorProto, SequenceProto, OptionalProto or MapProto, as the model declares the input.',
  jsonHelp,
  pngHelp,
  randomHelp,
]
  .map((text) => `  ${text.replaceAll('\n', '\n    ')}`)
  .join('\n')}
  "NAME=" may be left out when the model has one input; "--input random" alone is for all inputs not named otherwise.`;

export interface FeedOptions {
  readonly seed: number;
  readonly dims: DimSizes;
  /** Random values for inputs that no option names; otherwise they are an error. */
  readonly randomRest?: boolean;
  /** Told each symbolic dim that had no size and became 1. */
  readonly unnamedDim?: (dim: string) => void;
}

/**
 * @param options texts of the form NAME=SOURCE
 * @throws UsageError when they do not suit the model's inputs, OnnxTsError when a file does not
 */
export function feedsFromOptions(
  options: readonly string[],
  inputs: readonly DeclaredValue[],
  feedOptions: FeedOptions,
): Record<string, HostValue> {
  const { sources, randomRest } = assignSources(options, inputs);
  const isRandom = randomRest || feedOptions.randomRest === true;
  // An optional input may stay away.
  const missing = isRandom ? [] : inputs.filter((input) => !sources.has(input.name) && input.type?.kind !== 'optional');
  if (missing.length > 0) throw new UsageError(missingText(missing));
  const feeds: Record<string, HostValue> = {};
  for (const [at, input] of inputs.entries()) {
    const source = sources.get(input.name) ?? (isRandom ? 'random' : undefined);
    if (source === undefined) continue;
    const { seed, dims, unnamedDim } = feedOptions;
    feeds[input.name] =
      source === 'random' ? randomTensor(input, seedOf(seed, at), dims, unnamedDim) : readInput(source, input);
  }
  return feeds;
}

function missingText(inputs: readonly DeclaredValue[]): string {
  const names = inputs.map(({ name, type }) => `"${name}" (${typeText(type)})`).join(', ');
  const [first] = inputs;
  const rest = inputs.length > 1 ? `, or --input random for all of them` : ` or --input ${first.name}=random`;
  return `${inputs.length > 1 ? 'these inputs have' : 'this input has'} no value: ${names}: give --input ${first.name}=FILE${rest}`;
}

function assignSources(options: readonly string[], inputs: readonly DeclaredValue[]) {
  const sources = new Map<string, string>();
  let randomRest = false;
  for (const option of options) {
    // Names may contain '=': the longest that fits counts.
    const [input] = inputs
      .filter(({ name }) => option.startsWith(`${name}=`))
      .sort((a, b) => b.name.length - a.name.length);
    if (!input && option === 'random') {
      randomRest = true;
      continue;
    }
    const only = inputs.length === 1 && !option.includes('=') ? inputs[0] : undefined;
    const { name } = input ?? only ?? { name: undefined };
    if (name === undefined) {
      const known = inputs.map((item) => `"${item.name}"`).join(', ');
      throw new UsageError(`--input ${option}: the model's inputs are ${known || 'none'}`);
    }
    if (sources.has(name)) throw new UsageError(`the input "${name}" is given twice`);
    const source = input ? option.slice(name.length + 1) : option;
    if (source === '') throw new UsageError(`--input ${option}: a file or "random" must follow`);
    sources.set(name, source);
  }
  return { sources, randomRest };
}

/** @throws OnnxTsError naming input and file, UsageError for a kind of file that is not known */
function readInput(path: string, input: DeclaredValue): HostValue {
  const { type, name } = input;
  try {
    switch (extname(path).toLowerCase()) {
      case '.npy':
        return fitted(readNpy(readBytes(path)), type);
      case '.pb':
        return readValueFile(path, type);
      case '.json':
        return valueFromJson(readJson(path) as Json, type, name);
      case '.png':
        return imageTensor(readBytes(path), input);
      default:
        throw new UsageError(`--input ${name}=${path}: a .npy, .pb, .json or .png file is wanted, or "random"`);
    }
  } catch (error) {
    if (!OnnxTsError.is(error) || error.place.path !== undefined) throw error;
    throw new OnnxTsError(error.code, error.message, { place: { path }, cause: error });
  }
}

function fitted(tensor: HostValue, type: ValueType | undefined): HostValue {
  const wanted = type?.kind === 'optional' ? type.element : type;
  return wanted?.kind === 'tensor' ? convertTensor(tensor, wanted.dtype) : tensor;
}
