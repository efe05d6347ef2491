// The coverage table as Markdown: operator × operator set × provider. The same results give the same text.

import type { Outcome } from '../cases/run-case.ts';
import type { UsedOperator } from './case-operators.ts';

export interface CaseResult {
  /** `suite/…/case`. */
  readonly name: string;
  readonly operators: readonly UsedOperator[];
  /** By provider; absent where the case was left out. */
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

/** An operator of the registry. */
export interface KnownOperator {
  readonly domain: string;
  readonly name: string;
  /** Operator sets with which its meaning changed, ascending. */
  readonly versions: readonly number[];
}

interface Counts {
  pass: number;
  fail: number;
  unsupported: number;
}

/** Cases about one meaning of an operator. */
interface VersionRow {
  readonly since: number;
  cases: number;
  /** Operator sets that the cases import. */
  first: number;
  last: number;
  readonly byProvider: Map<string, Counts>;
}

const introduction = `Made by \`onnx-ts coverage\`, which runs ONNX's backend tests; not written by hand. To bring it up to date:

    onnx-ts coverage FOLDER --output docs/coverage.md

A case belongs to the operator of its only node, and to each of its operators when its graph has several nodes. _Cases_
groups them by the operator sets that their models import: \`7–12: 5\` means five cases with an operator set from 7 to 12,
in all of which the operator means the same. In the columns of providers a number means that so many cases pass and that
none does anything else; an operator whose cases fail for the fault of another one beside it counts as failing too.`;

const legend = `A _fail_ is a wrong result or an error, _unsupported_ an operator, type or attribute that is missing. The interpreter
leaves \`light\` out, and counts less for its operators: an image classifier in full size takes it minutes.`;

export function coverageReport(
  results: readonly CaseResult[],
  providers: readonly string[],
  known: readonly KnownOperator[],
): string {
  const versions = new Map(known.map((operator) => [keyOf(operator), operator.versions]));
  const operators = new Map<string, Map<number, VersionRow>>();
  for (const result of results) {
    for (const operator of result.operators) countCase(operators, versions, operator, result);
  }
  const untested = known.filter((operator) => !operators.has(keyOf(operator)));
  const domains = [...new Set([...operators.keys()].map((key) => key.slice(0, key.indexOf(':'))))].sort(compareText);
  const sections = [
    `# Operator coverage\n\n${introduction}`,
    `## Suites\n\n${legend}\n\n${suiteTable(results, providers)}`,
    ...domains.map((domain) => domainSection(domain, operators, providers)),
    untestedSection(untested),
    failureSection(results, providers),
  ];
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

const keyOf = ({ domain, name }: { readonly domain: string; readonly name: string }): string => `${domain}:${name}`;

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const domainName = (domain: string): string => domain || 'ai.onnx';

function newCounts(providers: readonly string[]): Map<string, Counts> {
  return new Map(providers.map((provider) => [provider, { pass: 0, fail: 0, unsupported: 0 }]));
}

function count(byProvider: Map<string, Counts>, { outcomes }: CaseResult): void {
  for (const [provider, outcome] of Object.entries(outcomes)) {
    const counts = byProvider.get(provider) ?? { pass: 0, fail: 0, unsupported: 0 };
    counts[outcome === 'error' ? 'fail' : outcome]++;
    byProvider.set(provider, counts);
  }
}

function countCase(
  operators: Map<string, Map<number, VersionRow>>,
  versions: ReadonlyMap<string, readonly number[]>,
  operator: UsedOperator,
  result: CaseResult,
): void {
  const key = keyOf(operator);
  const since = versions.get(key)?.findLast((version) => version <= operator.opset) ?? 0;
  const rows = operators.get(key) ?? new Map<number, VersionRow>();
  const row = rows.get(since) ?? { since, cases: 0, first: Infinity, last: 0, byProvider: new Map() };
  row.cases++;
  row.first = Math.min(row.first, operator.opset);
  row.last = Math.max(row.last, operator.opset);
  count(row.byProvider, result);
  rows.set(since, row);
  operators.set(key, rows);
}

function domainSection(
  domain: string,
  operators: ReadonlyMap<string, ReadonlyMap<number, VersionRow>>,
  providers: readonly string[],
): string {
  const names = [...operators.keys()].filter((key) => key.startsWith(`${domain}:`)).sort(compareText);
  const rows = names.map((key) => {
    const versions = [...operators.get(key)!.values()].sort((a, b) => a.since - b.since);
    const cases = versions.map((row) => `${rangeText(row)}: ${row.cases}`).join(' · ');
    return [key.slice(domain.length + 1), cases, ...providers.map((provider) => outcomeText(versions, provider))];
  });
  return `## ${domainName(domain)}\n\n${table(['operator', 'cases', ...providers], rows, 2)}`;
}

function rangeText({ first, last }: VersionRow): string {
  return first === last ? String(first) : `${first}–${last}`;
}

/** `40`, or `38, fail 1 (7–12), unsupported 1 (13)`. */
function outcomeText(versions: readonly VersionRow[], provider: string): string {
  const counts = versions.map((row) => row.byProvider.get(provider));
  if (counts.every((item) => item === undefined)) return '–';
  const parts = [String(counts.reduce((sum, item) => sum + (item?.pass ?? 0), 0))];
  for (const outcome of ['fail', 'unsupported'] as const) {
    for (const [at, item] of counts.entries()) {
      if (item && item[outcome] > 0) parts.push(`${outcome} ${item[outcome]} (${rangeText(versions[at])})`);
    }
  }
  return parts.join(', ');
}

function suiteTable(results: readonly CaseResult[], providers: readonly string[]): string {
  const suites = new Map<string, { cases: number; byProvider: Map<string, Counts> }>();
  const all = { cases: 0, byProvider: newCounts(providers) };
  for (const result of results) {
    const name = result.name.split('/', 1)[0];
    const suite = suites.get(name) ?? { cases: 0, byProvider: new Map() };
    suites.set(name, suite);
    for (const entry of [suite, all]) {
      entry.cases++;
      count(entry.byProvider, result);
    }
  }
  const rows = [...[...suites].sort(([a], [b]) => compareText(a, b)), ['all', all] as const].map(([name, suite]) => [
    name,
    String(suite.cases),
    ...providers.map((provider) => suiteText(suite.byProvider.get(provider))),
  ]);
  return table(['suite', 'cases', ...providers], rows, 1);
}

function suiteText(counts: Counts | undefined): string {
  if (!counts) return 'left out';
  const { pass, fail, unsupported } = counts;
  return `${pass} pass, ${fail} fail, ${unsupported} unsupported`;
}

function untestedSection(untested: readonly KnownOperator[]): string {
  if (untested.length === 0) return '';
  const byDomain = new Map<string, string[]>();
  for (const { domain, name } of untested) byDomain.set(domain, [...(byDomain.get(domain) ?? []), name]);
  const lines = [...byDomain]
    .sort(([a], [b]) => compareText(a, b))
    .map(([domain, names]) => `**${domainName(domain)}** (${names.length}): ${names.sort(compareText).join(', ')}`);
  const text = 'No case of the suite uses these: what holds them is the tests and random cases of this repository.';
  return `## Operators without an official case\n\n${text}\n\n${lines.join('\n\n')}`;
}

function failureSection(results: readonly CaseResult[], providers: readonly string[]): string {
  const failures = results.filter(({ outcomes }) => Object.values(outcomes).some((outcome) => outcome !== 'pass'));
  if (failures.length === 0) return '';
  const rows = [...failures]
    .sort((a, b) => compareText(a.name, b.name))
    .map(({ name, outcomes }) => [name, ...providers.map((provider) => shownOutcome(outcomes[provider]))]);
  return `## Cases that do not pass\n\n${table(['case', ...providers], rows, Infinity)}`;
}

function shownOutcome(outcome: Outcome | undefined): string {
  return outcome === undefined ? 'left out' : outcome === 'error' ? 'fail' : outcome;
}

/** @param right first column that is aligned to the right */
function table(header: readonly string[], rows: readonly (readonly string[])[], right: number): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map((_, at) => (at >= right ? '--:' : ':--'))), ...rows.map(line)].join('\n');
}
