export type { RandomCase, Tolerance } from './case.ts';
export { families } from './families.ts';
export { type CaseSource, judge, makeCase, type Verdict } from './run-cases.ts';
export { type RuntimeId, runtimeIds } from './runtimes.ts';
