import { afterEach, expect, it, vi } from 'vitest';
import { hexText, hostDigest } from './digest.ts';

afterEach(() => vi.unstubAllGlobals());

const text = new TextEncoder().encode('abc');

/** FIPS 180-4, example of a one-block message. */
const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

it('is SHA-256 in Node', async () => {
  expect(hexText(await hostDigest()!(text))).toBe(expected);
});

it('is SHA-256 on the web', async () => {
  vi.stubGlobal('process', undefined);
  expect(hexText(await hostDigest()!(text))).toBe(expected);
});

it('is none on pages that were not served safely', () => {
  vi.stubGlobal('process', undefined);
  vi.stubGlobal('crypto', {});
  expect(hostDigest()).toBeUndefined();
});
