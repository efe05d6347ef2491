// Models and their external data from a server: progress, failures, ends.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reference } from '../provider/reference.ts';
import { float32, model, node } from '../testing/build-model.ts';
import { errorOf } from '../testing/open-session.ts';
import type { Progress, SessionOptions } from './options.ts';
import { createSession } from './session.ts';
import { Tensor } from './tensor.ts';

const withData = (location: string): Uint8Array =>
  model({
    inputs: { x: float32(2) },
    initializers: {
      w: { dataType: 1, dims: [2], dataLocation: 1, externalData: [{ key: 'location', value: location }] },
    },
    nodes: [node('Add', ['x', 'w'], 'y')],
    outputs: ['y'],
  });

const weights = new Uint8Array(Float32Array.of(10, 20).buffer);

let server: Server;
let base: string;
const asked: string[] = [];

beforeAll(async () => {
  const files: Readonly<Record<string, Uint8Array>> = {
    '/models/a.onnx': withData('w.bin'),
    '/models/w.bin': weights,
    '/models/odd.onnx': withData('a b?c#d.bin'),
    '/models/a%20b%3Fc%23d.bin': weights,
    '/models/escaping.onnx': withData('%2e%2e/secret.bin'),
    '/secret.bin': weights,
  };
  server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const bytes = files[request.url ?? ''];
    if (request.url === '/endless') {
      response.writeHead(200);
      response.write('x');
      return;
    }
    response.writeHead(bytes ? 200 : 404, bytes ? { 'content-length': bytes.length } : {});
    response.end(bytes ?? 'not here');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const load = (path: string, options: SessionOptions = {}) =>
  createSession(new URL(path, base), { providers: [reference()], ...options });

async function answer(path: string, options?: SessionOptions): Promise<number[]> {
  await using session = await load(path, options);
  const { y } = await session.run({ x: new Tensor('float32', [1, 2]) });
  return y.toNumberArray();
}

describe('from a server', () => {
  it('come the model and the files beside it, with progress', async () => {
    const seen: Progress[] = [];
    expect(await answer('/models/a.onnx', { onProgress: (progress) => seen.push(progress) })).toEqual([11, 22]);
    const downloads = seen.filter(({ phase }) => phase === 'download');
    expect(new Set(downloads.map(({ what }) => what))).toEqual(new Set(['model', 'w.bin']));
    expect(downloads.at(-1)?.fraction).toBe(1);
  });

  it('come files with odd names, but none from elsewhere', async () => {
    expect(await answer('/models/odd.onnx')).toEqual([11, 22]);
    const error = await errorOf(load('/models/escaping.onnx'));
    expect(error.code).toBe('EXTERNAL_DATA');
    expect(error.message).toContain('the server answered 404');
    expect(asked).not.toContain('/secret.bin');
  });

  it('comes an answer that says what is missing', async () => {
    const error = await errorOf(load('/models/none.onnx'));
    expect(error.code).toBe('INVALID_INPUT');
    expect(error.message).toBe(
      `file ${base}/models/none.onnx: the download failed: the server answered 404 Not Found.`,
    );
    const refused = createSession('http://127.0.0.1:9/model.onnx', { providers: [reference()] });
    expect((await errorOf(refused)).message).toContain('the download failed');
  });

  it('comes nothing any more after an abort', async () => {
    const error = await errorOf(load('/endless', { signal: AbortSignal.timeout(50) }));
    expect(error.code).toBe('ABORTED');
  });
});
