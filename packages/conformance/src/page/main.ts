// The page of this repository: the kit on the providers that come with it. `page/build.mjs` bundles it.

import { ConformancePage } from './conformance-page.ts';

const page = new ConformancePage(document.querySelector('main')!, {
  cpu: async () => (await import('@onnx-ts/cpu')).cpu(),
  webgpu: async () => (await import('@onnx-ts/webgpu')).webgpu(),
  reference: async () => (await import('@onnx-ts/core')).reference(),
});
Object.assign(globalThis, { conformancePage: page });
page.useQuery(location.search);
