// The registry against every version of every operator that ONNX and onnxruntime define: what is missing is said below, with
// its reason.

import { describe, expect, it } from 'vitest';
import { OnnxTsError } from '../errors.ts';
import { type AttributeValue, type GraphNode, newValue } from '../graph/graph.ts';
import { tensorType, type ValueType } from '../graph/types.ts';
import { operatorLists, typeSets } from '../testing/operator-list.ts';
import { FreshDims, NotKnownYet, TypeInference } from './context.ts';
import { defaultRegistry } from './registry.ts';

interface Operand {
  /** Type constraint. */
  readonly type: string;
  readonly types: readonly string[];
  readonly isOptional: boolean;
}

interface Version {
  readonly domain: string;
  readonly op: string;
  readonly since: number;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attributes: readonly { readonly name: string; readonly type: string; readonly isRequired: boolean }[];
}

function parse(domain: string, line: string): Version | undefined {
  const [head, inputs, outputs, attributes] = line.split('|');
  const [op, since, deprecated] = head.split(' ');
  if (deprecated) return undefined;
  const words = (text: string): string[] => text.split(' ').filter(Boolean);
  const operand = (text: string): Operand => {
    const [type, set] = text.split(':');
    return { type, types: typeSets[Number.parseInt(set, 10)].split(' '), isOptional: text.endsWith('?') };
  };
  const attribute = (text: string) => {
    const [name, type] = text.split(':');
    return { name, type: type.replace('!', ''), isRequired: type.endsWith('!') };
  };
  return {
    domain,
    op,
    since: Number(since),
    inputs: words(inputs).map(operand),
    outputs: words(outputs).map(operand),
    attributes: words(attributes).map(attribute),
  };
}

const versions = Object.entries(operatorLists).flatMap(([domain, lines]) =>
  lines.flatMap((line) => parse(domain, line) ?? []),
);

/** Operators without a definition, and why. */
const missing: Readonly<Record<string, string>> = {
  'com.microsoft:AttnLSTM': 'an LSTM with attention inside that no current exporter writes',
  'com.microsoft:BeamSearch': 'a whole generation loop; it belongs into a package of its own',
  'com.microsoft:DequantizeBFP': 'a format of one accelerator',
  'com.microsoft:DequantizeWithOrder': 'layouts of cublasLt',
  'com.microsoft:EPContext': 'a blob that one execution provider of onnxruntime has compiled',
  'com.microsoft:GreedySearch': 'a whole generation loop; it belongs into a package of its own',
  'com.microsoft:LongformerAttention': 'one model family, GPU only in onnxruntime',
  'com.microsoft:MatMulFpQ4': 'a weight packed for one CPU kernel of onnxruntime',
  'com.microsoft:MaxpoolWithMask':
    'made for one model: how its only kernel reads the mask is no rule that others could follow',
  'com.microsoft:PagedAttention': 'a server with CUDA drives it',
  'com.microsoft:QOrderedAttention': 'layouts of cublasLt',
  'com.microsoft:QOrderedGelu': 'layouts of cublasLt',
  'com.microsoft:QOrderedLayerNormalization': 'layouts of cublasLt',
  'com.microsoft:QOrderedLongformerAttention': 'layouts of cublasLt',
  'com.microsoft:QOrderedMatMul': 'layouts of cublasLt',
  'com.microsoft:QuantizeBFP': 'a format of one accelerator',
  'com.microsoft:QuantizeWithOrder': 'layouts of cublasLt',
  'com.microsoft:Sampling': 'a whole generation loop; it belongs into a package of its own',
  'com.microsoft:Snpe': 'a blob that one execution provider of onnxruntime has compiled',
  'com.microsoft:WhisperBeamSearch': 'a whole generation loop; it belongs into a package of its own',
};

/** Attributes that are accepted and mean nothing here. Keys are attribute, operator.attribute. */
const ignored: Readonly<Record<string, string>> = {
  consumed_inputs: 'a hint for computing in place that version 6 dropped',
  is_test: 'inference is all there is',
  output_sequence: 'whether Y is wanted is told by whether it is used',
  'Dropout.ratio': 'it matters for training only, which these versions cannot ask for',
  'Gemm.broadcast': 'broadcasting without it would be an error, with it means what later versions do',
  'Constant.value_float': 'read as it is: integers beyond 2^53 are bigints',
  'Constant.value_floats': 'likewise',
  'Constant.value_int': 'likewise',
  'Constant.value_ints': 'likewise',
  'Constant.value_string': 'likewise',
  'Constant.value_strings': 'likewise',
  'Range.stash_type': 'sums are exact: every element is start + n · delta',
  'Attention.rotary_embedding_dim': 'do_rotary, to which it belongs, is refused',
};

/** Element types that a schema allows and the definition refuses. Keys are operator:type constraint:type. */
const refused: Readonly<Record<string, string>> = {};

const registry = defaultRegistry();
const keyOf = ({ domain, op }: Version): string => (domain ? `${domain}:${op}` : op);
const nameOf = (version: Version): string => `${keyOf(version)}-${version.since}`;
const definitionOf = ({ domain, op, since }: Version) => registry.find(domain, op, since);

