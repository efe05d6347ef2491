// Serves the built page twice: cross-origin isolated, where threads are allowed, and plain.
//
//   node serve.mjs [port]      the plain page is at the next port

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { outputFolder } from './build.mjs';

const types = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.map': 'application/json',
  '.png': 'image/png',
};

/** With these a page may share memory between threads. */
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/**
 * @param {{ folder?: string, isolated: boolean, port?: number }} options port 0, the default, takes a free one
 * @returns {Promise<{ url: string, close(): Promise<void> }>}
 */
export async function servePage({ folder = outputFolder, isolated, port = 0 }) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const path = join(folder, normalize(pathname.endsWith('/') ? `${pathname}index.html` : pathname));
    try {
      const body = await readFile(path);
      const type = types[extname(path)] ?? 'application/octet-stream';
      response.writeHead(200, { 'Content-Type': type, 'Content-Length': body.byteLength, ...(isolated && isolation) });
      response.end(body);
    } catch {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('Not found');
    }
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => new Promise((resolve) => server.close(() => resolve()).closeAllConnections()),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.argv[2] ?? 8080);
  const isolated = await servePage({ isolated: true, port });
  const plain = await servePage({ isolated: false, port: port === 0 ? 0 : port + 1 });
  console.log(`${isolated.url}  cross-origin isolated: threads\n${plain.url}  plain: one thread\n\nStop with Ctrl+C.`);
}
