// The table that `onnx-ts test` prints: counts by outcome, and reasons with the cases they stopped.

import { formatTable, plural } from '../terminal/table.ts';
import type { Outcome } from './run-case.ts';

/** One record of `--json`. */
export interface CaseRecord {
  readonly case: string;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly ms: number;
}

const outcomes: readonly Outcome[] = ['pass', 'fail', 'unsupported', 'error'];

/** Cases named for one reason. */
const shownCases = 4;

/** Wrong results that are told one by one. */
const shownFailures = 40;

/** @param skipped cases that were not reached */
export function reportText(records: readonly CaseRecord[], skipped: number): string {
  const of = (outcome: Outcome): CaseRecord[] => records.filter((record) => record.outcome === outcome);
  const sections = outcomes
    .filter((outcome) => outcome !== 'pass' && of(outcome).length > 0)
    .map((outcome) => `${outcome}\n${outcome === 'fail' ? failuresText(of(outcome)) : reasonsText(of(outcome))}`);
  const noted = of('pass').filter((record) => record.reason !== '');
  const note = noted.length > 0 ? ` ${plural(noted.length, 'case')} by type and shape alone ${noted[0].reason}` : '';
  const counts = outcomes.map((outcome) => [
    outcome,
    String(of(outcome).length),
    `${(of(outcome).reduce((sum, record) => sum + record.ms, 0) / 1000).toFixed(1)} s${outcome === 'pass' ? note : ''}`,
  ]);
  const passed = of('pass').length;
  const last = `${passed} passed, ${records.length - passed} failed, ${skipped} skipped`;
  return [...sections, formatTable(counts, [1]), last].join('\n\n');
}

/** Each wrong result is a matter of its own. */
function failuresText(records: readonly CaseRecord[]): string {
  const lines = records.slice(0, shownFailures).map((record) => `  ${record.case}\n       ${oneLine(record.reason)}`);
  if (records.length > shownFailures) lines.push(`  and ${records.length - shownFailures} more`);
  return lines.join('\n');
}

/** Most frequent reason first. Reasons that differ in numbers and names alone are one. */
function reasonsText(records: readonly CaseRecord[]): string {
  const groups = new Map<string, CaseRecord[]>();
  for (const record of records) {
    const key = patternOf(record.reason);
    const group = groups.get(key);
    if (group) group.push(record);
    else groups.set(key, [record]);
  }
  return [...groups.values()]
    .sort((a, b) => b.length - a.length)
    .map((group) => {
      const names = group.slice(0, shownCases).map((record) => record.case);
      const more = group.length > shownCases ? `, and ${group.length - shownCases} more` : '';
      return `${String(group.length).padStart(5)}  ${oneLine(group[0].reason)}\n       ${names.join(', ')}${more}`;
    })
    .join('\n');
}

function patternOf(reason: string): string {
  return reason
    .replace(/node "[^"]*"|"[^"]*"/g, '"…"')
    .replace(/[-+]?\d[\d.]*(?:e[-+]?\d+)?|\bNaN\b|-?\bInfinity\b/g, '0')
    .replace(/(?:0, )+0/g, '0')
    .replace(/\[[^\]]*\]/g, '[…]');
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > 400 ? `${line.slice(0, 397)}...` : line;
}
