// '@onnx-ts/conformance': the kit that authors of providers run. Nothing here needs Node; '@onnx-ts/conformance/node' reads
// cases from folders and runs them in a process of their own.

export type { Family, Feeds, RandomCase, Tolerance } from './case.ts';
export { CaseBuilder } from './case-builder.ts';
export type { LosableProvider } from './contract/trial.ts';
export { families } from './families.ts';
export { float, floats } from './graph-builder.ts';
export { type Badge, badgeOf } from './report/badge.ts';
export { type OperatorRow, operatorRows, reportMarkdown } from './report/operator-table.ts';
export {
  type CaseResult,
  type ConformanceCase,
  type Judgement,
  type Outcome,
  outcomes,
  type SuiteId,
  suiteIds,
} from './result.ts';
export {
  type CaseSelection,
  type ConformanceOptions,
  type ConformanceReport,
  conformanceCases,
  runCase,
  runConformance,
} from './run-conformance.ts';
export type { StoredCase, StoredData, StoredDataSet, StoredTolerance } from './stored/stored-case.ts';
export { type CaseIndexEntry, urlCases } from './stored/url-cases.ts';
