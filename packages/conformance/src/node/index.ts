// '@onnx-ts/conformance/node': the kit with folders and processes.

export { directoryCases, directoryIndex } from './directory-cases.ts';
export { type IsolatedOptions, type IsolatedSelection, runIsolated } from './isolated-run.ts';
export { importProvider, type ProviderModule } from './provider-module.ts';
