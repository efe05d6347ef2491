// The picture of a plan with a legend and the totals: as a page, or within the picture itself.

import type { Explanation } from '@onnx-ts/core';
import { formatBytes, plural } from '../terminal/table.ts';
import { drawPlan, escaped, type PlanPicture } from './plan-picture.ts';

const milliseconds = (seconds: number | undefined): string =>
  seconds === undefined ? 'not enough memory' : `${(seconds * 1000).toPrecision(3)} ms`;

/** A page that is complete in itself. */
export function planPage(title: string, explanation: Explanation): string {
  const picture = drawPlan(explanation);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}: what runs where</title>
<style>
body { margin: 0; font: 14px/1.45 system-ui, sans-serif; color: #1c1e21; background: #f4f5f7; }
header { padding: 16px 24px; background: #fff; border-bottom: 1px solid #d9dce1; display: flex; flex-wrap: wrap; gap: 12px 40px; }
h1 { font-size: 18px; margin: 0; flex-basis: 100%; }
table { border-collapse: collapse; }
td, th { padding: 2px 14px 2px 0; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }
.chosen { font-weight: 600; }
main { overflow: auto; padding: 16px; }
svg { display: block; margin: 0 auto; border: 1px solid #d9dce1; border-radius: 6px; }
g.box:hover rect { stroke: #000; stroke-width: 2; }
#tip { position: fixed; display: none; pointer-events: none; max-width: 460px; white-space: pre-wrap; padding: 8px 10px; border-radius: 6px; background: #1c1e21; color: #fff; font-size: 12px; box-shadow: 0 2px 8px #0005; }
</style>
</head>
<body>
<header>
<h1>${escaped(title)}: what runs where</h1>
${legend(explanation, picture)}
${totals(explanation)}
</header>
<main>
${picture.svg}
</main>
<div id="tip" role="tooltip"></div>
<script>
const tip = document.getElementById('tip');
for (const title of document.querySelectorAll('svg title')) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
document.addEventListener('mousemove', (event) => {
  const owner = event.target.closest?.('[data-tip]');
  tip.style.display = owner ? 'block' : 'none';
  if (!owner) return;
  tip.textContent = owner.dataset.tip;
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
  tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8) + 'px';
});
</script>
</body>
</html>
`;
}

function legend(explanation: Explanation, { colours }: PlanPicture): string {
  const counts = countNodes(explanation);
  const rows = explanation.providers.map(({ id, device, note, isUsed }) => {
    const swatch = isUsed ? `<span class="swatch" style="background:${colours.get(id)}"></span>` : '';
    const what = isUsed ? plural(counts.get(id) ?? 0, 'node') : 'not used';
    return `<tr><td>${swatch}${escaped(id)}</td><td>${what}</td><td>${escaped(device)}${note ? `: ${escaped(note)}` : ''}</td></tr>`;
  });
  const swatch = `<span class="swatch" style="background:${colours.get('host')}"></span>`;
  rows.push(
    `<tr><td>${swatch}host</td><td>${plural(counts.get('host') ?? 0, 'node')}</td><td>inputs and outputs in white</td></tr>`,
    `<tr><td></td><td>${plural(explanation.vanished.length, 'node')}</td><td>vanished into sizes, not shown</td></tr>`,
  );
  return `<table>${rows.join('')}</table>`;
}

function countNodes(explanation: Explanation): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { place } of explanation.nodes()) counts.set(place, (counts.get(place) ?? 0) + 1);
  return counts;
}

function totals({ placement }: Explanation): string {
  if (!placement) return '<p>Nothing was to decide: there are no estimates of other plans.</p>';
  const { seconds, compute, transfer, sync, alternatives, copies } = placement;
  const rows = [
    `<tr class="chosen"><td>this plan</td><td class="n">${milliseconds(seconds)}</td><td>${milliseconds(compute)} computing, ${milliseconds(transfer)} copies, ${milliseconds(sync)} hand-overs</td></tr>`,
    ...alternatives.map(
      (plan) =>
        `<tr><td>${escaped(plan.provider)} alone</td><td class="n">${milliseconds(plan.seconds)}</td><td></td></tr>`,
    ),
  ];
  const bytes = copies.reduce((sum, copy) => sum + copy.bytes, 0);
  rows.push(
    `<tr><td>copies: ${copies.length}</td><td class="n">${formatBytes(bytes)}</td><td>dashed red lines</td></tr>`,
  );
  return `<table>${rows.join('')}</table>`;
}

/** The picture with the same facts as lines of text above it. */
export function planSvg(title: string, explanation: Explanation): string {
  const { svg, width, height, colours } = drawPlan(explanation);
  const counts = countNodes(explanation);
  const { placement } = explanation;
  const lines: { readonly text: string; readonly colour?: string }[] = [
    { text: `${title}: what runs where` },
    ...[...colours].map(([id, colour]) => ({ text: `${id}: ${plural(counts.get(id) ?? 0, 'node')}`, colour })),
    ...(placement
      ? [
          { text: `this plan: ${milliseconds(placement.seconds)}` },
          ...placement.alternatives.map((plan) => ({ text: `${plan.provider} alone: ${milliseconds(plan.seconds)}` })),
        ]
      : []),
  ];
  const head = 16 * lines.length + 16;
  const wide = Math.max(width, 420);
  const texts = lines.map(({ text, colour }, at) => {
    const y = 20 + 16 * at;
    const swatch = colour ? `<rect x="24" y="${y - 10}" width="11" height="11" rx="3" fill="${colour}"/>` : '';
    return `${swatch}<text x="${colour ? 42 : 24}" y="${y}">${escaped(text)}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${wide}" height="${height + head}" viewBox="0 0 ${wide} ${height + head}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${wide}" height="${height + head}" fill="#ffffff"/>`,
    ...texts,
    `<g transform="translate(0 ${head})">`,
    svg,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}
