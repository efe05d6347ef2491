// The public API. Authors of providers read '@onnx-ts/core/provider'.

export { type Artifact, type ArtifactStore, decodeArtifact, encodeArtifact } from './artifacts/artifact.ts';
export { cacheArtifacts } from './artifacts/cache-store.ts';
export { directoryArtifacts } from './artifacts/directory-store.ts';
export { memoryArtifacts } from './artifacts/memory-store.ts';
export { staticArtifacts } from './artifacts/static-store.ts';
export { type ErrorCode, type ErrorPlace, OnnxTsError } from './errors.ts';
export type { HostMap, HostOptional, HostSequence, HostSparseTensor, HostValue } from './ops/define.ts';
export type { PlacementPin } from './partition/pins.ts';
export type { PlacementStrategy } from './partition/place-model.ts';
export type { ProviderFactory, TraceEvent } from './provider/contract.ts';
export { reference } from './provider/reference.ts';
export type {
  ExplainedBody,
  ExplainedProvider,
  ExplainedStep,
  ExplainOptions,
  Explanation,
  StepCost,
} from './session/explanation.ts';
export type { Feed } from './session/feeds.ts';
export type { Fetches, FetchTarget } from './session/fetches.ts';
export type { ExternalData, ModelSource } from './session/load-model.ts';
export type { ValueMetadata } from './session/metadata.ts';
export type { OutputLocation, PlacementOptions, Progress, RunOptions, SessionOptions } from './session/options.ts';
export type {
  ExplainedEdge,
  ExplainedNode,
  ExplainedResult,
  PlacementAlternative,
  PlacementReport,
  PlannedCopy,
} from './session/placement-report.ts';
export { registerProvider } from './session/registered-providers.ts';
export { createSession, InferenceSession } from './session/session.ts';
export {
  type GpuBuffer,
  type GpuBufferOptions,
  Tensor,
  type TensorData,
  type TensorDataLike,
  type TensorLocation,
  type TypedArray,
} from './session/tensor.ts';
export type { ChromeTrace, ChromeTraceEvent } from './session/trace.ts';
