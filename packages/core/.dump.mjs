import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import * as P from '@onnx-ts/onnx-proto';
import { importTensor } from './src/onnx/import-tensor.ts';
import { numbersOf } from './src/ops/host-elements.ts';
const d = process.argv[2] + '/test_data_set_0/'; const o = {};
for (const f of readdirSync(d)) { const t = importTensor(P.decodeTensor(readFileSync(d + f))); o[f] = { dims: t.dims, v: Array.from(numbersOf(t), (x) => Number.isFinite(x) ? x : String(x)) }; }
writeFileSync('/tmp/dump.json', JSON.stringify(o));
