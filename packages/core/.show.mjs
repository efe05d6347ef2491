import { readFileSync, readdirSync } from 'node:fs';
import * as P from '@onnx-ts/onnx-proto';
const dir = process.argv[2];
const m = P.decodeModel(readFileSync(dir + "/model.onnx"));
console.log(JSON.stringify(m.graph.node, (k, v) => typeof v === 'bigint' ? Number(v) : v instanceof Uint8Array ? Buffer.from(v).toString() : v).slice(0, 3000));
const dec = P.decodeTensor;
for (const f of readdirSync(dir + '/test_data_set_0')) {
  const t = dec(readFileSync(dir + '/test_data_set_0/' + f));
  const raw = t.rawData;
  let v;
  if (raw?.length) { const b = raw.slice().buffer; v = t.dataType === 1 ? new Float32Array(b) : t.dataType === 7 ? new BigInt64Array(b) : t.dataType === 6 ? new Int32Array(b) : t.dataType === 11 ? new Float64Array(b) : new Uint8Array(b); }
  else v = t.floatData?.length ? t.floatData : t.int64Data?.length ? t.int64Data : t.int32Data;
  console.log(f, t.dataType, String(t.dims), Array.from(v).slice(0, 60).map(Number).join(' '));
}
