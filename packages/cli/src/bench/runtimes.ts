// One face for onnx-ts and its peers, as far as measuring needs it. Runs in a child process (runtime-worker.ts).

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import {
  directoryArtifacts,
  type HostValue,
  InferenceSession,
  type PlacementStrategy,
  Tensor,
  type TypedArray,
} from '@onnx-ts/core';
import type { DType } from '@onnx-ts/tensor-ir';
import { loadProviders } from '../providers.ts';
import type { PeerId } from './peers.ts';
import { type PlainTensors, plainTensors } from './plain-tensor.ts';

export type RuntimeSpec =
  | {
      readonly kind: 'onnx-ts';
      readonly providers: readonly string[];
      readonly placement: PlacementStrategy;
      readonly dims: Readonly<Record<string, number>>;
      /** Folder in which prepared sessions are kept. */
      readonly artifacts?: string;
    }
  | { readonly kind: 'peer'; readonly id: PeerId; readonly entry: string };

export interface LoadRequest {
  readonly model: string;
  /** Names of files of external data beside the model. */
  readonly externalFiles: readonly string[];
  readonly threads: number;
}

export interface LoadedRuntime {
  /** Inputs are made once, outside of what is measured. */
  prepare(feeds: PlainTensors): void;
  /** The outputs are in the host's memory when it resolves. */
  run(): Promise<unknown>;
  /** Outputs of a run as plain data. */
  plain(outputs: unknown): PlainTensors;
}

/** Everything but the model itself: modules are imported here, outside of what is measured. */
export async function openRuntime(spec: RuntimeSpec): Promise<(request: LoadRequest) => Promise<LoadedRuntime>> {
  return spec.kind === 'onnx-ts' ? openOwn(spec) : openPeer(spec.id, spec.entry);
}

async function openOwn({ providers: ids, placement, dims, artifacts }: Extract<RuntimeSpec, { kind: 'onnx-ts' }>) {
  const providers = await loadProviders(ids);
  return async ({ model, threads }: LoadRequest): Promise<LoadedRuntime> => {
    const session = await InferenceSession.create(model, {
      providers,
      placement,
      threads,
      seed: 0,
      freeDimensionOverrides: dims,
      ...(artifacts !== undefined && { artifacts: directoryArtifacts(artifacts) }),
    });
    let feeds: Record<string, Tensor> = {};
    return {
      prepare: (inputs) => {
        const entries = Object.entries(inputs).map(([name, { type, data, dims: sizes }]) => [
          name,
          new Tensor(type, data, sizes),
        ]);
        feeds = Object.fromEntries(entries);
      },
      run: () => session.run(feeds),
      plain: (outputs) => plainTensors(outputs as Record<string, HostValue>),
    };
  };
}

/** The part of onnxruntime-common that is needed. */
interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: TypedArray | string[] | ArrayBufferView;
}
interface OrtModule {
  readonly env: { readonly wasm: { numThreads?: number }; logLevel?: string };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(
      path: string,
      options: object,
    ): Promise<{ run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>;
  };
}

function openPeer(id: PeerId, entry: string) {
  const ort = createRequire(entry)(entry) as OrtModule;
  const isWeb = id === 'onnxruntime-web';
  return async ({ model, externalFiles, threads }: LoadRequest): Promise<LoadedRuntime> => {
    if (isWeb) ort.env.wasm.numThreads = threads;
    const folder = dirname(model);
    const session = await ort.InferenceSession.create(model, {
      executionProviders: [isWeb ? 'wasm' : 'cpu'],
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
      ...(isWeb
        ? { externalData: externalFiles.map((path) => ({ path, data: join(folder, path) })) }
        : { intraOpNumThreads: threads, interOpNumThreads: 1 }),
    });
    let feeds: Record<string, OrtTensor> = {};
    return {
      prepare: (inputs) => {
        const entries = Object.entries(inputs).map(([name, tensor]) => [name, ortTensor(ort, tensor)]);
        feeds = Object.fromEntries(entries);
      },
      run: () => session.run(feeds),
      plain: (outputs) => {
        const entries = Object.entries(outputs as Record<string, OrtTensor>).map(([name, { type, dims, data }]) => [
          name,
          { type: type as DType, dims: [...dims], data: type === 'float16' ? bitsOf(data as ArrayBufferView) : data },
        ]);
        return Object.fromEntries(entries);
      },
    };
  };
}

type Float16Constructor = new (buffer: ArrayBufferLike, byteOffset: number, length: number) => ArrayBufferView;

function ortTensor(ort: OrtModule, { type, data, dims }: PlainTensors[string]): OrtTensor {
  // onnxruntime takes Float16Array where the engine has it.
  const { Float16Array } = globalThis as { Float16Array?: Float16Constructor };
  if (type === 'float16' && Float16Array) {
    const bits = data as Uint16Array;
    return new ort.Tensor(type, new Float16Array(bits.buffer, bits.byteOffset, bits.length), dims);
  }
  return new ort.Tensor(type, data, dims);
}

function bitsOf(data: ArrayBufferView): Uint16Array {
  return new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
}
