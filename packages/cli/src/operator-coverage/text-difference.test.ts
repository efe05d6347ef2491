import { expect, it } from 'vitest';
import { textDifference } from './text-difference.ts';

it('tells lines that are new or gone, but not how tables are padded', () => {
  const text = '| a | b |\n| :-- | --: |\n| x | 1 |\n';
  expect(textDifference(text, '| a   |   b |\n| :---- | --: |\n| x   |   1 |\n')).toBeUndefined();
  expect(textDifference(text, text.replace('1', '2'))).toBe('- | x | 1 |\n+ | x | 2 |');
  expect(textDifference('a\nb', 'b\na')).toBe('lines are in another order');
});
