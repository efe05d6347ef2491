// Patterns as RE2 reads them, where JavaScript would read them otherwise or not at all.

import { describe, expect, it } from 'vitest';
import { fullMatch } from './regex.ts';

const matches = (pattern: string, ...texts: string[]): boolean[] => texts.map((text) => fullMatch(pattern).test(text));

describe('fullMatch', () => {
  it('matches texts as a whole', () => {
    expect(matches('a|ab', 'a', 'ab', 'abc', '')).toEqual([true, true, false, false]);
    expect(matches('', '', 'a')).toEqual([true, false]);
    expect(matches('^\\Aab\\z$', 'ab')).toEqual([true]);
  });

  it('takes any escaped punctuation, and brackets and braces that nothing opens', () => {
    expect(matches('\\w+\\@a\\-b\\.com', 'x@a-b.com', 'x@a-bxcom')).toEqual([true, false]);
    expect(matches('a{,2}]', 'a{,2}]', 'aa]')).toEqual([true, false]);
    expect(matches('a{2}b{1,}c{0,1}', 'aabb', 'aabbc', 'abc')).toEqual([true, true, false]);
    expect(matches('\\Qa.b\\E+', 'a.b', 'a.bb', 'axb')).toEqual([true, true, false]);
  });

  it('has white space and word characters of ASCII alone', () => {
    expect(matches('\\s', ' ', '\t', '\v', '\u00a0')).toEqual([true, true, false, false]);
    expect(matches('\\w', 'a', '_', 'é')).toEqual([true, true, false]);
    expect(matches('.', '\r', '\u2028', '\n', '😀')).toEqual([true, true, false, true]);
  });

  it('reads classes', () => {
    expect(matches('[]a-c-]+', ']', 'b', '-', 'd')).toEqual([true, true, true, false]);
    expect(matches('[[:^alpha:]\\d]', '1', 'a', '-')).toEqual([true, false, true]);
    expect(matches('[^[:space:][:punct:]]+', 'ab', 'a b', 'a!')).toEqual([true, false, false]);
    expect(matches('[\\D]', 'a', '1')).toEqual([true, false]);
    expect(matches('\\pL\\p{Greek}\\P{^Nd}', 'aα1', 'ab1')).toEqual([true, false]);
  });

  it('reads numbers of characters', () => {
    expect(matches('\\x41\\x{1F600}\\101\\a', 'A😀A\x07')).toEqual([true]);
  });

  it('sets flags for a group or for what follows', () => {
    expect(matches('a(?i)b[c-d]', 'aBD', 'abc', 'Abc')).toEqual([true, true, false]);
    expect(matches('(?i:a)b', 'Ab', 'AB')).toEqual([true, false]);
    expect(matches('(?i)a(?-i)b', 'Ab', 'AB')).toEqual([true, false]);
    expect(matches('(?s).', '\n')).toEqual([true]);
    expect(matches('(?m)a\n^b$', 'a\nb')).toEqual([true]);
    expect(matches('(?P<x>a)(?<y>b)(?:c)', 'abc')).toEqual([true]);
  });

  it('refuses what RE2 does not have', () => {
    for (const pattern of [
      '(a)\\1',
      '(?=a)',
      '(?<!a)b',
      'a**',
      '(a',
      'a)',
      '[a',
      '*a',
      '\\',
      '[b-a]',
      '[[:nope:]]',
      '\\y',
    ]) {
      expect(() => fullMatch(pattern), pattern).toThrow(SyntaxError);
    }
  });
});
