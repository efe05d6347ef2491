// Long runs of random cases:
//
//   npm run fuzz -w @onnx-ts/conformance -- --family conv --cases 5000 --seed 1 --against cpu
//
// --family all, or several separated by commas; --only Conv takes one generator of the family; --against cpu, cpu2 (two
// threads), webgpu, webgpu-hardware or onnxruntime-node; --choices 1,2,3 repeats one recorded case; --stop N ends a family after N findings.

import { parseArgs } from 'node:util';
import { CaseProcess } from './case-process.ts';
import { families } from './families.ts';
import { knownDifference } from './known-differences.ts';
import type { CaseSource } from './make-case.ts';
import type { Outcome, Verdict } from './run-cases.ts';
import { type RuntimeId, runtimeIds } from './runtimes.ts';
import { shrink } from './shrink.ts';

const { values } = parseArgs({
  options: {
    family: { type: 'string', default: 'all' },
    only: { type: 'string' },
    cases: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    against: { type: 'string', default: 'cpu' },
    choices: { type: 'string' },
    stop: { type: 'string', default: '1000' },
    trials: { type: 'string', default: '250' },
    seconds: { type: 'string', default: '100000' },
    verbose: { type: 'boolean', default: false },
  },
});
const against = values.against as RuntimeId;
if (!runtimeIds.includes(against)) throw new TypeError(`--against takes ${runtimeIds.join(', ')}`);
const child = new CaseProcess(against);
const only = values.only === undefined ? {} : { only: values.only };

if (values.choices !== undefined) {
  const choices = values.choices.split(',').map(Number);
  report(await child.run({ family: values.family, seed: 0, choices, ...only }), '');
  child.stop();
} else {
  console.log(`seed ${values.seed}, against ${against}`);
  const names = values.family === 'all' ? families.map((family) => family.name) : values.family.split(',');
  for (const name of names) await runFamily(name);
  child.stop();
}

async function runFamily(family: string): Promise<void> {
  const counts: Record<Outcome | 'known', number> = {
    pass: 0,
    known: 0,
    fail: 0,
    unsupported: 0,
    error: 0,
    timeout: 0,
  };
  const seen = new Map<string, number>();
  const unsupported = new Map<string, number>();
  const passed = new Set<string>();
  const start = performance.now();
  let findings = 0;
  for (let at = 0; at < Number(values.cases); at++) {
    if (performance.now() - start > Number(values.seconds) * 1000) break;
    const source: CaseSource = { family, seed: Number(values.seed) + at, ...only };
    const verdict = await child.run(source);
    if (verdict.outcome === 'pass') passed.add(verdict.op);
    if (verdict.outcome === 'pass' || verdict.outcome === 'unsupported') {
      counts[verdict.outcome]++;
      if (verdict.outcome === 'unsupported') {
        unsupported.set(verdict.op, (unsupported.get(verdict.op) ?? 0) + 1);
        if (values.verbose) report(verdict, `seed ${source.seed}`);
      }
      continue;
    }
    if (knownDifference(against, verdict)) {
      counts.known++;
      continue;
    }
    counts[verdict.outcome]++;
    // The first few of a kind are enough.
    const kind = `${verdict.op} ${verdict.outcome} ${kindText(verdict.reason)}`;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    if (seen.get(kind)! > 2) continue;
    const isCrash = verdict.outcome === 'timeout' || verdict.reason.startsWith('the process ended');
    const trials = isCrash ? Math.min(30, Number(values.trials)) : Number(values.trials);
    report(await shrink(child, source, verdict, trials), `seed ${source.seed}`);
    if (++findings >= Number(values.stop)) break;
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const text = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`);
  console.log(`${family}: ${text.join(', ')}; ${seconds} s`);
  const never = [...unsupported].filter(([op]) => !passed.has(op)).map(([op]) => op);
  if (never.length > 0) console.log(`  never passed, unsupported: ${never.join(' ')}`);
}

/** What is the same in the reasons of equal findings. */
function kindText(reason: string): string {
  return reason.replaceAll(/input shapes .*?: |\[.*?\]|".*?"|\d\S*/g, '').slice(0, 70);
}

function report(verdict: Verdict, label: string): void {
  const indented = verdict.text.replaceAll('\n', '\n    ');
  console.log(
    `--- ${verdict.outcome} ${verdict.op} ${label}\n    ${verdict.reason}\n    ${indented}\n    --choices ${verdict.choices.join(',')}`,
  );
}
