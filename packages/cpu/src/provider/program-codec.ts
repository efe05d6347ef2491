// A compiled program as JSON, for artifacts. Nodes and values are positions in the partition, tensors and sizes positions
// in tables.

import { type GraphNode, type KernelInfo, type Partition, Tensor, type Value } from '@onnx-ts/core/provider';
import {
  type AppendedTensor,
  type Dim,
  type DType,
  decodeDim,
  type EncodedDim,
  encodeDim,
  newTensorRef,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import type { ArgumentWord } from '../kernel/argument-words.ts';
import type { CompiledProgram, LaunchableKernel, LaunchablePhase } from './compiled-program.ts';

export interface EncodedProgram {
  readonly dims: readonly EncodedDim[];
  readonly tensors: readonly EncodedTensorRef[];
  readonly inputs: readonly number[];
  readonly values: readonly (readonly [value: number, tensor: number])[];
  /** Each a constant of the partition, or float32 numbers. */
  readonly constants: readonly (readonly [tensor: number, constant: number | readonly number[]])[];
  readonly locals: readonly number[];
  readonly aliases: readonly (readonly [number, number])[];
  readonly kernels: readonly EncodedKernel[];
  readonly appends: readonly (Omit<AppendedTensor, 'input' | 'output'> & {
    readonly input: number;
    readonly output: number;
  })[];
}

type EncodedTensorRef = readonly [name: string, dtype: DType, shape: readonly number[], isConstant: 0 | 1];

interface EncodedKernel {
  readonly name: string;
  readonly kind: string;
  readonly params: readonly number[];
  readonly outputs: readonly number[];
  readonly words: readonly EncodedWord[];
  readonly scratch: number;
  /** Each with the stage's name, and its node or −1. */
  readonly sites: readonly (readonly [stage: string, node: number])[];
  readonly phases: readonly EncodedPhase[];
  readonly nodes: readonly string[];
  readonly flops?: number;
  readonly bytes?: number;
}

/** Of a tensor, of a size, or of an error site. */
type EncodedWord = readonly ['tensor' | 'dim', number] | readonly ['site'];

interface EncodedPhase {
  readonly table: number;
  readonly tiles: number;
  readonly turns?: number;
  readonly points: number;
  readonly cost: number;
  readonly barrier: boolean;
  readonly copyOf?: number;
}

/** What values of a partition are counted by. */
function valuesOf({ inputs, outputs }: Partition): readonly Value[] {
  return [...new Set([...inputs, ...outputs])];
}

/** Constants that nodes of the partition read, each once. */
function constantsOf({ nodes }: Partition): readonly Tensor[] {
  const constants = new Set<Tensor>();
  for (const node of nodes) for (const input of node.inputs) if (input?.constant) constants.add(input.constant);
  return [...constants];
}

const positionsOf = <T>(items: readonly T[]): ReadonlyMap<T, number> => new Map(items.map((item, at) => [item, at]));

/** @returns undefined when the program holds a constant that no node of the partition has as input */
export function encodeProgram(program: CompiledProgram, partition: Partition): EncodedProgram | undefined {
  const writer = new ProgramWriter(partition.nodes);
  const constantPositions = positionsOf(constantsOf(partition));
  const valuePositions = positionsOf(valuesOf(partition));
  const constants: [number, number | number[]][] = [];
  for (const [tensor, constant] of program.constants) {
    const position = constantPositions.get(constant) ?? numbersIn(constant);
    if (position === undefined) return undefined;
    constants.push([writer.tensor(tensor), position]);
  }
  const kernels = program.kernels.map((kernel) => writer.kernel(kernel));
  return {
    constants,
    kernels,
    inputs: program.inputs.map((value) => valuePositions.get(value)!),
    values: [...program.tensors].map(([value, tensor]) => [valuePositions.get(value)!, writer.tensor(tensor)]),
    locals: program.locals.map((tensor) => writer.tensor(tensor)),
    aliases: [...program.aliases].map(([from, to]) => [writer.tensor(from), writer.tensor(to)]),
    appends: program.appends.map((append) => {
      return { ...append, input: writer.tensor(append.input), output: writer.tensor(append.output) };
    }),
    dims: writer.dims,
    tensors: writer.tensors,
  };
}

/** Of a small constant that came with the code. JSON has them exactly, but for what is not finite. */
function numbersIn(constant: Tensor): number[] | undefined {
  if (constant.type !== 'float32' || constant.size > mostNumbers) return undefined;
  const numbers = constant.toNumberArray();
  return numbers.every(Number.isFinite) ? [...numbers] : undefined;
}

const mostNumbers = 64;

class ProgramWriter {
  readonly dims: EncodedDim[] = [];
  readonly tensors: EncodedTensorRef[] = [];
  readonly #dimPositions = new Map<string, number>();
  readonly #tensorPositions = new Map<TensorRef, number>();
  readonly #nodePositions: ReadonlyMap<unknown, number>;

  constructor(nodes: readonly GraphNode[]) {
    this.#nodePositions = positionsOf<unknown>(nodes);
  }

  dim(dim: Dim): number {
    const known = this.#dimPositions.get(dim.key);
    if (known !== undefined) return known;
    const position = this.dims.push(encodeDim(dim)) - 1;
    this.#dimPositions.set(dim.key, position);
    return position;
  }

  tensor(tensor: TensorRef): number {
    const known = this.#tensorPositions.get(tensor);
    if (known !== undefined) return known;
    const { name, dtype, shape, isConstant } = tensor;
    const sizes = shape.map((dim) => this.dim(dim));
    const position = this.tensors.push([name, dtype, sizes, isConstant ? 1 : 0]) - 1;
    this.#tensorPositions.set(tensor, position);
    return position;
  }

  kernel({ kernel, kind, words, scratchBytes, errorSites, phases, describe }: LaunchableKernel): EncodedKernel {
    const { flops, bytes, nodes } = describe(false);
    return {
      name: kernel.name,
      kind,
      params: kernel.params.map((tensor) => this.tensor(tensor)),
      outputs: kernel.outputs.map(({ tensor }) => this.tensor(tensor)),
      words: words.map((word) => this.#word(word)),
      scratch: this.dim(scratchBytes),
      sites: errorSites.map(({ stage, origin }) => [stage, this.#nodePositions.get(origin) ?? -1]),
      phases: phases.map((phase) => this.#phase(phase)),
      nodes,
      ...(flops && { flops: this.dim(flops) }),
      ...(bytes && { bytes: this.dim(bytes) }),
    };
  }

  #word(word: ArgumentWord): EncodedWord {
    if (word.kind === 'site') return ['site'];
    return word.kind === 'tensor' ? ['tensor', this.tensor(word.tensor)] : ['dim', this.dim(word.dim)];
  }

  #phase(phase: LaunchablePhase): EncodedPhase {
    return {
      table: phase.tableIndex,
      tiles: this.dim(phase.tiles),
      ...(phase.turns && { turns: this.dim(phase.turns) }),
      points: this.dim(phase.tilePoints),
      cost: phase.pointNanoseconds,
      barrier: phase.barrier,
      ...(phase.copyOf && { copyOf: this.tensor(phase.copyOf) }),
    };
  }
}

/** @throws for what `encodeProgram` did not write of an equal partition */
export function decodeProgram(encoded: EncodedProgram, partition: Partition): CompiledProgram {
  const dims = encoded.dims.map(decodeDim);
  const tensors = encoded.tensors.map(([name, dtype, shape, isConstant]) =>
    newTensorRef(
      name,
      dtype,
      shape.map((dim) => at(dims, dim)),
      { isConstant: isConstant === 1 },
    ),
  );
  const tensor = (position: number): TensorRef => at(tensors, position);
  const all = (positions: readonly number[]): TensorRef[] => positions.map(tensor);
  const [values, constants] = [valuesOf(partition), constantsOf(partition)];
  const word = ([kind, position]: EncodedWord): ArgumentWord => {
    if (kind === 'site') return { kind };
    return kind === 'tensor' ? { kind, tensor: tensor(position!) } : { kind, dim: at(dims, position!) };
  };
  return {
    inputs: encoded.inputs.map((position) => at(values, position)),
    tensors: new Map(encoded.values.map(([value, position]) => [at(values, value), tensor(position)])),
    constants: new Map(
      encoded.constants.map(([position, constant]) => [
        tensor(position),
        typeof constant === 'number' ? at(constants, constant) : new Tensor('float32', constant),
      ]),
    ),
    locals: all(encoded.locals),
    aliases: new Map(encoded.aliases.map(([from, to]) => [tensor(from), tensor(to)])),
    appends: encoded.appends.map((append) => {
      return { ...append, input: tensor(append.input), output: tensor(append.output) };
    }),
    kernels: encoded.kernels.map(({ name, kind, params, outputs, words, scratch, sites, phases, ...info }) => ({
      kernel: { name, params: all(params), outputs: all(outputs).map((output) => ({ tensor: output })) },
      kind,
      words: words.map(word),
      scratchBytes: at(dims, scratch),
      errorSites: sites.map(([stage, node]) => ({ kind: 'index-out-of-range', stage, origin: partition.nodes[node] })),
      phases: phases.map(({ table, tiles, turns, points, cost, barrier, copyOf }): LaunchablePhase => {
        return {
          tableIndex: table,
          tiles: at(dims, tiles),
          ...(turns !== undefined && { turns: at(dims, turns) }),
          tilePoints: at(dims, points),
          pointNanoseconds: cost,
          barrier,
          ...(copyOf !== undefined && { copyOf: tensor(copyOf) }),
        };
      }),
      describe: (atLoad) => infoOf(name, kind, atLoad, info, dims),
    })),
  };
}

/** A kernel that was kept has no text. */
function infoOf(
  name: string,
  kind: string,
  atLoad: boolean,
  { nodes, flops, bytes }: Pick<EncodedKernel, 'nodes' | 'flops' | 'bytes'>,
  dims: readonly Dim[],
): KernelInfo {
  return {
    name,
    kind,
    nodes,
    ...(atLoad && { atLoad }),
    ...(flops !== undefined && { flops: at(dims, flops) }),
    ...(bytes !== undefined && { bytes: at(dims, bytes) }),
  };
}

function at<T>(table: readonly T[], position: number): T {
  const item = table[position];
  if (item === undefined) throw new RangeError(`there is no entry ${position} of ${table.length}`);
  return item;
}
