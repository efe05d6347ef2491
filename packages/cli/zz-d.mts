import { cpu } from '@onnx-ts/cpu'; import { InferenceSession } from '@onnx-ts/core';
process.on('exit', c => console.error('exit', c, process.getActiveResourcesInfo()));
const s = await InferenceSession.create('/work/shared/trained/digits/model.onnx', { providers: [cpu()], threads: 2 });
console.log('created'); 
await s.dispose(); console.log('disposed');
