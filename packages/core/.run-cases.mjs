import { readFileSync, readdirSync, existsSync } from 'node:fs';
import * as P from '@onnx-ts/onnx-proto';
import { createSession } from './src/session/session.ts';
import { reference } from './src/provider/reference.ts';
import { importTensor } from './src/onnx/import-tensor.ts';
import { numbersOf } from './src/ops/host-elements.ts';
const [root, pattern, ...flags] = process.argv.slice(2);
const re = new RegExp(pattern);
const index = existsSync(root + '/index.json') ? JSON.parse(readFileSync(root + '/index.json')) : undefined;
const list = index ? (Array.isArray(index) ? index : index.models ?? Object.entries(index).map(([name, v]) => ({ name, ...v }))) : [];
let pass = 0; const bad = [];
for (const name of readdirSync(root).sort()) {
  if (!re.test(name) || !existsSync(`${root}/${name}/model.onnx`)) continue;
  const meta = list.find((m) => m.name === name);
  const rtol = meta?.tolerance?.rtol ?? 1e-3, atol = meta?.tolerance?.atol ?? 1e-7;
  try {
    const bytes = readFileSync(`${root}/${name}/model.onnx`);
    const model = P.decodeModel(bytes);
    const inits = new Set((model.graph.initializer ?? []).map((t) => t.name));
    const ins = model.graph.input.filter((i) => !inits.has(i.name));
    const session = await createSession(new Uint8Array(bytes), { providers: [reference()] });
    for (const set of readdirSync(`${root}/${name}`).filter((d) => d.startsWith('test_data_set'))) {
      const feeds = {};
      ins.forEach((input, i) => { const f = `${root}/${name}/${set}/input_${i}.pb`; if (existsSync(f)) feeds[input.name] = importTensor(P.decodeTensor(readFileSync(f))); });
      const results = await session.run(feeds);
      model.graph.output.forEach((output, i) => {
        const f = `${root}/${name}/${set}/output_${i}.pb`;
        if (!existsSync(f)) return;
        const want = importTensor(P.decodeTensor(readFileSync(f)));
        const got = results[output.name] ?? results.get?.(output.name);
        if (got.type !== want.type) throw new Error(`${output.name}: type ${got.type} instead of ${want.type}`);
        if (String(got.dims) !== String(want.dims)) throw new Error(`${output.name}: dims [${got.dims}] instead of [${want.dims}]`);
        const a = Array.from(numbersOf(got), Number), b = Array.from(numbersOf(want), Number);
        let worst = 0, at = -1, wrong = 0;
        for (let k = 0; k < b.length; k++) {
          const ok = Object.is(a[k], b[k]) || a[k] === b[k] || (Number.isNaN(a[k]) && Number.isNaN(b[k])) || Math.abs(a[k] - b[k]) <= atol + rtol * Math.abs(b[k]);
          if (!ok) { wrong++; const d = Math.abs(a[k] - b[k]); if (!(d <= worst)) { worst = d; at = k; } }
        }
        if (wrong) throw new Error(`${set} ${output.name}: ${wrong}/${b.length} wrong; worst at ${at}: got ${a[at]} want ${b[at]}` + (flags.includes('-v') ? `\n got  ${a.slice(0, 24)}\n want ${b.slice(0, 24)}` : ''));
      });
    }
    await session.dispose?.();
    pass++;
    if (flags.includes('-p')) console.log('ok', name);
  } catch (e) { bad.push(name); console.log('FAIL', name, flags.includes('-s') ? e.stack + (e.cause ? '\ncause ' + e.cause.stack : '') : (e.message + (e.cause ? ' | ' + e.cause.message : '')).slice(0, 700)); }
}
console.log(`${pass} passed, ${bad.length} failed`);
