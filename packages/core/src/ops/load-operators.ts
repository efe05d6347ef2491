// Operators in groups: the basic ones come with core, others are fetched when a model has one of theirs, so that a web
// page loads a third of them.

import { OnnxTsError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { forEachGraph } from '../graph/traverse.ts';
import type { OperatorDefinition } from './define.ts';
import * as basic from './groups/basic.ts';
import { OperatorRegistry } from './operator-registry.ts';

/** The exports of a group: families, whose exports are definitions or arrays of them. */
type FamilyGroup = Readonly<Record<string, object>>;

export interface OperatorGroup {
  /** Operator-set domains that are all its own. */
  readonly domains?: readonly string[];
  /** Its operators of the default domain. */
  readonly operators?: readonly string[];
  /** Groups whose operators its own expand to. */
  readonly needs?: readonly OperatorGroupName[];
  load(): Promise<FamilyGroup>;
}

export type OperatorGroupName =
  | 'attention'
  | 'image'
  | 'microsoft'
  | 'ml'
  | 'quantize'
  | 'recurrent'
  | 'sequence'
  | 'signal'
  | 'text'
  | 'training'
  | 'vision';

export const operatorGroups: Readonly<Record<OperatorGroupName, OperatorGroup>> = {
  attention: {
    domains: ['ai.onnx.preview'],
    operators: ['Attention', 'CausalConvWithState', 'LinearAttention', 'RotaryEmbedding'],
    load: () => import('./groups/attention.ts'),
  },
  image: { operators: ['ImageDecoder'], load: () => import('./groups/image.ts') },
  microsoft: {
    domains: ['com.microsoft', 'onnx-ts'],
    needs: ['attention', 'quantize', 'signal', 'vision'],
    load: () => import('./groups/microsoft.ts'),
  },
  ml: { domains: ['ai.onnx.ml'], load: () => import('./groups/ml.ts') },
  quantize: {
    operators: [
      'ConvInteger',
      'DequantizeLinear',
      'DynamicQuantizeLinear',
      'MatMulInteger',
      'QLinearConv',
      'QLinearMatMul',
      'QuantizeLinear',
    ],
    load: () => import('./groups/quantize.ts'),
  },
  recurrent: { operators: ['GRU', 'LSTM', 'RNN'], load: () => import('./groups/recurrent.ts') },
  sequence: {
    operators: [
      'ConcatFromSequence',
      'Optional',
      'OptionalGetElement',
      'OptionalHasElement',
      'SequenceAt',
      'SequenceConstruct',
      'SequenceEmpty',
      'SequenceErase',
      'SequenceInsert',
      'SequenceLength',
      'SplitToSequence',
    ],
    load: () => import('./groups/sequence.ts'),
  },
  signal: {
    operators: ['BlackmanWindow', 'DFT', 'HammingWindow', 'HannWindow', 'MelWeightMatrix', 'STFT'],
    load: () => import('./groups/signal.ts'),
  },
  text: {
    operators: ['RegexFullMatch', 'StringConcat', 'StringNormalizer', 'StringSplit', 'TfIdfVectorizer'],
    load: () => import('./groups/text.ts'),
  },
  training: {
    domains: ['ai.onnx.preview.training', 'onnx-ts.gradient'],
    operators: ['NegativeLogLikelihoodLoss', 'SoftmaxCrossEntropyLoss'],
    load: () => import('./groups/training.ts'),
  },
  vision: {
    operators: [
      'AffineGrid',
      'DeformConv',
      'GridSample',
      'LRN',
      'LpNormalization',
      'MaxRoiPool',
      'MaxUnpool',
      'MeanVarianceNormalization',
      'NonMaxSuppression',
      'RoiAlign',
    ],
    load: () => import('./groups/vision.ts'),
  },
};

/** Names of the groups by what brings them in: a domain, or an operator of the default domain. */
const groupOfDomain = new Map<string, OperatorGroupName>();
const groupOfOperator = new Map<string, OperatorGroupName>();
for (const [name, { domains = [], operators = [] }] of Object.entries(operatorGroups)) {
  for (const domain of domains) groupOfDomain.set(domain, name as OperatorGroupName);
  for (const operator of operators) groupOfOperator.set(operator, name as OperatorGroupName);
}

/** Groups that a graph and its bodies need beside the basic one, each after those that it needs itself. */
export function groupsOf(graph: Graph): ReadonlySet<OperatorGroupName> {
  const groups = new Set<OperatorGroupName>();
  const add = (name: OperatorGroupName | undefined): void => {
    if (name === undefined || groups.has(name)) return;
    operatorGroups[name].needs?.forEach(add);
    groups.add(name);
  };
  forEachGraph(graph, ({ nodes }) => {
    for (const { domain, op } of nodes) add(domain === '' ? groupOfOperator.get(op) : groupOfDomain.get(domain));
  });
  return groups;
}

function isDefinition(value: unknown): value is OperatorDefinition {
  return typeof value === 'object' && value !== null && 'infer' in value && 'since' in value;
}

export function definitionsOf(group: FamilyGroup): OperatorDefinition[] {
  return Object.values(group).flatMap((family) => Object.values(family).flat().filter(isDefinition));
}

/** What was loaded so far, for all sessions without operators of their own. */
const shared = new OperatorRegistry(definitionsOf(basic));
const inShared = new Set<OperatorGroupName>();

/**
 * The operators that a graph needs. With operators of the caller all groups are there: nobody knows what those expand to.
 * @throws OnnxTsError UNKNOWN_OPERATOR when a group cannot be fetched
 */
export async function loadOperators(graph: Graph, own: readonly OperatorDefinition[] = []): Promise<OperatorRegistry> {
  const names = own.length > 0 ? (Object.keys(operatorGroups) as OperatorGroupName[]) : [...groupsOf(graph)];
  const loaded = await Promise.all(
    names.map(async (name) => ({ name, definitions: definitionsOf(await fetchGroup(name)) })),
  );
  if (own.length > 0) {
    return new OperatorRegistry([...definitionsOf(basic), ...loaded.flatMap(({ definitions }) => definitions), ...own]);
  }
  for (const { name, definitions } of loaded) {
    if (inShared.has(name)) continue;
    inShared.add(name);
    for (const definition of definitions) shared.add(definition);
  }
  return shared;
}

async function fetchGroup(name: OperatorGroupName): Promise<FamilyGroup> {
  try {
    return await operatorGroups[name].load();
  } catch (cause) {
    const what = `the operators of the group "${name}" could not be fetched: ${(cause as Error).message}.`;
    throw new OnnxTsError('UNKNOWN_OPERATOR', what, { hint: 'Serve all files of the bundle.', cause });
  }
}
