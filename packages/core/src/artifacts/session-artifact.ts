// A prepared session in a store, and how it comes back. There are two entries for each: one, under a hash of the model
// without its large weights, names what else was read; the other, under a hash of that as well, is the session.

import { decodeDim, type EncodedDim, encodeDim, tensorIrVersion } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { forEachGraph } from '../graph/traverse.ts';
import type { WeightResolver } from '../onnx/weights.ts';
import type { ModelPlacement } from '../partition/place-model.ts';
import type { ReadCheck } from '../plan/check-reads.ts';
import type { BuiltPartition } from '../plan/partition-program.ts';
import type { CompileContext, ExecutionProvider } from '../provider/contract.ts';
import type { ValueMetadata } from '../session/metadata.ts';
import { placementOf, type SessionOptions } from '../session/options.ts';
import { version } from '../version.ts';
import type { Artifact, ArtifactStore } from './artifact.ts';
import { type Digest, hostDigest } from './digest.ts';
import { decodeGraphs, type EncodedGraphs, encodeGraphs } from './graph-codec.ts';
import { modelKey } from './model-key.ts';
import { decodePlacement, type EncodedPlacement, encodePlacement } from './placement-codec.ts';
import { TensorWriter } from './type-codec.ts';
import { digestReads, type WeightRead, WeightReads } from './weight-reads.ts';

/** Bytes of small constants up to which a session is kept. */
const largestBlob = 1 << 26;

/** A graph that can be placed, and what a session tells of the model it came from. */
export interface PreparedModel {
  readonly graph: Graph;
  readonly inputs: readonly ValueMetadata[];
  readonly outputNames: readonly string[];
}

/** What one partition needs of a store while it is compiled. */
export interface PartitionRecord {
  /** The partition, with what its lowering would tell. */
  readonly partition: BuiltPartition;
  readonly context: Pick<CompileContext, 'artifact' | 'keep'>;
  /** To be called when it is compiled. */
  end(): void;
}

/** Partitions come in the order in which the plan compiles them. */
export interface PartitionRecords {
  begin(partition: BuiltPartition, provider: ExecutionProvider): PartitionRecord;
}

/** What a store has to do with a session that is being compiled. */
export interface SessionRecords extends PartitionRecords {
  /** What was decided before; undefined when it is to be decided. */
  placement(graph: Graph): ModelPlacement | undefined;
  placed(graph: Graph, placement: ModelPlacement): void;
}

/** The first entry. */
interface Index {
  readonly locations: readonly string[];
  readonly reads: readonly WeightRead[];
}

/** The second entry. */
interface Document {
  readonly graphs: EncodedGraphs;
  readonly inputs: readonly ValueMetadata[];
  readonly outputNames: readonly string[];
  readonly placement: EncodedPlacement;
  readonly partitions: readonly EncodedPartition[];
}

interface EncodedPartition {
  readonly name: string;
  readonly nodes: number;
  readonly provider: string;
  /** Absent when the provider kept nothing. */
  readonly kept?: { readonly data: unknown; readonly code: number; readonly reads: readonly EncodedRead[] };
}

interface EncodedRead {
  /** Position in the partition; −1 where it is not known. */
  readonly node: number;
  readonly tensor: string;
  readonly axis: number;
  readonly first: EncodedDim;
  readonly last: EncodedDim;
  readonly size: EncodedDim;
  readonly loops: readonly EncodedDim[];
}

export class SessionArtifacts {
  readonly #store: ArtifactStore;
  readonly #key: string;
  readonly #digest: Digest;

  private constructor(store: ArtifactStore, key: string, digest: Digest) {
    this.#store = store;
    this.#key = key;
    this.#digest = digest;
  }

  /**
   * Undefined when nothing can be kept: custom operators and providers without a key are programs that nobody can compare,
   * and some hosts have no SHA-256. A provider without a key may be there as long as the plan does not use it.
   */
  static async open(
    model: Uint8Array,
    providers: readonly ExecutionProvider[],
    options: SessionOptions,
  ): Promise<SessionArtifacts | undefined> {
    const { artifacts, operators, overridableInitializers = false } = options;
    if (!artifacts || operators?.length || providers.every(({ artifactKey }) => !artifactKey)) return undefined;
    const digest = hostDigest();
    if (!digest) return undefined;
    const settings = {
      format: 2,
      versions: [version, tensorIrVersion],
      providers: providers.map(({ id, artifactKey, device }) => [id, artifactKey ?? device.name]),
      optimize: options.graphOptimizationLevel !== 'disabled',
      dims: Object.entries(options.freeDimensionOverrides ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)),
      overridableInitializers,
      placement: placementText(options),
      // Plans depend on them.
      ...(providers.length > 1 && { budgets: options.memoryBudget }),
    };
    const key = await modelKey(model, settings, digest);
    return key === undefined ? undefined : new SessionArtifacts(artifacts, key, digest);
  }

  /** What was read of this model; undefined when nothing is known of it. */
  async findIndex(): Promise<Index | undefined> {
    const artifact = await this.#get(this.#key);
    return artifact && (JSON.parse(artifact.text) as Index);
  }

  /** The session, if weights are as they were. @throws OnnxTsError EXTERNAL_DATA when a file is too short */
  async find({ reads }: Index, weights: WeightResolver): Promise<Artifact | undefined> {
    return this.#get(await this.#sessionKey(reads, weights));
  }

  async #sessionKey(reads: readonly WeightRead[], weights: WeightResolver): Promise<string> {
    const content = await digestReads(reads, (place, target) => weights.read(place, target), this.#digest);
    return `${this.#key}-${content}`;
  }

  async #get(key: string): Promise<Artifact | undefined> {
    try {
      return await this.#store.get(key);
    } catch {
      // A store that fails is one that has nothing.
      return undefined;
    }
  }

  /** Keeps what was recorded, if all of it can be. */
  async put(recorder: SessionRecorder, locations: readonly string[], weights: WeightResolver): Promise<void> {
    const artifact = recorder.finish();
    if (!artifact) return;
    const index: Index = { locations, reads: recorder.reads.all };
    const key = await this.#sessionKey(index.reads, weights);
    try {
      await this.#store.put(key, artifact);
      await this.#store.put(this.#key, { text: JSON.stringify(index), blob: new Uint8Array(), code: [] });
    } catch {
      // A full disk must not fail a session that is ready.
    }
  }
}

