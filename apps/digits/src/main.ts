// Puts the page together: the pad and the samples on the left, the answer on the right, the test images below.

import { AnswerView } from './answer-view.ts';
import { DigitModel, loadTestSamples, type Runtime } from './digit-model.ts';
import { pixelCanvas, readImage, showPixels } from './pixels.ts';
import { SketchPad } from './sketch-pad.ts';
import { TestGrid } from './test-grid.ts';

const answer = new AnswerView();
const seen = document.querySelector<HTMLCanvasElement>('#seen')!;
const hint = document.querySelector<HTMLElement>('#hint')!;
const sampleRow = document.querySelector<HTMLElement>('#samples')!;
const runtimeBox = document.querySelector<HTMLElement>('#runtime')!;

try {
  const model = await DigitModel.load();
  showRuntime(model.runtime);

  /** Runs are in order, so the last one shown is the last one asked for. */
  const classify = async (pixels: Float32Array, truth?: number): Promise<void> => {
    showPixels(seen, pixels);
    answer.show(await model.classify(pixels), truth);
  };
  const pad = new SketchPad(document.querySelector('#pad')!, (pixels) => {
    markSample(undefined);
    hint.hidden = true;
    if (pixels) void classify(pixels);
  });
  const clear = (): void => {
    pad.clear();
    hint.hidden = false;
    markSample(undefined);
    showPixels(seen, new Float32Array(64));
    answer.clear();
  };
  document.querySelector('#clear')!.addEventListener('click', clear);
  clear();

  for (let digit = 0; digit < 10; digit++) {
    const pixels = await readImage(`data/${digit}.png`);
    const button = document.createElement('button');
    button.type = 'button';
    button.ariaLabel = `Sample of a ${digit}`;
    button.append(pixelCanvas(pixels));
    button.addEventListener('click', () => {
      clear();
      markSample(button);
      void classify(pixels, digit);
    });
    sampleRow.append(button);
  }

  const tests = new TestGrid(model, await loadTestSamples(), (pixels, label) => {
    clear();
    void classify(pixels, label);
  });
  // The first run meets code that the engine has not optimised yet.
  await tests.run();
  await tests.run();
} catch (error) {
  runtimeBox.dataset.threads = 'none';
  setRuntime('The model cannot run here', (error as Error).message);
  throw error;
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
