// Operators on strings. Their tensors live on the host.

import { Dim } from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { elementCount, Tensor } from '../session/tensor.ts';
import { defineOperator, int, type NodeContext, required, string, strings } from './define.ts';
import { expectRank } from './expect.ts';
import { int64Tensor } from './host-elements.ts';
import { fullMatch } from './regex.ts';

function expectStrings(context: NodeContext, input: number): void {
  if (context.dtype(input) !== 'string') context.fail(`input ${input} must hold strings, not ${context.dtype(input)}.`);
}

/** Case as the plain locale has it: of the letters A to Z alone. */
const lowerAscii = (text: string): string => text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
const upperAscii = (text: string): string => text.replaceAll(/[a-z]+/g, (letters) => letters.toUpperCase());

const plain = 'C';
/** What ONNX has where no locale is given, so that results do not depend on the machine. */
const standard = 'en-US';

const changes: Readonly<Record<string, (text: string, locale: string) => string>> = {
  NONE: (text) => text,
  LOWER: (text, locale) => (locale === plain ? lowerAscii(text) : text.toLocaleLowerCase(locale)),
  UPPER: (text, locale) => (locale === plain ? upperAscii(text) : text.toLocaleUpperCase(locale)),
};

/** POSIX's name of a locale, such as en_US.UTF-8, as JavaScript has it; "C" for the plain locales C and POSIX. */
function localeOf(context: NodeContext, given: string | undefined): string {
  const name = given?.replace(/[.@].*$/, '').replaceAll('_', '-');
  if (!name) return standard;
  if (name === 'C' || name === 'POSIX') return plain;
  try {
    return Intl.getCanonicalLocales(name)[0];
  } catch {
    return context.fail(`"${given}" is not the name of a locale.`, 'Names look like en_US or en_US.UTF-8.');
  }
}

/** Drops stop words and changes the case of a list of words ([C] or [1, C]). Nothing left gives one empty string. */
export const StringNormalizer = defineOperator({
  name: 'StringNormalizer',
  since: 10,
  attributes: {
    case_change_action: string('NONE'),
    is_case_sensitive: int(0),
    locale: string(),
    stopwords: strings(),
  },
  infer(context) {
    expectStrings(context, 0);
    const shape = expectRank(context, 0, 1, 2);
    if (shape.length === 2 && shape[0].constant !== undefined && !shape[0].is(1)) {
      context.fail(`the first of two axes must have size 1, not ${shape[0]}.`);
    }
    const { case_change_action: action, stopwords } = context.attributes;
    if (!changes[action]) context.fail(`case_change_action "${action}" is not one of NONE, LOWER, UPPER.`);
    const words = stopwords?.length ? context.freshDim('words') : shape[shape.length - 1].max(1);
    return [tensorType('string', shape.length === 2 ? [Dim.constant(1), words] : [words])];
  },
  evaluate(context) {
    const { case_change_action: action, is_case_sensitive: isSensitive, locale: given, stopwords } = context.attributes;
    const locale = localeOf(context, given);
    const folded = (word: string): string => (isSensitive ? word : changes.LOWER(word, locale));
    const stops = new Set((stopwords ?? []).map(folded));
    const input = context.tensor(0);
    const kept = (input.data as string[]).filter((word) => !stops.has(folded(word)));
    const words = kept.length > 0 ? kept.map((word) => changes[action](word, locale)) : [''];
    return new Tensor('string', words, input.dims.with(-1, words.length));
  },
});

/** Element-wise concatenation under broadcasting. */
export const StringConcat = defineOperator({
  name: 'StringConcat',
  since: 20,
  infer(context) {
    expectStrings(context, 0);
    expectStrings(context, 1);
    return [tensorType('string', context.broadcast(context.shape(0), context.shape(1)))];
  },
  evaluate(context) {
    const [a, b] = [context.tensor(0), context.tensor(1)];
    const rank = Math.max(a.dims.length, b.dims.length);
    const sizes = ({ dims }: Tensor): number[] => [...Array<number>(rank - dims.length).fill(1), ...dims];
    const [left, right] = [sizes(a), sizes(b)];
    const dims = left.map((size, axis) => (size === 1 ? right[axis] : size));
    const words = Array.from({ length: elementCount(dims) }, (_, at) => {
      let [i, j, rest, stepA, stepB] = [0, 0, at, 1, 1];
      for (let axis = rank - 1; axis >= 0; axis--) {
        const position = rest % dims[axis];
        rest = Math.floor(rest / dims[axis]);
        if (left[axis] > 1) i += position * stepA;
        if (right[axis] > 1) j += position * stepB;
        stepA *= left[axis];
        stepB *= right[axis];
      }
      return (a.data as string[])[i] + (b.data as string[])[j];
    });
    return new Tensor('string', words, dims);
  },
});

/** Parts of a text as Python's `str.split` gives them: by runs of white space when there is no delimiter. */
function splitText(text: string, delimiter: string | undefined, most: number): string[] {
  const parts: string[] = [];
  let rest = delimiter ? text : text.trimStart();
  while (delimiter || rest !== '') {
    const found = delimiter ? rest.indexOf(delimiter) : rest.search(/\s/);
    if (found < 0 || parts.length === most) break;
    parts.push(rest.slice(0, found));
    rest = delimiter ? rest.slice(found + delimiter.length) : rest.slice(found).trimStart();
  }
  if (delimiter) return [...parts, rest];
  const last = parts.length === most ? rest : rest.trimEnd();
  return last === '' ? parts : [...parts, last];
}

/** Splits every string; rows are filled up with empty strings. The second output counts the parts. */
export const StringSplit = defineOperator({
  name: 'StringSplit',
  since: 20,
  attributes: { delimiter: string(), maxsplit: int() },
  infer(context) {
    expectStrings(context, 0);
    const shape = context.shape(0);
    return [tensorType('string', [...shape, context.freshDim('parts')]), tensorType('int64', shape)];
  },
  evaluate(context) {
    const { delimiter, maxsplit = Infinity } = context.attributes;
    const input = context.tensor(0);
    const rows = (input.data as string[]).map((text) => splitText(text, delimiter, maxsplit));
    const width = rows.reduce((widest, parts) => Math.max(widest, parts.length), 0);
    const padded = rows.flatMap((parts) => [...parts, ...Array<string>(width - parts.length).fill('')]);
    const counts = rows.map((parts) => parts.length);
    return [new Tensor('string', padded, [...input.dims, width]), int64Tensor(counts, input.dims)];
  },
});

/** Whether each string matches a pattern as a whole. */
export const RegexFullMatch = defineOperator({
  name: 'RegexFullMatch',
  since: 20,
  attributes: { pattern: required(string()) },
  infer(context) {
    expectStrings(context, 0);
    return [tensorType('bool', context.shape(0))];
  },
  evaluate(context) {
    const { pattern } = context.attributes;
    let expression: RegExp;
    try {
      expression = fullMatch(pattern);
    } catch (error) {
      return context.fail(`the pattern "${pattern}" cannot be used: ${(error as Error).message}.`);
    }
    const input = context.tensor(0);
    const matches = (input.data as string[]).map((text) => Number(expression.test(text)));
    return new Tensor('bool', matches, input.dims);
  },
});