/** As a part of a key. */
function placementText(options: SessionOptions): string {
  return JSON.stringify(placementOf(options), (_, value) => (value instanceof RegExp ? String(value) : value));
}

/** Notes what a session is made of while it is made. */
export class SessionRecorder implements SessionRecords {
  readonly reads = new WeightReads();
  readonly #partitions: EncodedPartition[] = [];
  readonly #code: (Uint8Array | WebAssembly.Module)[] = [];
  #prepared:
    | (Omit<Document, 'partitions' | 'placement'> & { readonly graph: Graph; readonly blob: Uint8Array })
    | undefined;

  #placement: EncodedPlacement = { order: [], graphs: [] };
  /** A part runs on a provider whose version nobody knows. */
  #hasKeyless = false;

  /** To be called before the graph is compiled: constants are let go then. */
  prepared({ graph, inputs, outputNames }: PreparedModel): void {
    const tensors = new TensorWriter();
    const graphs = encodeGraphs(graph, tensors);
    if (!graphs || tensors.byteLength > largestBlob) return;
    this.#prepared = { graphs, inputs, outputNames, graph, blob: tensors.toBlob() };
  }

  placement(): undefined {
    return undefined;
  }

  placed(graph: Graph, placement: ModelPlacement): void {
    this.#placement = encodePlacement(graph, placement);
  }

  begin(partition: BuiltPartition, provider: ExecutionProvider): PartitionRecord {
    const { name, nodes } = partition;
    const place = { name, nodes: nodes.length, provider: provider.id };
    let encoded: EncodedPartition = place;
    this.#hasKeyless ||= !provider.artifactKey;
    this.reads.beginPartition();
    return {
      partition,
      context: {
        keep: ({ data, code }) => {
          const positions = new Map(nodes.map((node, at) => [node, at]));
          const reads = partition.reads.map(({ node, first, last, size, loops, ...rest }): EncodedRead => {
            const position = node && positions.get(node);
            const dims = { first: encodeDim(first), last: encodeDim(last), size: encodeDim(size) };
            return { ...rest, node: position ?? -1, ...dims, loops: loops.map(encodeDim) };
          });
          encoded = { ...place, kept: { data, code: code.length, reads } };
          this.#code.push(...code);
          this.reads.keepPartition();
        },
      },
      end: () => {
        this.#partitions.push(encoded);
        this.reads.endPartition();
      },
    };
  }

  /** Undefined when a part of the session has no file form. */
  finish(): Artifact | undefined {
    if (!this.#prepared || this.#hasKeyless) return undefined;
    const { graph, blob, ...document } = this.#prepared;
    let hasFailure = false;
    forEachGraph(graph, ({ failure }) => {
      if (failure) hasFailure = true;
    });
    if (hasFailure) return undefined;
    const text = JSON.stringify({
      ...document,
      placement: this.#placement,
      partitions: this.#partitions,
    } satisfies Document);
    return { text, blob, code: this.#code };
  }
}

/** A session from a store: the graph, then its partitions in order. */
export class SessionReplay implements SessionRecords {
  readonly prepared: PreparedModel;
  readonly #partitions: readonly EncodedPartition[];
  readonly #code: Artifact['code'];
  readonly #placement: EncodedPlacement;
  #partition = 0;
  #codeStart = 0;

  /** @throws for a document that `SessionRecorder` did not write */
  constructor({ text, blob, code }: Artifact, weights: WeightResolver) {
    const { graphs, inputs, outputNames, placement, partitions } = JSON.parse(text) as Document;
    const graph = decodeGraphs(graphs, blob, (place, byteLength) => weights.bytesAt(place, byteLength));
    this.prepared = { graph, inputs, outputNames };
    this.#placement = placement;
    this.#partitions = partitions;
    this.#code = code;
  }

  placement(graph: Graph): ModelPlacement {
    return decodePlacement(graph, this.#placement);
  }

  placed(): void {}

  begin(built: BuiltPartition, provider: ExecutionProvider): PartitionRecord {
    const { name, nodes, provider: id, kept } = this.#partitions[this.#partition++] ?? {};
    if (name !== built.name || nodes !== built.nodes.length || id !== provider.id) {
      const what = `the artifact has the partition "${name}" of ${nodes} nodes where there is "${built.name}".`;
      throw new OnnxTsError('INTERNAL', what, { place: { provider: provider.id } });
    }
    if (!kept) return { partition: built, context: {}, end: () => {} };
    const code = this.#code.slice(this.#codeStart, this.#codeStart + kept.code);
    this.#codeStart += kept.code;
    const reads = kept.reads.map(({ node, first, last, size, loops, ...rest }): ReadCheck => {
      const dims = { first: decodeDim(first), last: decodeDim(last), size: decodeDim(size) };
      return { ...rest, node: built.nodes[node], ...dims, loops: loops.map(decodeDim) };
    });
    const context = { artifact: { data: kept.data, code } };
    return { partition: { ...built, reads }, context, end: () => {} };
  }
}
