import { createSession } from '@onnx-ts/core';
import { expect, it } from 'vitest';
import { float32, type ModelSpec, model, node } from '../../../core/src/testing/build-model.ts';
import { synthetic } from '../../../core/src/testing/synthetic-provider.ts';
import { planPage, planSvg } from './plan-page.ts';

const spec: ModelSpec = {
  inputs: { x: float32(2, 64) },
  nodes: [
    node('Exp', 'x', 'a', {}, { name: '<first> & "best"' }),
    node('Softmax', 'a', 'b'),
    node('Relu', 'b', 'c'),
    node('Shape', 'c', 's'),
    node('Reshape', ['c', 's'], 'y'),
  ],
  outputs: ['y'],
};

async function explain() {
  const providers = [synthetic('near'), synthetic('far', { without: ['Exp'] })];
  const pins = [{ op: 'Softmax', provider: 'far' }];
  await using session = await createSession(model(spec), { providers, placement: { pins } });
  return session.explain();
}

it('draws nodes by provider, copies with their bytes, and the costs on hover', async () => {
  const page = planPage('a model', await explain());
  const titles = [...page.matchAll(/<title>([^<]*)<\/title><\/g>/g)].map(([, text]) => text);
  const softmax = titles.find((text) => text.startsWith('Softmax'))!;
  expect(softmax).toContain('runs on far');
  expect(softmax).toContain('not on near: it is pinned to another provider');
  const exp = titles.find((text) => text.startsWith('Exp'))!;
  expect(exp).toContain('&lt;first&gt; &amp; &quot;best&quot;');
  expect(exp).toContain('not on far: far has no Exp');
  expect(exp).toMatch(/near: [\d.]+ µs/);
  expect(titles.some((text) => text.includes('copied from near to far'))).toBe(true);
  expect(page.match(/class="box"/g)).toHaveLength(5);
  expect(page).toContain('>512 B</text>');
  expect(page).toContain('near alone');
  expect(page).toContain('</td><td>vanished into sizes');
});

it('needs nothing from elsewhere', async () => {
  const explanation = await explain();
  for (const text of [planPage('a model', explanation), planSvg('a model', explanation)]) {
    const addresses = [...text.matchAll(/(?:https?:)?\/\/[\w.-]+/g)].map(([address]) => address);
    expect(new Set(addresses)).toEqual(new Set(['http://www.w3.org']));
    expect(text).not.toMatch(/(?:src|href)=|@import|url\(/);
  }
});

it('draws a session that had nothing to decide', async () => {
  await using session = await createSession(model(spec), { providers: [synthetic('near')] });
  expect(planPage('a model', session.explain())).toContain('Nothing was to decide');
  const svg = planSvg('a model', session.explain());
  expect(svg).toMatch(/^<svg [^>]*>/);
  expect(svg).toContain('near: 3 nodes');
});
