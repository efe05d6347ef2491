import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

const files = {
  'passes.test.mjs': `it('a', () => {}); it('b', () => {}); it.skip('c', () => {});`,
  'fails.test.mjs': `it('a', () => { throw new Error('wrong'); }); it('b', () => {});`,
  'does-not-load.test.mjs': `import './missing.mjs'; it('a', () => {});`,
  'hook.test.mjs': `describe('suite', () => { beforeAll(() => { throw new Error('no'); }); it('a', () => {}); });`,
};

/** Last line of a run over the files, and its exit code. */
function run(names: readonly (keyof typeof files)[]) {
  const folder = mkdtempSync(join(root, 'node_modules', '.count-reporter-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of names) writeFileSync(join(folder, name), files[name]);
  writeFileSync(
    join(folder, 'vitest.config.mjs'),
    `export default { test: { globals: true, include: ['*.test.mjs'] } };`,
  );
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporter = join(root, 'scripts', 'count-reporter.ts');
  const args = [vitest, 'run', '--root', folder, `--reporter=${reporter}`];
  const { stdout, status } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  const written = readFileSync(join(folder, '.cache', 'test-counts.txt'), 'utf8');
  expect(stdout.trimEnd().split('\n').at(-1)).toBe(written.trimEnd());
  return { line: written.trimEnd(), status };
}

it('counts passes and skips', () => {
  expect(run(['passes.test.mjs'])).toEqual({ line: '2 passed, 0 failed, 1 skipped', status: 0 });
});

it('counts failures, files that do not load, and hooks that fail', () => {
  const { line, status } = run(['passes.test.mjs', 'fails.test.mjs', 'does-not-load.test.mjs', 'hook.test.mjs']);
  expect(line).toBe('3 passed, 3 failed, 2 skipped');
  expect(status).toBe(1);
});
