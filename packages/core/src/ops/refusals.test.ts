// Every operator with inputs and attributes that do not suit it: it either runs or refuses, and a refusal names the operator,
// says what is wrong in words of ONNX, and never is an error of onnx-ts itself.

import { expect, it } from 'vitest';
import { OnnxTsError } from '../errors.ts';
import { codeOfDType } from '../onnx/import-tensor.ts';
import { reference } from '../provider/reference.ts';
import { createSession } from '../session/session.ts';
import { arrayTypeOf, dataLength, elementCount, Tensor } from '../session/tensor.ts';
import { type AttributeSpec, model, node } from '../testing/build-model.ts';
import { operatorLists, typeSets } from '../testing/operator-list.ts';
import { defaultRegistry } from './registry.ts';

type DType = Tensor['type'];
type Attributes = Readonly<Record<string, AttributeSpec>>;

interface Operand {
  readonly types: readonly string[];
  readonly isOptional: boolean;
  readonly isRepeated: boolean;
}

interface Version {
  readonly domain: string;
  readonly op: string;
  readonly since: number;
  readonly inputs: readonly Operand[];
  readonly outputCount: number;
  readonly attributes: readonly { readonly name: string; readonly type: string; readonly isRequired: boolean }[];
}

const words = (text: string): string[] => text.split(' ').filter(Boolean);
const dtypeOf = (name: string): DType => (({ float: 'float32', double: 'float64' })[name] ?? name) as DType;

function operand(text: string): Operand {
  const set = typeSets[Number.parseInt(text.split(':')[1], 10)];
  return { types: words(set), isOptional: text.endsWith('?'), isRepeated: text.endsWith('*') };
}

/** The newest version of each operator that has a definition, bodies aside. */
function newestVersions(): readonly Version[] {
  const versions = new Map<string, Version>();
  for (const [domain, lines] of Object.entries(operatorLists)) {
    for (const line of lines) {
      const [head, inputs, outputs, attributes] = line.split('|');
      const [op, sinceText, deprecated] = head.split(' ');
      const since = Number(sinceText);
      const definition = defaultRegistry().find(domain, op, since);
      if (deprecated || !definition || definition.control) continue;
      versions.set(`${domain}:${op}`, {
        domain,
        op,
        since,
        inputs: words(inputs).map(operand),
        outputCount: Math.max(1, words(outputs).filter((output) => !operand(output).isOptional).length),
        attributes: words(attributes).map((text) => {
          const [name, type] = text.split(':');
          return { name, type: type.replace('!', ''), isRequired: type.endsWith('!') };
        }),
      });
    }
  }
  return [...versions.values()];
}

function tensor(type: DType, dims: readonly number[]): Tensor {
  const count = elementCount(dims);
  if (type === 'string') return new Tensor('string', Array<string>(count).fill('a'), dims);
  const data = new (arrayTypeOf(type))(dataLength(type, count));
  const isFraction = type === 'float32' || type === 'float64';
  for (let at = 0; at < data.length; at++) {
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[at] = BigInt(at % 3);
    else data[at] = isFraction ? (at % 5) / 4 : at % (type === 'bool' ? 2 : 3);
  }
  return new Tensor(type, data, dims);
}

const requiredValues: Readonly<Record<string, AttributeSpec>> = {
  int: 1,
  ints: [1],
  float: { float: 1 },
  floats: { floats: [1] },
  string: 'FLOAT',
  strings: ['a'],
  tensor: new Tensor('float32', Float32Array.of(1), [1]),
};

const oddValues: Readonly<Record<string, readonly AttributeSpec[]>> = {
  int: [-1, 0, 99, 'text'],
  ints: [[], [-1], [0], [1, 2, 3, 4, 5, 6, 7], 3],
  float: [{ float: -1 }, { float: 0 }, 'text'],
  floats: [{ floats: [] }, 3],
  string: ['nonsense', '', 3],
  strings: [['nonsense'], 3],
  tensor: [3],
};

const shapes: readonly (readonly number[])[] = [[], [3], [2, 3], [2, 3, 4], [1, 2, 4, 4], [1, 2, 2, 2, 2]];
const oddTypes: readonly DType[] = ['string', 'bool', 'complex64', 'float32', 'int32', 'int4', 'float8e4m3fn'];
/** What engines say of mistakes in programs. */
const wordsOfAnEngine = /Cannot read|Cannot use|is not a function|is not iterable|Invalid index|BigInt/;

const provider = reference();

