// Figures of docs/cpu-kernels.md from the results: the kernels of the profiled models under the roofs of the machine, as an
// SVG, and the table between the marks in the text.
//
//   node benchmarks/cpu/figures.mjs [results/cpu.json] [docs]

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository, results } from '../places.mjs';
import { meansText, timesText } from './report.mjs';

const [input = join(results, 'cpu.json'), docs = join(repository, 'docs')] = process.argv.slice(2);
const drawing = join(docs, 'cpu-roofline.svg');
const text = join(docs, 'cpu-kernels.md');
const marks = ['<!-- table: made by benchmarks/cpu/figures.mjs -->', '<!-- end of table -->'];

const width = 860;
const height = 520;
const frame = { left: 62, top: 24, right: 836, bottom: 458 };
/** Operations per byte, and GFLOP/s. */
const range = { x: [0.1, 2000], y: [1, 400] };
const colors = {
  winograd: '#7b3fa0',
  product: '#1f6fb4',
  attention: '#d1495b',
  window: '#2a9d5c',
  row: '#e08a1e',
  pointwise: '#8a8f98',
  'packed product': '#0b8f8f',
};
const otherColor = '#b9a06a';

const { machine, limits, profiles, records } = JSON.parse(readFileSync(input, 'utf8'));
const limit = limits.find(({ threads }) => threads === 1);
if (!limit) throw new Error(`${input} has no limits for one thread: run "npm run benchmark:cpu -- --limits" first.`);
const dots = profiles
  .filter(({ threads }) => threads === 1)
  .flatMap(({ model, case: name, runMs, kernels }) =>
    kernels
      .filter(({ flops, bytes }) => flops > 0 && bytes > 0)
      .map(({ kind, ms, flops, bytes }) => ({
        kind,
        label: `${model} ${name}: ${kind}, ${ms.toPrecision(3)} ms`,
        share: ms / runMs,
        intensity: flops / bytes,
        gflops: flops / ms / 1e6,
      })),
  );
writeFileSync(drawing, draw());
writeFileSync(text, withTable(readFileSync(text, 'utf8')));
console.log(`${dots.length} kernels of ${profiles.length} models in ${drawing}; table in ${text}`);

function withTable(content) {
  const [begin, end] = marks.map((mark) => content.indexOf(mark));
  if (begin < 0 || end < begin) throw new Error(`${text} has no table between "${marks.join('" and "')}".`);
  const single = records.filter(({ threads }) => threads === 1);
  const table = `${meansText(single)}\n\n${timesText(single)}`;
  return `${content.slice(0, begin)}${marks[0]}\n\n${table}\n\n${content.slice(end)}`;
}

function draw() {
  const ridge = limit.gflops / limit.gigabytes;
  const roof = [
    [range.x[0], range.x[0] * limit.gigabytes],
    [ridge, limit.gflops],
    [range.x[1], limit.gflops],
  ];
  const path = roof.map(([x, y]) => `${at('x', x)},${at('y', Math.max(y, range.y[0]))}`).join(' ');
  const kinds = [...new Set(dots.map(({ kind }) => kind))].sort();
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    '<title>Kernels under the roofs: operations a second over operations for each byte</title>',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...grid('x', [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]),
    ...grid('y', [1, 3, 10, 30, 100, 300]),
    `<polyline points="${path}" fill="none" stroke="#222" stroke-width="1.5"/>`,
    caption(
      frame.right - 6,
      at('y', limit.gflops) + 16,
      `${limit.gflops.toFixed(1)} GFLOP/s, multiply-adds in registers`,
      'end',
    ),
    caption(at('x', 0.2) + 8, at('y', 0.2 * limit.gigabytes) + 16, `${limit.gigabytes.toFixed(1)} GB/s, copy`),
    ...dots.map(dot),
    caption(
      (frame.left + frame.right) / 2,
      height - 24,
      'float32 operations for each byte of operands and results',
      'middle',
    ),
    `<text transform="translate(16 ${(frame.top + frame.bottom) / 2}) rotate(-90)" text-anchor="middle">GFLOP/s</text>`,
    ...kinds.flatMap((kind, place) => legend(kind, place)),
    caption(
      frame.left,
      height - 5,
      `${machine.cpu}, one thread, Node ${machine.node.replace(/^v/, '')}; area: share of the model's run`,
    ),
    '</svg>\n',
  ].join('\n');
}

function at(side, value) {
  const [low, high] = range[side];
  const share = Math.log(value / low) / Math.log(high / low);
  const [begin, end] = side === 'x' ? [frame.left, frame.right] : [frame.bottom, frame.top];
  return Number((begin + share * (end - begin)).toFixed(1));
}

function grid(side, marks) {
  return marks.flatMap((mark) => {
    const place = at(side, mark);
    return side === 'x'
      ? [line(place, frame.top, place, frame.bottom), caption(place, frame.bottom + 16, String(mark), 'middle')]
      : [line(frame.left, place, frame.right, place), caption(frame.left - 6, place + 4, String(mark), 'end')];
  });
}

function dot({ kind, label, share, intensity, gflops }) {
  const [x, y] = [clamp('x', intensity), clamp('y', gflops)];
  const radius = Math.max(1.5, 14 * Math.sqrt(share)).toFixed(1);
  const fill = colors[kind] ?? otherColor;
  return `<circle cx="${at('x', x)}" cy="${at('y', y)}" r="${radius}" fill="${fill}" fill-opacity="0.45"><title>${label}</title></circle>`;
}

function clamp(side, value) {
  const [low, high] = range[side];
  return Math.min(high, Math.max(low, value));
}

function legend(kind, place) {
  const x = frame.left + 14;
  const y = frame.top + 14 + place * 17;
  return [`<circle cx="${x}" cy="${y}" r="5" fill="${colors[kind] ?? otherColor}"/>`, caption(x + 11, y + 4, kind)];
}

function line(x1, y1, x2, y2) {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="#e4e6ea"/>`;
}

function caption(x, y, content, anchor = 'start') {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${content}</text>`;
}
