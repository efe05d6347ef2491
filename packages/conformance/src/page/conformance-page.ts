// '@onnx-ts/conformance/page': the kit on a page of one's own. It fills an element with a form, the progress and the tables.

import type { ProviderFactory } from '@onnx-ts/core';
import {
  type CaseResult,
  type CaseSelection,
  type ConformanceReport,
  type Outcome,
  operatorRows,
  outcomes,
  runConformance,
  type SuiteId,
  suiteIds,
} from '../index.ts';
import { element, rowOf, tableOf } from './elements.ts';

/** Providers that can be chosen, by name. */
export type PageProviders = Readonly<Record<string, () => ProviderFactory | Promise<ProviderFactory>>>;

/** What the form begins with: what the address of the page says. */
interface Choices {
  readonly provider: string;
  readonly suites: readonly SuiteId[];
  readonly cases: number;
  readonly graphs: number;
  readonly seed: number;
  readonly filter: string;
}

/** Bad cases that are shown. */
const shownCases = 100;

export class ConformancePage {
  readonly #providers: PageProviders;
  readonly #selection: CaseSelection;
  readonly #form: HTMLFormElement;
  readonly #status: HTMLElement;
  readonly #bar: HTMLProgressElement;
  readonly #results: HTMLElement;
  #controller: AbortController | undefined;
  /** Of the last run, once it has ended. */
  report: ConformanceReport | undefined;

  /**
   * @param root is emptied
   * @param selection what the form does not ask for: cases of a list (`urlCases`), operators and families of one's own
   */
  constructor(root: HTMLElement, providers: PageProviders, selection: CaseSelection = {}) {
    this.#providers = providers;
    this.#selection = selection;
    this.#form = formOf(Object.keys(providers));
    this.#status = element('p', { id: 'status', role: 'status' }, 'Nothing has run yet.');
    this.#bar = element('progress', { value: '0', max: '1' });
    this.#results = element('div', { id: 'results' });
    root.replaceChildren(this.#form, this.#bar, this.#status, this.#results);
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (this.#controller) this.#controller.abort();
      else void this.run();
    });
  }

  /** Takes choices from a query such as `?provider=cpu&suites=contract,onnx&cases=1&run`; `run` starts at once. */
  useQuery(query: string): void {
    const given = new URLSearchParams(query);
    for (const name of ['provider', 'cases', 'graphs', 'seed', 'filter']) {
      const value = given.get(name);
      if (value !== null) (this.#form.elements.namedItem(name) as HTMLInputElement).value = value;
    }
    const suites = given.get('suites')?.split(',');
    if (suites) for (const box of this.#boxes()) box.checked = suites.includes(box.value);
    if (given.has('run')) void this.run();
  }

  /** Runs what the form says. Never throws: what goes wrong is shown. */
  async run(): Promise<void> {
    const { provider, suites, cases, graphs, seed, filter } = this.#choices();
    const button = this.#form.querySelector('button')!;
    this.#controller = new AbortController();
    button.textContent = 'Stop';
    this.#results.replaceChildren();
    this.report = undefined;
    document.documentElement.dataset.state = 'running';
    const live = new LiveTable();
    this.#results.append(live.table);
    try {
      const factory = await this.#providers[provider]();
      this.report = await runConformance(factory, {
        ...this.#selection,
        suites,
        perGenerator: cases,
        graphs,
        seed,
        ...(filter !== '' && { filter: (name: string) => name.includes(filter) }),
        signal: this.#controller.signal,
        onResult: (result, done, total) => {
          this.#bar.value = done / total;
          this.#status.textContent = `${done} of ${total}: ${result.suite}/${result.name}`;
          live.add(result);
        },
      });
      this.#show(this.report);
    } catch (error) {
      this.#status.textContent = String(error);
    }
    this.#controller = undefined;
    button.textContent = 'Run';
    document.documentElement.dataset.state = 'done';
  }

  #boxes(): HTMLInputElement[] {
    return [...this.#form.querySelectorAll<HTMLInputElement>('[name=suite]')];
  }

  #choices(): Choices {
    const value = (name: string): string => (this.#form.elements.namedItem(name) as HTMLInputElement).value;
    return {
      provider: value('provider'),
      suites: this.#boxes().flatMap((box) => (box.checked ? [box.value as SuiteId] : [])),
      cases: Number(value('cases')),
      graphs: Number(value('graphs')),
      seed: Number(value('seed')),
      filter: value('filter'),
    };
  }

  #show(report: ConformanceReport): void {
    const { provider, device, counts, findings, results, isComplete } = report;
    const bad = counts.fail + counts.error + findings.length;
    const end = isComplete ? '' : ' Stopped before the end.';
    this.#status.textContent = `${provider} (${device}): ${bad === 0 ? 'all as it should be' : `${bad} not as they should be`}.${end}`;
    const wrong = results.filter(({ outcome }) => outcome === 'fail' || outcome === 'error');
    if (findings.length > 0) this.#results.append(listOf('Findings', findings));
    if (wrong.length > 0) {
      const lines = wrong.slice(0, shownCases).map(({ suite, name, reason }) => `${suite}/${name}: ${reason}`);
      this.#results.append(listOf('Not as it should be', lines));
    }
    const rows = operatorRows(results);
    if (rows.length > 0) this.#results.append(operatorTable(rows));
    const json = new Blob([JSON.stringify(report, null, 1)], { type: 'application/json' });
    const link = element(
      'a',
      { href: URL.createObjectURL(json), download: `conformance-${provider}.json` },
      'Report as JSON',
    );
    this.#results.prepend(element('p', {}, link));
  }
}

/** Counts by suite that grow while cases run. */
class LiveTable {
  readonly table = tableOf(['suite', ...outcomes], []);
  readonly #cells = new Map<SuiteId, Record<Outcome, HTMLElement>>();

