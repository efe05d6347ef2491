// A case as text that one can read and type in again.

import { type HostValue, Tensor } from '@onnx-ts/core';
import { dtypeOfCode, importTensor } from '@onnx-ts/core/internal';
import {
  type AttributeProto,
  AttributeType,
  decodeModel,
  encodeModel,
  type GraphProto,
  type ValueInfoProto,
} from '@onnx-ts/onnx-proto';
import type { RandomCase } from './case.ts';
import { decodeTensor } from './values.ts';

const longest = 16;

export function printCase({ model, feeds, otherFeeds }: RandomCase): string {
  const { opsetImport, graph } = decodeModel(encodeModel(model));
  const versions = opsetImport.map(({ domain, version }) => `${domain || 'ai.onnx'} ${version}`);
  const others = Object.entries(otherFeeds ?? {}).map(([name, tensor]) => `then ${name} = ${hostText(tensor)}`);
  return [`opset ${versions.join(', ')}`, ...graphLines(graph!, feeds), ...others].join('\n');
}

function graphLines(graph: GraphProto, feeds: RandomCase['feeds']): string[] {
  return [
    ...graph.input.map((info) => {
      const feed = feeds[info.name!];
      return `${info.name}: ${typeText(info)}${feed ? ` = ${hostText(feed)}` : ''}`;
    }),
    ...graph.initializer.map((tensor) => `${tensor.name} = ${tensorText(importTensor(tensor))}`),
    ...graph.node.map((node) => {
      const attributes = node.attribute.map((item) => `${item.name}=${attributeText(item)}`).join(', ');
      const name = node.domain ? `${node.domain}.${node.opType}` : node.opType;
      return `${node.output.join(', ')} = ${name}(${node.input.join(', ')})${attributes && ` {${attributes}}`}`;
    }),
    `return ${graph.output.map((info) => info.name).join(', ')}`,
  ];
}

function typeText({ type }: ValueInfoProto): string {
  const tensor = type?.tensorType;
  if (!tensor) return '?';
  const dims = tensor.shape?.dim.map((dim) => dim.dimParam ?? dim.dimValue ?? '?');
  return `${dtypeOfCode(tensor.elemType, 'input')}${dims ? `[${dims.join(', ')}]` : ''}`;
}

function hostText(value: HostValue): string {
  if (Tensor.is(value)) return tensorText(value);
  switch (value.kind) {
    case 'sequence':
      return `sequence [${value.items.map(hostText).join(', ')}]`;
    case 'optional':
      return `optional ${value.value ? hostText(value.value) : 'nothing'}`;
    case 'map':
      return `map {${[...value.entries].map(([key, item]) => `${key}: ${typeof item === 'object' ? hostText(item) : item}`).join(', ')}}`;
    case 'sparse-tensor':
      return 'sparse tensor';
  }
}

export function tensorText(tensor: Tensor): string {
  const values = Array.from(decodeTensor(tensor) as ArrayLike<unknown>, (value) =>
    typeof value === 'string' ? JSON.stringify(value) : Object.is(value, -0) ? '-0' : String(value),
  );
  const shown = values.length > longest ? [...values.slice(0, longest), '…'] : values;
  return `${tensor.type}[${tensor.dims.join(', ')}] {${shown.join(', ')}}`;
}

function attributeText(attribute: AttributeProto): string {
  switch (attribute.type) {
    case AttributeType.INT:
      return String(attribute.i);
    case AttributeType.FLOAT:
      return `${attribute.f}f`;
    case AttributeType.STRING:
      return JSON.stringify(new TextDecoder().decode(attribute.s));
    case AttributeType.INTS:
      return `[${attribute.ints.join(', ')}]`;
    case AttributeType.FLOATS:
      return `[${Array.from(attribute.floats, (item) => `${item}f`).join(', ')}]`;
    case AttributeType.STRINGS:
      return JSON.stringify(attribute.strings.map((item) => new TextDecoder().decode(item)));
    case AttributeType.TENSOR:
      return tensorText(importTensor(attribute.t!));
    case AttributeType.GRAPH:
      return `(\n  ${graphLines(attribute.g!, {}).join('\n  ')}\n)`;
    default:
      return '?';
  }
}
