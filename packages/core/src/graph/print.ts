// A graph as text, for tests and for people: one line a node, with types and what is known of small contents.

import { shapeText } from '@onnx-ts/tensor-ir';
import type { AttributeValue, Graph, GraphNode, Value } from './graph.ts';
import { typeText } from './types.ts';

/** Elements of a constant that are printed. */
const mostElements = 8;

export interface PrintOptions {
  /** False leaves out node names where they say no more than operator and outputs do. */
  readonly nodeNames?: boolean;
}

/** Values that share a name are told apart by a number behind it. */
export function printGraph(graph: Graph, options: PrintOptions = {}): string {
  return new GraphPrinter(options).print(graph, '').join('\n');
}

class GraphPrinter {
  readonly #options: PrintOptions;
  readonly #names = new Map<Value, string>();
  readonly #taken = new Set<string>();

  constructor(options: PrintOptions) {
    this.#options = options;
  }

  print(graph: Graph, indent: string): string[] {
    const lines: string[] = [];
    for (const value of graph.inputs) lines.push(`${indent}input ${this.#definition(value)}`);
    if (graph.failure) lines.push(`${indent}fails: ${graph.failure.message}`);
    for (const node of graph.nodes) lines.push(...this.#node(node, indent));
    lines.push(`${indent}output ${graph.outputs.map((value) => this.#use(value)).join(', ')}`);
    return lines;
  }

  #node(node: GraphNode, indent: string): string[] {
    const outputs = node.outputs.map((value) => (value ? this.#definition(value) : '_')).join(', ');
    const inputs = node.inputs.map((value) => (value ? this.#use(value) : '_')).join(', ');
    const op = node.domain ? `${node.domain}.${node.op}` : node.op;
    const plain: string[] = [];
    const bodies: string[] = [];
    for (const [name, attribute] of node.attributes) {
      if (attribute.type === 'graph') {
        bodies.push(`${indent}  ${name}:`, ...this.print(attribute.value, `${indent}    `));
      } else plain.push(`${name}=${attributeText(attribute)}`);
    }
    const attributes = plain.length > 0 ? ` {${plain.join(', ')}}` : '';
    const comment = this.#options.nodeNames && node.name ? `  // ${node.name}` : '';
    return [`${indent}${outputs} = ${op}(${inputs})${attributes}${comment}`, ...bodies];
  }

  #name(value: Value): string {
    const before = this.#names.get(value);
    if (before !== undefined) return before;
    let name = value.name;
    for (let count = 2; this.#taken.has(name); count++) name = `${value.name}′${count}`;
    this.#names.set(value, name);
    this.#taken.add(name);
    return name;
  }

  #definition(value: Value): string {
    const known = value.contents && !value.constant ? ` = ${shapeText(value.contents)}` : '';
    return `${this.#name(value)}: ${typeText(value.type)}${known}`;
  }

  /** Constants are shown where they are used. */
  #use(value: Value): string {
    if (!value.constant) return this.#name(value);
    const { type, dims, size, location } = value.constant;
    // The data of weights is let go once they are on a device.
    if (size > mostElements || location === 'none') return `${type}[${dims.join(', ')}] "${value.name}"`;
    const elements = Array.from(value.constant.data as ArrayLike<unknown>, (item) =>
      typeof item === 'string' ? JSON.stringify(item) : String(item),
    ).join(', ');
    return dims.length === 0 ? `${type} ${elements}` : `${type}[${elements}]`;
  }
}

function attributeText(attribute: AttributeValue): string {
  switch (attribute.type) {
    case 'tensor':
      return `${attribute.value.type}[${attribute.value.dims.join(', ')}]`;
    case 'tensors':
      return `${attribute.value.length} tensors`;
    case 'sparse-tensor':
      return `sparse ${attribute.value.values.type}[${attribute.value.dims.join(', ')}]`;
    case 'type':
      return typeText(attribute.value);
    case 'types':
      return `[${attribute.value.map(typeText).join(', ')}]`;
    case 'graph':
    case 'graphs':
      return 'graph';
    case 'string':
      return JSON.stringify(attribute.value);
    case 'strings':
      return JSON.stringify(attribute.value);
    case 'ints':
    case 'floats': {
      const { value } = attribute;
      return value.length > mostElements ? `[${value.length} numbers]` : `[${value.join(', ')}]`;
    }
    default:
      return String(attribute.value);
  }
}
