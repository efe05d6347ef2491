export { type WebGpuOptions, webgpu } from './provider/factory.ts';
