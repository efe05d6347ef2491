// A model that the provider computes alone, for cases about how it behaves rather than what it computes.

import { type ProviderFactory, reference, type Tensor } from '@onnx-ts/core';
import { encodeModel } from '@onnx-ts/onnx-proto';
import type { Feeds } from '../case.ts';
import { GraphBuilder } from '../graph-builder.ts';
import { Generator } from '../random.ts';
import { Skipped } from '../result.ts';
import { AloneSession, type Results } from '../subject/run-alone.ts';
import { encodeTensor } from '../values.ts';

export interface Vehicle {
  readonly op: string;
  /** Input `x` and output `y`, of `n` rows. */
  readonly model: Uint8Array;
  /** The same, as many times one after the other. */
  chain(length: number): Uint8Array;
  /** Feeds with so many rows, the same for the same seed. */
  feeds(rows: number, seed?: number): Feeds;
  /** What the reference gives for them. */
  expected(feeds: Feeds): Promise<Results>;
}

const width = 8;
type VehicleType = 'float32' | 'float16' | 'float64' | 'int32' | 'int8' | 'int64';

interface Design {
  readonly op: string;
  readonly dtype: VehicleType;
  /** Gives the output of one node; `weight` makes a constant of so many sizes. */
  write(graph: GraphBuilder, x: string, weight: (dims: readonly number[]) => string): string;
}

const designs: readonly Design[] = (['float32', 'float16', 'int32', 'float64', 'int8', 'int64'] as const).flatMap(
  (dtype): Design[] => {
    const withWeight = (op: string, dims: readonly number[]): Design => ({
      op,
      dtype,
      write: (graph, x, weight) => graph.op(op, [x, weight(dims)]),
    });
    const unary = (op: string): Design => ({ op, dtype, write: (graph, x) => graph.op(op, [x]) });
    // With weights first: more of the contract is then at work.
    const general = [
      ...['MatMul', 'Gemm'].map((op) => withWeight(op, [width, width])),
      ...['Add', 'Mul', 'Sub', 'Max'].map((op) => withWeight(op, [width])),
    ];
    const isFloat = dtype.startsWith('float');
    const floats = ['Relu', 'Softmax', 'Sigmoid', 'Tanh', 'Exp', 'Sqrt', 'Floor'].map(unary);
    return [...general, ...(isFloat ? floats : []), ...['Neg', 'Abs', 'Sign'].map(unary)];
  },
);

function modelOf(design: Design, length: number): Uint8Array {
  const graph = new GraphBuilder();
  const generator = new Generator(length);
  let value = graph.input(design.dtype, ['n', width], 'x');
  const weight = (dims: readonly number[]): string =>
    graph.initializer(smallTensor(design.dtype, dims, generator, true));
  for (let at = 0; at < length; at++) value = design.write(graph, value, weight);
  const last = graph.nodes.pop()!;
  graph.nodes.push({ ...last, output: ['y'] });
  graph.output('y', design.dtype, ['n', width]);
  return encodeModel({ irVersion: 10, opsetImport: [{ version: 20 }], graph: graph.message() });
}

/** Small whole numbers; weights are so few that products stay small. */
function smallTensor(dtype: VehicleType, dims: readonly number[], generator: Generator, isWeight = false): Tensor {
  const count = dims.reduce((product, size) => product * size, 1);
  const values = Array.from({ length: count }, () =>
    isWeight ? (generator.below(width) === 0 ? 1 : 0) : generator.between(-4, 4),
  );
  return encodeTensor(dtype, dims, values);
}

/** @throws Skipped when the provider takes none of the operators that serve */
export async function findVehicle(provider: ProviderFactory): Promise<Vehicle> {
  for (const design of designs) {
    const model = modelOf(design, 1);
    if (!(await isTaken(provider, model))) continue;
    return {
      op: design.op,
      model,
      chain: (length) => modelOf(design, length),
      feeds: (rows, seed = 1) => ({ x: smallTensor(design.dtype, [rows, width], new Generator(seed)) }),
      async expected(feeds) {
        await using session = await AloneSession.open(reference(), model);
        return await session.run(feeds);
      },
    };
  }
  const names = [...new Set(designs.map(({ op }) => op))].join(', ');
  throw new Skipped(`it takes none of the operators that this is tried with: ${names}`);
}

async function isTaken(provider: ProviderFactory, model: Uint8Array): Promise<boolean> {
  try {
    await using session = await AloneSession.open(provider, model);
    return session.watch.compiled.size > 0 && session.left() === undefined;
  } catch {
    return false;
  }
}
