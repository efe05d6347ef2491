// Classifies an image of a digit, then the 360 test images of the model:
//
//   node classify.mjs [image.png]      a grey image of 8 × 8 pixels; data/ has one of each digit

import { relative, resolve } from 'node:path';
import { createSession, Tensor } from 'onnx-ts';
import { best, examplePath, meta, modelPath, readImage, testSamples } from './samples.mjs';

// npm runs this in its own folder and tells where the user was.
const from = process.env.INIT_CWD ?? '.';
const path = process.argv[2] ? resolve(from, process.argv[2]) : examplePath(3);
const image = readImage(path);

const session = await createSession(modelPath);
const { probabilities } = await session.run({ image: new Tensor('float32', image, [1, 1, 8, 8]) });

console.log(`\n${relative(from, path)}\n`);
console.log(sideBySide(pictureLines(image), barLines(probabilities.data)));
const digit = best(probabilities.data);
console.log(`\nThe digit is ${meta.labels[digit]}: ${percent(probabilities.data[digit])} sure.\n`);

const { images, labels } = testSamples();
const samples = new Tensor('float32', images, [labels.length, 1, 8, 8]);
await session.run({ image: samples });
const start = performance.now();
const { probabilities: all } = await session.run({ image: samples });
const elapsed = performance.now() - start;
const right = labels.filter((label, at) => best(all.data, at * 10, 10) === label).length;
const [{ id, device }] = session.explain().providers;
console.log(
  `All ${labels.length} test images: ${right} right (${percent(right / labels.length)}), ` +
    `${elapsed.toFixed(1)} ms, ${((elapsed * 1000) / labels.length).toFixed(0)} µs an image.`,
);
console.log(`Provider ${id}: ${device}.\n`);
await session.dispose();

function percent(fraction) {
  return `${(fraction * 100).toFixed(1)} %`;
}

/** One line a row, two characters a pixel. */
function pictureLines(pixels) {
  const shades = ' ░▒▓█';
  return Array.from({ length: 8 }, (_, row) => {
    const line = Array.from(pixels.subarray(row * 8, row * 8 + 8), (pixel) => shades[Math.round(pixel * 4)].repeat(2));
    return `│${line.join('')}│`;
  });
}

/** One line a digit. */
function barLines(values) {
  const width = 30;
  const winner = best(values);
  return Array.from(values, (value, at) => {
    const bar = '█'.repeat(Math.round(value * width)).padEnd(width, '·');
    return `${meta.labels[at]} ${bar} ${percent(value).padStart(7)}${at === winner ? ' ◀' : ''}`;
  });
}

function sideBySide(left, right) {
  const edge = '─'.repeat(16);
  const box = [`┌${edge}┐`, ...left, `└${edge}┘`];
  return box.map((line, at) => `  ${line}   ${right[at] ?? ''}`).join('\n');
}
