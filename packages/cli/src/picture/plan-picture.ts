// A plan as a picture: nodes in layers, coloured by where they run, and the copies between them. It needs nothing but
// itself: no script for the picture, no font, no network.

import type { ExplainedNode, Explanation } from '@onnx-ts/core';
import { formatBytes } from '../terminal/table.ts';
import { layOut, type Point } from './layout.ts';

const boxWidth = 132;
const boxHeight = 24;
const columnWidth = 148;
const layerHeight = 52;
const margin = 24;

/** Distinguishable for everybody (Okabe and Ito); the host is grey. */
const palette = ['#0072b2', '#009e73', '#d55e00', '#cc79a7', '#56b4e9', '#e69f00'];
const hostColour = '#767676';

interface Box {
  readonly label: string;
  readonly place: string;
  readonly tip: string;
  readonly kind: 'node' | 'end';
  readonly from: readonly {
    readonly box: number;
    readonly value: string;
    readonly type: string;
    readonly bytes?: number;
  }[];
}

export interface PlanPicture {
  readonly svg: string;
  readonly width: number;
  readonly height: number;
  readonly colours: ReadonlyMap<string, string>;
}

export function drawPlan(explanation: Explanation): PlanPicture {
  const colours = coloursOf(explanation);
  const boxes = boxesOf(explanation);
  const points = layOut(boxes.map(({ from }) => ({ from: from.map(({ box }) => box) })));
  const columns = Math.max(1, ...points.map(({ column }) => column + 1));
  const layers = Math.max(1, ...points.map(({ layer }) => layer + 1));
  const [width, height] = [Math.ceil(2 * margin + columns * columnWidth), 2 * margin + layers * layerHeight];
  const copied = new Map(explanation.placement?.copies.map(({ value, bytes }) => [value, bytes]));
  const lines: string[] = [];
  const labels: string[] = [];
  for (const [at, { from, place }] of boxes.entries()) {
    for (const { box, value, type, bytes } of from) {
      const isCopy = boxes[box].place !== place;
      const size = copied.get(value) ?? bytes;
      const tip = `${value}: ${type}${size === undefined ? '' : `, ${formatBytes(size)}`}${
        isCopy ? `\ncopied from ${boxes[box].place} to ${place}` : ''
      }`;
      lines.push(edge(points[box], points[at], tip, isCopy));
      if (isCopy) labels.push(copyLabel(points[box], points[at], size, tip));
    }
  }
  const shapes = boxes.map((box, at) => shape(box, points[at], colours.get(box.place) ?? hostColour));
  const svg = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...lines,
    ...shapes,
    ...labels,
    '</svg>',
  ].join('\n');
  return { svg, width, height, colours };
}

function coloursOf({ providers }: Explanation): Map<string, string> {
  const used = providers.filter(({ isUsed }) => isUsed);
  return new Map([
    ...used.map(({ id }, at) => [id, palette[at % palette.length]] as const),
    ['host', hostColour] as const,
  ]);
}

/** Inputs, then nodes that run, then outputs. */
function boxesOf(explanation: Explanation): Box[] {
  const nodes = explanation.nodes();
  const boxes: Box[] = [];
  const boxOfInput = new Map<string, number>();
  const boxOfNode = new Map<number, number>();
  const isDrawn = ({ place }: ExplainedNode): boolean => place !== 'none';
  for (const node of nodes.filter(isDrawn)) {
    for (const { value, type, from } of node.inputs) {
      if (from !== undefined || boxOfInput.has(value)) continue;
      boxOfInput.set(value, boxes.length);
      boxes.push({ label: value, place: 'host', tip: `input ${value}: ${type}`, kind: 'end', from: [] });
    }
  }
  for (const [at, node] of nodes.entries()) {
    if (!isDrawn(node)) continue;
    boxOfNode.set(at, boxes.length);
    const from = node.inputs.flatMap(({ value, type, from: maker, bytes }) => {
      const box = maker === undefined ? boxOfInput.get(value) : boxOfNode.get(maker);
      return box === undefined ? [] : [{ box, value, type, ...(bytes !== undefined && { bytes }) }];
    });
    boxes.push({ label: node.op, place: node.place, tip: tipOf(node), kind: 'node', from });
  }
  for (const [at, node] of nodes.entries()) {
    const box = boxOfNode.get(at);
    for (const { value, type, isOutput, bytes } of node.outputs) {
      if (!isOutput || box === undefined) continue;
      const from = [{ box, value, type, ...(bytes !== undefined && { bytes }) }];
      boxes.push({ label: value, place: 'host', tip: `output ${value}: ${type}`, kind: 'end', from });
    }
  }
  return boxes;
}