  add({ suite, outcome }: CaseResult): void {
    let cells = this.#cells.get(suite);
    if (!cells) {
      const made = outcomes.map((name): [Outcome, HTMLElement] => [name, element('td', { 'data-outcome': name }, '0')]);
      cells = Object.fromEntries(made) as Record<Outcome, HTMLElement>;
      this.#cells.set(suite, cells);
      this.table.tBodies[0].append(element('tr', {}, element('th', { scope: 'row' }, suite), ...Object.values(cells)));
    }
    cells[outcome].textContent = String(Number(cells[outcome].textContent) + 1);
    cells[outcome].className = outcome;
  }
}

function operatorTable(rows: ReturnType<typeof operatorRows>): HTMLElement {
  const body = rows.map(({ op, counts, opsets, dtypes, reasons }) => {
    const bad = counts.fail + counts.error > 0;
    const why = counts.pass === 0 || bad ? (reasons[0] ?? '') : '';
    const row = rowOf([
      op,
      ...outcomes.map((name) => (counts[name] ? String(counts[name]) : '')),
      opsets.join(' '),
      dtypes.join(' '),
      why,
    ]);
    row.className = bad ? 'fail' : counts.pass > 0 ? 'pass' : '';
    return row;
  });
  const table = tableOf(['operator', ...outcomes, 'opsets', 'types', 'why'], body);
  table.id = 'operators';
  return element('section', {}, element('h2', {}, `${rows.length} operators`), table);
}

function listOf(title: string, lines: readonly string[]): HTMLElement {
  return element(
    'section',
    {},
    element('h2', {}, title),
    element('ul', {}, ...lines.map((line) => element('li', {}, line))),
  );
}

function formOf(providers: readonly string[]): HTMLFormElement {
  const number = (name: string, label: string, value: string): HTMLElement =>
    element('label', {}, `${label} `, element('input', { name, type: 'number', min: '0', value }));
  const boxes = suiteIds.map((suite) =>
    element('label', {}, element('input', { name: 'suite', type: 'checkbox', value: suite, checked: '' }), ` ${suite}`),
  );
  const options = providers.map((name) => element('option', { value: name }, name));
  return element(
    'form',
    {},
    element('label', {}, 'Provider ', element('select', { name: 'provider' }, ...options)),
    element('fieldset', {}, element('legend', {}, 'Suites'), ...boxes),
    number('cases', 'Cases of each generator', '1'),
    number('graphs', 'Graphs to split', '40'),
    number('seed', 'Seed', '1'),
    element('label', {}, 'Only names with ', element('input', { name: 'filter', type: 'text', value: '' })),
    element('button', {}, 'Run'),
  );
}
