// The CPU provider: WebAssembly SIMD generated for the model at hand.

export { type CpuOptions, cpu } from './provider/factory.ts';
