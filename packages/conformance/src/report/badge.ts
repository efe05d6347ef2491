// The report as a badge: the JSON that shields.io reads from an endpoint.

import type { ConformanceReport } from '../run-conformance.ts';
import { operatorRows } from './operator-table.ts';

export interface Badge {
  readonly schemaVersion: 1;
  readonly label: string;
  readonly message: string;
  readonly color: string;
}

export function badgeOf(report: ConformanceReport): Badge {
  const { pass, fail, error } = report.counts;
  const operators = operatorRows(report.results).filter(
    ({ counts }) => counts.pass > 0 && counts.fail + counts.error === 0,
  );
  const bad = fail + error + report.findings.length;
  const message =
    bad > 0 ? `${bad} of ${pass + bad} not as they should be` : `${operators.length} operators, ${pass} cases`;
  const color = bad > 0 ? 'red' : report.isComplete ? 'brightgreen' : 'yellow';
  return { schemaVersion: 1, label: 'onnx-ts conformance', message, color };
}
