import { expect, it } from 'vitest';
import { listOf } from './comma-list.ts';
import { parseDimSizes, parsePins, seconds, wholeNumber } from './options.ts';
import { parseProviders } from './providers.ts';
import { UsageError } from './usage-error.ts';

it('reads sizes of dims', () => {
  expect(parseDimSizes(['batch=1', 'a=b=20'])).toEqual({ batch: 1, 'a=b': 20 });
  for (const text of ['batch', '=1', 'batch=', 'batch=-1', 'batch=1.5']) {
    expect(() => parseDimSizes([text])).toThrow(UsageError);
  }
});

it('reads numbers', () => {
  expect(wholeNumber('--threads', 1)('12')).toBe(12);
  for (const text of ['0', '1.5', '-1', 'x', '']) expect(() => wholeNumber('--threads', 1)(text)).toThrow('--threads');
  expect(seconds('--timeout')('0.5')).toBe(0.5);
  for (const text of ['0', '-1', 'x', '', 'Infinity']) expect(() => seconds('--timeout')(text)).toThrow('--timeout');
});

it('reads lists', () => {
  expect(listOf(' a, b,,c ')).toEqual(['a', 'b', 'c']);
});

it('knows its providers', () => {
  expect(parseProviders('cpu, reference')).toEqual(['cpu', 'reference']);
  expect(() => parseProviders('tpu')).toThrow('there is no provider "tpu"');
  expect(() => parseProviders('cpu,cpu')).toThrow('named twice');
  expect(() => parseProviders('')).toThrow('at least one');
});

it('reads pins', () => {
  expect(parsePins(['op:MatMul=cpu', '/layer.(1|2)/=webgpu', 'a=b=cpu', 'op:/Conv/=cpu'])).toEqual([
    { op: 'MatMul', provider: 'cpu' },
    { node: /layer.(1|2)/, provider: 'webgpu' },
    { node: 'a=b', provider: 'cpu' },
    { op: /Conv/, provider: 'cpu' },
  ]);
  for (const text of ['MatMul', '=cpu', 'x=', '/(/=cpu']) expect(() => parsePins([text])).toThrow(UsageError);
});

it('knows what this machine may have', () => {
  expect(parseProviders('auto')).toEqual(['cpu', 'webgpu']);
});
