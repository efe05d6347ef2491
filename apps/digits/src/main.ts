// Puts the page together: the pad and the samples on the left, the answer on the right, the test images below.
// The address may end in `?threads=2`.

import { AnswerView } from './answer-view.ts';
import { DigitModel, loadTestSamples, pixelCount, type Runtime } from './digit-model.ts';
import { pixelCanvas, readImage, showPixels } from './pixels.ts';
import { SketchPad } from './sketch-pad.ts';
import { TestGrid } from './test-grid.ts';

const answer = new AnswerView();
const seen = document.querySelector<HTMLCanvasElement>('#seen')!;
const hint = document.querySelector<HTMLElement>('#hint')!;
const sampleRow = document.querySelector<HTMLElement>('#samples')!;
const runtimeBox = document.querySelector<HTMLElement>('#runtime')!;

try {
  const threads = new URLSearchParams(location.search).get('threads');
  const model = await DigitModel.load(threads ? Number(threads) : undefined);
  showRuntime(model.runtime);

  const classify = latestOnly(async (pixels: Float32Array, truth?: number) => {
    answer.show(await model.classify(pixels), truth);
  });
  const clear = (): void => {
    pad.clear();
    hint.hidden = false;
    markSample(undefined);
    showPixels(seen, new Float32Array(pixelCount));
    answer.clear();
  };
  const pick = (pixels: Float32Array, truth: number, button?: HTMLElement): void => {
    pad.show(pixels);
    hint.hidden = true;
    markSample(button);
    showPixels(seen, pixels);
    classify(pixels, truth);
  };
  const pad = new SketchPad(document.querySelector('#pad')!, (pixels) => {
    hint.hidden = true;
    markSample(undefined);
    showPixels(seen, pixels);
    classify(pixels);
  });
  document.querySelector('#clear')!.addEventListener('click', clear);
  clear();

  for (let digit = 0; digit < 10; digit++) {
    const pixels = await readImage(`data/${digit}.png`);
    const button = document.createElement('button');
    button.type = 'button';
    button.ariaLabel = `Sample of a ${digit}`;
    button.append(pixelCanvas(pixels));
    button.addEventListener('click', () => pick(pixels, digit, button));
    sampleRow.append(button);
  }

  const tests = new TestGrid(model, await loadTestSamples(), pick);
  // The first run meets code that the engine has not optimised yet.
  await tests.run();
  await tests.run();
} catch (error) {
  runtimeBox.dataset.threads = 'none';
  setRuntime('The model cannot run here', (error as Error).message);
  throw error;
}

/** Calls while one is under way wait for it; only the last of them happens. */
function latestOnly<Arguments extends unknown[]>(act: (...given: Arguments) => Promise<void>) {
  let next: Arguments | undefined;
  let isBusy = false;
  return async (...given: Arguments): Promise<void> => {
    next = given;
    if (isBusy) return;
    isBusy = true;
    while (next) {
      const current: Arguments = next;
      next = undefined;
      await act(...current);
    }
    isBusy = false;
  };
}

function markSample(pressed: HTMLElement | undefined): void {
  for (const button of sampleRow.children) button.ariaPressed = String(button === pressed);
}

function showRuntime({ device, note }: Runtime): void {
  runtimeBox.dataset.threads = note ? 'one' : 'many';
  setRuntime(device, note ?? 'The page is cross-origin isolated, so threads can share memory.');
}

function setRuntime(threads: string, reason: string): void {
  runtimeBox.querySelector('.threads')!.textContent = threads;
  runtimeBox.querySelector('.reason')!.textContent = reason;
}
