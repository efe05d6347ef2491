// Runs a model once on one of our providers or on another runtime.

import { createSession, type HostValue, OnnxTsError, type ProviderFactory, reference, Tensor } from '@onnx-ts/core';
import { codeOfDType } from '@onnx-ts/core/internal';
import { encodeModel, type MessageInput, type ModelProto, type NodeProto } from '@onnx-ts/onnx-proto';
import type { DType } from '@onnx-ts/tensor-ir';
import type { RandomCase } from './case.ts';
import { decodeTensor, encodeTensor } from './values.ts';

export type Results = Readonly<Record<string, HostValue>>;

/** Thrown where a runtime lacks something: the case is then unsupported, not wrong. */
export class NotSupported extends Error {}

export const runtimeIds = ['reference', 'cpu', 'cpu2', 'webgpu', 'webgpu-hardware', 'onnxruntime-node'] as const;
export type RuntimeId = (typeof runtimeIds)[number];

export function isPeer(id: RuntimeId): boolean {
  return id === 'onnxruntime-node';
}

/** Results of each of the feeds, in one session; undefined where these cannot be run. */
export type AllResults = readonly [Results, Results | undefined];

/** Runs a case; `expected` are results of the reference, from which a peer learns the types of outputs. */
export async function runOn(id: RuntimeId, test: RandomCase, expected?: AllResults): Promise<AllResults> {
  switch (id) {
    case 'reference':
      return runOurs(reference(), test, false);
    case 'cpu':
    case 'cpu2': {
      const { cpu } = await import('@onnx-ts/cpu');
      return runOurs(cpu({ threads: id === 'cpu' ? 1 : 2 }), test, expected?.[1] !== undefined);
    }
    case 'webgpu':
    case 'webgpu-hardware': {
      const { webgpu } = await import('@onnx-ts/webgpu');
      // The shaders of graphics processors, whatever executes them here.
      return runOurs(webgpu(id === 'webgpu' ? {} : { shaders: 'hardware' }), test, expected?.[1] !== undefined);
    }
    case 'onnxruntime-node':
      return [await runPeer(test, expected![0]), undefined];
  }
}

/** @param isSure the second feeds are known to suit the model */
export async function runOurs(provider: ProviderFactory, test: RandomCase, isSure: boolean): Promise<AllResults> {
  const session = await createSession(encodeModel(test.model), { providers: [provider], seed: 1 });
  try {
    const first = await session.run(test.feeds);
    let other: Results | undefined;
    if (test.otherFeeds && (isSure || provider.id === 'reference')) {
      try {
        other = await session.run(test.otherFeeds);
      } catch (error) {
        if (isSure || !isRefusal(error)) throw error;
      }
    }
    if (provider.id === 'reference') return [first, other];
    // A further run must not see anything of those before.
    const again = await session.run(test.feeds);
    for (const [name, value] of Object.entries(first)) {
      if (!isSame(value, again[name])) throw new Error(`a further run gives another "${name}"`);
    }
    return [first, other];
  } finally {
    await session.dispose();
  }
}

/** The model does not take these sizes. */
function isRefusal(error: unknown): boolean {
  return (
    OnnxTsError.is(error) && ['INVALID_INPUT', 'INVALID_MODEL', 'OUT_OF_RANGE', 'OUT_OF_MEMORY'].includes(error.code)
  );
}

function isSame(a: HostValue, b: HostValue): boolean {
  if (!Tensor.is(a) || !Tensor.is(b)) return true;
  return a.dims.join() === b.dims.join() && Array.from(a.data as string[]).every((x, at) => Object.is(x, b.data[at]));
}

/** Types that the peer's binding cannot take or give, and ones that carry their values there and back. */
const carriers: Readonly<Partial<Record<DType, DType>>> = {
  float16: 'float32',
  bfloat16: 'float32',
  float8e4m3fn: 'float32',
  float8e4m3fnuz: 'float32',
  float8e5m2: 'float32',
  float8e5m2fnuz: 'float32',
  int4: 'int8',
  uint4: 'uint8',
};

const strangers: ReadonlySet<DType> = new Set([
  'complex64',
  'complex128',
  'float6e2m3',
  'float6e3m2',
  'float4e2m1',
  'float8e8m0',
  'int2',
  'uint2',
]);

interface PeerModule {
  readonly InferenceSession: {
    create(bytes: Uint8Array, options: object): Promise<PeerSession>;
  };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => object;
}

interface PeerSession {
  run(feeds: Readonly<Record<string, object>>): Promise<Readonly<Record<string, PeerTensor>>>;
  release(): Promise<void>;
}

