// All test images, with the wrong answers marked.

import { percent } from './answer-view.ts';
import { best, type DigitModel, pixelCount, type TestSamples } from './digit-model.ts';
import { pixelCanvas } from './pixels.ts';

export class TestGrid {
  readonly #model: DigitModel;
  readonly #samples: TestSamples;
  readonly #section = document.querySelector<HTMLElement>('#tests')!;
  readonly #score = document.querySelector<HTMLElement>('#score')!;
  readonly #again = document.querySelector<HTMLButtonElement>('#again')!;
  readonly #cells: readonly HTMLElement[];

  /** @param onPick gets the image that the user chose, and what it is */
  constructor(model: DigitModel, samples: TestSamples, onPick: (pixels: Float32Array, label: number) => void) {
    this.#model = model;
    this.#samples = samples;
    this.#cells = Array.from(samples.labels, (label, at) => {
      const pixels = samples.images.subarray(at * pixelCount, (at + 1) * pixelCount);
      const cell = document.createElement('button');
      cell.type = 'button';
      cell.append(pixelCanvas(pixels));
      cell.addEventListener('click', () => onPick(pixels, label));
      return cell;
    });
    document.querySelector('#grid')!.replaceChildren(...this.#cells);
    this.#again.addEventListener('click', () => this.run());
  }

  /** One run over all images. */
  async run(): Promise<void> {
    const { images, labels } = this.#samples;
    this.#again.disabled = true;
    this.#section.dataset.state = 'running';
    const start = performance.now();
    const probabilities = await this.#model.classify(images);
    const elapsed = performance.now() - start;
    let right = 0;
    for (const [at, label] of labels.entries()) {
      const answer = best(probabilities, at * 10, 10);
      if (answer === label) right++;
      const cell = this.#cells[at];
      cell.dataset.answer = String(answer);
      cell.classList.toggle('wrong', answer !== label);
      cell.title = answer === label ? `${label}` : `${label}, read as ${answer}`;
    }
    this.#section.dataset.accuracy = String(right / labels.length);
    const time = `${elapsed.toFixed(1)} ms in one run, ${((elapsed * 1000) / labels.length).toFixed(0)} µs an image`;
    this.#score.textContent = `${right} read right (${percent(right / labels.length)}), ${time}.`;
    this.#section.dataset.state = 'done';
    this.#again.disabled = false;
  }
}