/** What hovering over a node shows. */
function tipOf({ name, op, place, reason, cluster, seconds, refusals, outputs }: ExplainedNode): string {
  const lines = [`${op} "${name}"`, `runs on ${place}${reason ? `: ${reason}` : ''}`];
  for (const { value, type } of outputs) lines.push(`makes ${value}: ${type}`);
  if (cluster !== undefined) lines.push(`cluster ${cluster}, estimated as a whole:`);
  for (const [id, estimate] of Object.entries(seconds ?? {})) lines.push(`  ${id}: ${microseconds(estimate)}`);
  for (const [id, refusal] of Object.entries(refusals ?? {})) lines.push(`  not on ${id}: ${refusal}`);
  return lines.join('\n');
}

function microseconds(seconds: number): string {
  return seconds >= 1e-3 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${(seconds * 1e6).toPrecision(3)} µs`;
}

const middle = ({ column }: Point): number => margin + column * columnWidth + columnWidth / 2;
const top = ({ layer }: Point): number => margin + layer * layerHeight;

function edge(from: Point, to: Point, tip: string, isCopy: boolean): string {
  const [x1, y1, x2, y2] = [middle(from), top(from) + boxHeight, middle(to), top(to)];
  const bend = (y2 - y1) / 2;
  const path = `M${x1} ${y1} C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`;
  const style = isCopy ? 'stroke="#b3261e" stroke-width="2" stroke-dasharray="5 3"' : 'stroke="#b8bcc2"';
  return `<path d="${path}" fill="none" ${style}><title>${escaped(tip)}</title></path>`;
}

/** Beside the end of the line, where labels of other lines are not. */
function copyLabel(from: Point, to: Point, bytes: number | undefined, tip: string): string {
  const text = bytes === undefined ? '?' : formatBytes(bytes);
  const x = middle(to) + (middle(from) - middle(to)) * 0.15;
  const y = top(to) - 8;
  const width = 7 * text.length + 8;
  return (
    `<g><rect x="${x - width / 2}" y="${y - 10}" width="${width}" height="14" rx="3" fill="#ffffff" stroke="#b3261e"/>` +
    `<text x="${x}" y="${y + 1}" text-anchor="middle" fill="#b3261e">${text}</text><title>${escaped(tip)}</title></g>`
  );
}

function shape({ label, tip, kind }: Box, point: Point, colour: string): string {
  const [x, y] = [middle(point) - boxWidth / 2, top(point)];
  const fits = label.length > 20 ? `${label.slice(0, 19)}…` : label;
  const fill = kind === 'node' ? `fill="${colour}"` : `fill="#ffffff" stroke="${colour}" stroke-width="1.5"`;
  return (
    `<g class="box"><rect x="${x}" y="${y}" width="${boxWidth}" height="${boxHeight}" rx="${kind === 'node' ? 4 : 12}" ${fill}/>` +
    `<text x="${middle(point)}" y="${y + 16}" text-anchor="middle" fill="${kind === 'node' ? '#ffffff' : '#333333'}">` +
    `${escaped(fits)}</text><title>${escaped(tip)}</title></g>`
  );
}

/** Text as XML has it; control characters, which it has not, are replaced. */
export function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replaceAll(/[&<>"]|(?!\n)\p{Cc}/gu, (character) => names[character] ?? '\ufffd');
}