interface PeerTensor {
  readonly type: DType;
  readonly data: Tensor['data'];
  readonly dims: readonly number[];
}

let peer: Promise<PeerModule> | undefined;

async function loadPeer(): Promise<PeerModule> {
  const name = 'onnxruntime-node';
  const module = (await import(name)) as PeerModule & { readonly default?: PeerModule };
  return module.default ?? module;
}

async function runPeer(test: RandomCase, expected: Results): Promise<Results> {
  peer ??= loadPeer();
  const { InferenceSession, Tensor: PeerTensorClass } = await peer;
  const outputs = Object.entries(expected).map(([name, value]): [string, DType] => {
    if (!Tensor.is(value)) throw new NotSupported(`the peer's binding has no ${value.kind}`);
    return [name, value.type];
  });
  const fed = Object.entries(test.feeds).map(([name, value]): [string, Tensor] => {
    if (!Tensor.is(value)) throw new NotSupported(`the peer's binding has no ${value.kind}`);
    return [name, value];
  });
  for (const type of [...fed.map(([, feed]) => feed.type), ...outputs.map(([, type]) => type)]) {
    if (strangers.has(type)) throw new NotSupported(`the peer's binding has no ${type}`);
  }
  const { model, feeds } = withCarriers(test.model, Object.fromEntries(fed), outputs);
  let session: PeerSession;
  try {
    session = await InferenceSession.create(encodeModel(model), {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'disabled',
      logSeverityLevel: 4,
    });
  } catch (error) {
    throw new NotSupported(`the peer does not load it: ${(error as Error).message}`);
  }
  try {
    const given = Object.entries(feeds).map(([name, { type, data, dims }]): [string, object] => [
      name,
      new PeerTensorClass(type, data, dims),
    ]);
    let results: Readonly<Record<string, PeerTensor>>;
    try {
      results = await session.run(Object.fromEntries(given));
    } catch (error) {
      throw new NotSupported(`the peer does not run it: ${(error as Error).message}`);
    }
    return Object.fromEntries(
      outputs.map(([name, type]) => {
        const { data, dims, type: got } = results[name];
        const value = new Tensor(got as 'float32', data as Float32Array, dims);
        return [name, carriers[type] === got ? encodeTensor(type, dims, decodeTensor(value) as number[]) : value];
      }),
    );
  } finally {
    await session.release();
  }
}

/** The model with casts where the binding cannot take or give a type. */
function withCarriers(
  whole: MessageInput<ModelProto>,
  fed: Readonly<Record<string, Tensor>>,
  outputs: readonly (readonly [string, DType])[],
): { model: MessageInput<ModelProto>; feeds: Readonly<Record<string, Tensor>> } {
  const graph = whole.graph!;
  const before: MessageInput<NodeProto>[] = [];
  const after: MessageInput<NodeProto>[] = [];
  const renamed = new Map<string, string>();
  const cast = (input: string, output: string, to: DType): MessageInput<NodeProto> => ({
    opType: 'Cast',
    name: `cast_${output}`,
    input: [input],
    output: [output],
    attribute: [{ name: 'to', type: 2, i: BigInt(codeOfDType(to)) }],
  });
  const feeds = { ...fed };
  const input = graph.input!.map((info) => {
    const name = info.name!;
    const feed = feeds[name];
    const carrier = feed && carriers[feed.type];
    if (!carrier) return info;
    feeds[name] = encodeTensor(carrier, feed.dims, decodeTensor(feed) as number[]);
    renamed.set(name, `${name}_carried`);
    before.push(cast(name, `${name}_carried`, feed.type));
    return {
      ...info,
      type: { tensorType: { ...info.type!.tensorType, elemType: codeOfDType(carrier) } },
    };
  });
  const types = new Map(outputs);
  const output = graph.output!.map((info) => {
    const type = types.get(info.name!)!;
    const carrier = carriers[type];
    if (!carrier) return { ...info, type: { tensorType: { ...info.type?.tensorType, elemType: codeOfDType(type) } } };
    after.push(cast(`${info.name}_carried`, info.name!, carrier));
    renamed.set(info.name!, `${info.name}_carried`);
    return { name: info.name, type: { tensorType: { elemType: codeOfDType(carrier) } } };
  });
  const rename = (name: string): string => renamed.get(name) ?? name;
  const node = graph.node!.map((item) => ({
    ...item,
    input: item.input!.map(rename),
    output: item.output!.map(rename),
  }));
  const initializer = graph.initializer!.map((item) => ({ ...item, name: rename(item.name!) }));
  return {
    model: { ...whole, graph: { ...graph, input, output, initializer, node: [...before, ...node, ...after] } },
    feeds,
  };
}
