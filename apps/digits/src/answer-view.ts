// The verdict in large, and a bar for each digit.

import { best } from './digit-model.ts';

interface Bar {
  readonly row: HTMLElement;
  readonly fill: HTMLElement;
  readonly value: HTMLElement;
}

export class AnswerView {
  readonly #digit = document.querySelector<HTMLOutputElement>('#digit')!;
  readonly #certainty = document.querySelector<HTMLElement>('#certainty')!;
  readonly #bars: readonly Bar[];

  constructor() {
    const list = document.querySelector('#bars')!;
    this.#bars = Array.from({ length: 10 }, (_, digit) => {
      const row = document.createElement('li');
      const label = span('label', String(digit));
      const track = span('track');
      const fill = span('fill');
      const value = span('value');
      track.append(fill);
      row.append(label, track, value);
      list.append(row);
      return { row, fill, value };
    });
    this.clear();
  }

  clear(): void {
    this.#digit.value = '–';
    this.#certainty.textContent = 'Draw a digit, or take one of the samples.';
    for (const { row, fill, value } of this.#bars) {
      row.className = '';
      fill.style.width = '0';
      value.textContent = '';
    }
  }

  /** @param truth the digit that it is meant to be, where that is known */
  show(probabilities: Float32Array, truth?: number): void {
    const winner = best(probabilities);
    this.#digit.value = String(winner);
    const sure = `${percent(probabilities[winner])} sure`;
    const meant = truth === undefined || truth === winner ? '' : ` It was meant to be a ${truth}.`;
    this.#certainty.textContent = `The network is ${sure}.${meant}`;
    for (const [digit, { row, fill, value }] of this.#bars.entries()) {
      row.className = digit === winner ? 'best' : '';
      fill.style.width = percent(probabilities[digit]);
      value.textContent = percent(probabilities[digit]);
    }
  }
}

export function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)}%`;
}

function span(className: string, text = ''): HTMLElement {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = text;
  return element;
}
