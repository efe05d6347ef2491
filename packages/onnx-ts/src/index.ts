// The whole of core's API, and sessions that need no provider named: the CPU provider is the default.

export * from '@onnx-ts/core';
export { type CpuOptions, cpu } from '@onnx-ts/cpu';
// These two stand before core's of the same name.
export { createSession, InferenceSession } from './session.ts';
