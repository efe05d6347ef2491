// The table of operators: what came out for each, by operator set and element type.

import { type CaseResult, type Outcome, outcomes } from '../result.ts';
import type { ConformanceReport } from '../run-conformance.ts';

export interface OperatorRow {
  readonly op: string;
  readonly counts: Readonly<Record<Outcome, number>>;
  /** Operator sets and element types of cases that passed. */
  readonly opsets: readonly number[];
  readonly dtypes: readonly string[];
  /** Why cases did not pass: each reason once, the most frequent first. */
  readonly reasons: readonly string[];
}

/** One row for each operator that a case is about, by name. */
export function operatorRows(results: readonly CaseResult[]): OperatorRow[] {
  const byOp = new Map<string, CaseResult[]>();
  for (const result of results) {
    if (result.op === undefined) continue;
    const list = byOp.get(result.op);
    if (list) list.push(result);
    else byOp.set(result.op, [result]);
  }
  return [...byOp].sort(([a], [b]) => (a < b ? -1 : 1)).map(([op, own]) => rowOf(op, own));
}

function rowOf(op: string, results: readonly CaseResult[]): OperatorRow {
  const passed = results.filter(({ outcome }) => outcome === 'pass');
  const opsets = new Set(passed.flatMap(({ opset }) => opset ?? []));
  const dtypes = new Set(passed.flatMap(({ dtype }) => dtype ?? []));
  const reasons = new Map<string, number>();
  for (const { outcome, reason } of results) {
    if (outcome === 'pass') continue;
    const line = firstLine(reason);
    reasons.set(line, (reasons.get(line) ?? 0) + 1);
  }
  return {
    op,
    counts: countsOf(results),
    opsets: [...opsets].sort((a, b) => a - b),
    dtypes: [...dtypes].sort(),
    reasons: [...reasons].sort(([, a], [, b]) => b - a).map(([reason]) => reason),
  };
}

export function countsOf(results: readonly CaseResult[]): Record<Outcome, number> {
  const counts = Object.fromEntries(outcomes.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
  for (const { outcome } of results) counts[outcome]++;
  return counts;
}

/** The report as Markdown: suites, findings, what failed, and the table. */
export function reportMarkdown(report: ConformanceReport): string {
  const suites = [...new Set(report.results.map(({ suite }) => suite))].map((suite) => {
    const counts = countsOf(report.results.filter((result) => result.suite === suite));
    return `| ${suite} | ${outcomes.map((outcome) => counts[outcome]).join(' | ')} |`;
  });
  const bad = report.results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error');
  const rows = operatorRows(report.results).map(({ op, counts, opsets, dtypes, reasons }) => {
    const [first, last] = [opsets[0], opsets.at(-1)];
    const range = first === undefined ? '' : first === last ? String(first) : `${first} to ${last}`;
    const why = counts.pass === 0 ? (reasons[0] ?? '') : '';
    return `| ${op} | ${outcomes.map((outcome) => counts[outcome] || '').join(' | ')} | ${range} | ${dtypes.join(', ')} | ${cell(why)} |`;
  });
  const head = outcomes.join(' | ');
  const rule = outcomes.map(() => '---:').join(' | ');
  return [
    `# Conformance of ${report.provider} (${report.device})`,
    `| suite | ${head} |\n| --- | ${rule} |\n${suites.join('\n')}`,
    ...(report.findings.length > 0 ? [`## Findings\n\n${report.findings.map((item) => `- ${item}`).join('\n')}`] : []),
    ...(bad.length > 0 ? [`## Not as it should be\n\n${bad.map(badLine).join('\n')}`] : []),
    ...(rows.length > 0
      ? [
          `## Operators\n\n| operator | ${head} | opsets | types | why none passed |\n| --- | ${rule} | --- | --- | --- |\n${rows.join('\n')}`,
        ]
      : []),
  ].join('\n\n');
}

function badLine({ suite, name, outcome, reason }: CaseResult): string {
  return `- ${outcome}: ${suite}/${name}: ${cell(firstLine(reason))}`;
}

function firstLine(text: string): string {
  const [line] = text.split('\n');
  return line.length > 200 ? `${line.slice(0, 197)}...` : line;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ');
}