/** Undefined when it runs. */
async function refusal(version: Version, inputs: readonly (Tensor | undefined)[], attributes: Attributes) {
  const { domain, op, since } = version;
  const outputs = Array.from({ length: version.outputCount }, (_, at) => `y${at}`);
  const given = inputs.flatMap((input, at) => (input ? [[`x${at}`, input] as const] : []));
  const bytes = model({
    opset: domain === '' ? since : 21,
    domains: domain ? { [domain]: since } : {},
    inputs: Object.fromEntries(
      given.map(([name, { type, dims }]) => [
        name,
        { tensorType: { elemType: codeOfDType(type), shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
      ]),
    ),
    nodes: [
      node(
        op,
        inputs.map((input, at) => (input ? `x${at}` : '')),
        outputs,
        attributes,
        { domain, name: 'n' },
      ),
    ],
    outputs,
  });
  try {
    const session = await createSession(bytes, { providers: [provider] });
    try {
      await session.run(Object.fromEntries(given));
    } finally {
      await session.dispose();
    }
  } catch (error) {
    return error;
  }
  return undefined;
}

interface Trial {
  readonly what: string;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly attributes: Attributes;
  /** Whether it must be refused. */
  readonly mustFail?: boolean;
}

async function problems(version: Version): Promise<readonly string[]> {
  const { op, attributes: specs } = version;
  const present = version.inputs.filter(({ isOptional }) => !isOptional);
  const types = present.map((input): DType | undefined => {
    const [first] = input.types.filter((type) => !type.includes('('));
    return input.types.includes('float') ? 'float32' : first === undefined ? undefined : dtypeOf(first);
  });
  const required = specs.filter(({ isRequired }) => isRequired);
  if (types.includes(undefined) || required.some(({ type }) => !(type in requiredValues))) return [];
  const known = types as readonly DType[];
  const base = Object.fromEntries(required.map(({ name, type }) => [name, requiredValues[type]]));
  const found: string[] = [];
  const attempt = async ({ what, inputs, attributes, mustFail }: Trial): Promise<boolean> => {
    const error = await refusal(version, inputs, attributes);
    if (error === undefined) {
      if (mustFail) found.push(`${op} accepts ${what}`);
      return true;
    }
    if (!OnnxTsError.is(error)) found.push(`${op}, ${what}: ${String(error)}`);
    else if (error.code === 'INTERNAL' || !error.message.includes(op) || wordsOfAnEngine.test(error.message)) {
      found.push(`${op}, ${what}: ${error.code} ${error.message}`);
    }
    return false;
  };
  const all = (dims: readonly number[], at?: number, other?: Tensor): Tensor[] =>
    known.map((type, input) => (input === at && other ? other : tensor(type, dims)));
  let good: readonly number[] | undefined;
  for (const dims of shapes) {
    if (await attempt({ what: `shapes [${dims}]`, inputs: all(dims), attributes: base })) good ??= dims;
  }
  const dims = good ?? [2, 3];
  for (const [at, input] of present.entries()) {
    for (const odd of [[], [2], [1, 1, 1, 1, 1, 1, 1]]) {
      const inputs = all(dims, at, tensor(known[at], odd));
      await attempt({ what: `input ${at} of shape [${odd}]`, inputs, attributes: base });
    }
    for (const type of oddTypes) {
      if (input.types.map(dtypeOf).includes(type)) continue;
      const inputs = all(dims, at, tensor(type, dims));
      await attempt({ what: `input ${at} of ${type}`, inputs, attributes: base });
    }
    const inputs = all(dims).map((given, other) => (other === at ? undefined : given));
    if (!input.isRepeated) await attempt({ what: `no input ${at}`, inputs, attributes: base });
  }
  for (const { name, type, isRequired } of specs) {
    for (const odd of oddValues[type] ?? []) {
      const what = `${name} = ${JSON.stringify(odd)}`;
      const isOfOtherType = typeof odd === (type === 'int' || type === 'float' ? 'string' : 'number');
      const mustFail = isOfOtherType && op !== 'Constant';
      await attempt({ what, inputs: all(dims), attributes: { ...base, [name]: odd }, mustFail });
    }
    if (!isRequired) continue;
    const { [name]: _, ...attributes } = base;
    await attempt({ what: `no ${name}`, inputs: all(dims), attributes, mustFail: !replaceable.has(`${op}.${name}`) });
  }
  return found;
}

/** Attributes that the schema requires, though what they mean without being given is clear. */
const replaceable = new Set(['ReduceSumInteger.keepdims']);

it('operators refuse what does not suit them in terms of ONNX', { timeout: 60_000 }, async () => {
  const found: string[] = [];
  for (const version of newestVersions()) found.push(...(await problems(version)));
  expect(found).toEqual([]);
});
