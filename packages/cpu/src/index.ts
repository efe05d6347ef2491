// The CPU provider: WebAssembly SIMD generated for the model at hand.

export { cpu, type CpuOptions } from './provider/factory.ts';