/** Attribute types by the names that graphs have for them. */
const attributeType = (name: string): string => ({ sparse_tensor: 'sparse-tensor', type_proto: 'type' })[name] ?? name;

describe('every operator', () => {
  it('has a definition that holds for each of its versions, or a reason why not', () => {
    const found = versions.filter((version) => !definitionOf(version));
    expect([...new Set(found.map(keyOf))].sort()).toEqual(Object.keys(missing).sort());
  });

  it('knows all attributes of all versions, with their types', () => {
    const problems = versions.flatMap((version) => {
      const definition = definitionOf(version);
      if (!definition) return [];
      const specs = definition.attributes as Readonly<Record<string, { type: string; required: boolean } | undefined>>;
      return version.attributes.flatMap(({ name, type }) => {
        const spec = specs[name];
        if (spec) return spec.type === attributeType(type) ? [] : [`${nameOf(version)}: ${name} is ${type}`];
        return name in ignored || `${version.op}.${name}` in ignored ? [] : [`${nameOf(version)}: ${name} is unknown`];
      });
    });
    expect(problems).toEqual([]);
  });

  it('requires no attribute that a version leaves out', () => {
    const problems = versions.flatMap((version) => {
      const known = new Set(version.attributes.filter(({ isRequired }) => isRequired).map(({ name }) => name));
      // Attributes that have become inputs, whose absence schemas of that time did not rule out.
      const late = new Set(['RegexFullMatch.pattern', 'Reshape.shape']);
      return Object.entries(definitionOf(version)?.attributes ?? {}).flatMap(([name, spec]) =>
        (spec as { required: boolean }).required && !known.has(name) && !late.has(`${version.op}.${name}`)
          ? [`${nameOf(version)}: ${name}`]
          : [],
      );
    });
    expect(problems).toEqual([]);
  });

  it('accepts the element types of all versions', () => {
    const problems = new Set<string>();
    for (const version of versions) {
      if (!definitionOf(version) || definitionOf(version)?.control) continue;
      for (const [constraint, type] of choicesOf(version)) {
        const message = refusal(version, constraint, type);
        if (message) problems.add(`${keyOf(version)}:${constraint}:${type}`);
      }
    }
    expect([...problems].sort()).toEqual(Object.keys(refused).sort());
  });
});

/** Each type of each constraint of the inputs. */
function choicesOf(version: Version): (readonly [string, string])[] {
  const constraints = new Map(version.inputs.map(({ type, types }) => [type, types]));
  return [...constraints].flatMap(([constraint, types]) => types.map((type) => [constraint, type] as const));
}

const named: Readonly<Record<string, string>> = { float: 'float32', double: 'float64' };

function valueType(text: string): ValueType | undefined {
  const container = /^(seq|optional|map|sparse_tensor)\((.*)\)$/.exec(text);
  if (!container) return tensorType((named[text] ?? text) as never);
  const inner = container[2].replace(/^tensor\((.*)\)$/, '$1');
  const element = container[1] === 'seq' || container[1] === 'optional' ? valueType(inner) : undefined;
  return element && { kind: container[1] === 'seq' ? 'sequence' : 'optional', element };
}

const samples: Readonly<Record<string, AttributeValue>> = {
  int: { type: 'int', value: 1 },
  ints: { type: 'ints', value: [1] },
  float: { type: 'float', value: 1 },
  string: { type: 'string', value: 'FLOAT' },
  strings: { type: 'strings', value: [] },
};

/**
 * Why type inference refuses a type, when it does because of the type: shapes are unknown here, at which inference stops once
 * it has looked at the types.
 */
function refusal(version: Version, constraint: string, type: string): string | undefined {
  const attributes = version.attributes.flatMap(({ name, type: kind, isRequired }) =>
    isRequired && samples[kind] ? [[name, samples[kind]] as const] : [],
  );
  // Constraints that are not under test take the same type where they may, else their first.
  const inputs = version.inputs.map((input, at) => {
    if (input.isOptional && input.type !== constraint) return undefined;
    return newValue(`x${at}`, valueType(input.types.includes(type) ? type : input.types[0]));
  });
  const node: GraphNode = {
    name: 'n',
    domain: version.domain,
    op: version.op,
    opset: version.since,
    inputs,
    outputs: version.outputs.map((_, at) => newValue(`y${at}`)),
    attributes: new Map(attributes),
  };
  if (inputs.some((input) => input && !input.type)) return undefined;
  const definition = definitionOf(version)!;
  node.operator = definition;
  try {
    definition.infer(new TypeInference(node, definition, new FreshDims()) as never);
  } catch (error) {
    if (error instanceof NotKnownYet) return undefined;
    if (!OnnxTsError.is(error)) throw error;
    return /operator takes|floating-point|of type|must hold|not a(n)? |element type/.test(error.message)
      ? error.message
      : undefined;
  }
  return undefined;
}
