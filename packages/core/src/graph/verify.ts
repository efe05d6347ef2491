// The invariants of a graph. Tests check them after each pass.

import { Dim, productOf } from '@onnx-ts/tensor-ir';
import { OnnxTsError } from '../errors.ts';
import type { Graph, GraphNode, Value } from './graph.ts';
import { bodiesOf, capturesOf } from './traverse.ts';
import { collectSymbols, compatibleTypes, tensorType, typeText } from './types.ts';

export interface VerifyOptions {
  /** Types have been inferred: operators are resolved and values have types wherever their node's inputs have. */
  readonly typed?: boolean;
}

/**
 * Each value is defined once and before it is read, by the node that it names as its producer; bodies list what they
 * capture; names are unique; contents fit types; and no size depends on a symbol that nothing defines.
 * @throws OnnxTsError INTERNAL that says what is broken
 */
export function verifyGraph(graph: Graph, options: VerifyOptions = {}): void {
  new Verifier(options).graph(graph, new Set(), new Set());
}

class Verifier {
  readonly #typed: boolean;

  constructor(options: VerifyOptions) {
    this.#typed = options.typed ?? false;
  }

  body(body: Graph, outer: ReadonlySet<Value>, outerSymbols: ReadonlySet<string>): void {
    // A branch that failed was left in the middle; one that is never taken, or a composite's body, is not looked at.
    if (body.failure) return;
    const typed = this.#typed && body.nodes.some((node) => node.operator);
    new Verifier({ typed }).graph(body, outer, outerSymbols);
  }

  graph(graph: Graph, outer: ReadonlySet<Value>, outerSymbols: ReadonlySet<string>): void {
    const defined = new Set(outer);
    const symbols = new Set(outerSymbols);
    const names = new Set<string>();
    const define = (value: Value): void => {
      if (defined.has(value)) broken(value, 'it is defined twice.');
      if (value.name !== '' && names.has(value.name)) broken(value, 'another value has the same name.');
      defined.add(value);
      names.add(value.name);
      this.#value(value);
    };
    for (const input of graph.inputs) {
      define(input);
      collectSymbols(input.type, symbols);
    }
    for (const value of graph.initializers)
      if (!value.constant) broken(value, 'it is an initializer without a constant.');
    const read = (value: Value, reader: string): void => {
      if (value.constant) {
        this.#value(value);
        return;
      }
      if (!defined.has(value)) broken(value, `${reader} reads it before it is defined.`);
    };
    for (const node of graph.nodes) {
      for (const input of node.inputs) if (input) read(input, nodeText(node));
      for (const body of bodiesOf(node)) {
        for (const capture of body.captures) read(capture, `a body of ${nodeText(node)}`);
        this.#captures(node, body);
        this.body(body, defined, symbols);
      }
      for (const output of node.outputs) {
        if (!output) continue;
        if (output.producer !== node) broken(output, `${nodeText(node)} is not its producer.`);
        define(output);
        this.#symbols(node, output, symbols);
      }
      if (this.#typed) this.#node(node);
    }
    for (const output of graph.outputs) read(output, 'the graph');
  }

  #captures(node: GraphNode, body: Graph): void {
    const needed = capturesOf(body);
    for (const value of needed) {
      if (!body.captures.includes(value)) broken(value, `a body of ${nodeText(node)} captures it without saying so.`);
    }
  }

  /** A size gets its value where it is first the size of something: contents alone cannot define it. */
  #symbols(node: GraphNode, output: Value, symbols: Set<string>): void {
    if (!this.#typed) return;
    collectSymbols(output.type, symbols);
    for (const dim of output.contents ?? []) {
      for (const name of dim.symbols()) {
        if (!symbols.has(name)) broken(output, `nothing before ${nodeText(node)} defines the size ${name}.`);
      }
    }
  }

  #node(node: GraphNode): void {
    if (!node.operator) broken(node, 'its operator is not resolved.');
    if (!node.inputs.every((input) => input === undefined || input.type?.kind === 'tensor')) return;
    const isKnown = node.inputs.every((input) => !input || (input.type?.kind === 'tensor' && input.type.shape));
    for (const output of node.outputs) {
      if (isKnown && output && !output.type && !node.operator!.control) broken(output, 'it has no type.');
    }
  }

  #value(value: Value): void {
    const { type, constant, contents } = value;
    if (constant && type) {
      const own = tensorType(constant.type, constant.dims.map(Dim.constant));
      if (!compatibleTypes(own, type)) broken(value, `its constant is ${typeText(own)}, its type ${typeText(type)}.`);
    }
    if (!contents) return;
    const count = type?.kind === 'tensor' && type.shape ? productOf(type.shape).constant : undefined;
    if (count !== contents.length)
      broken(value, `it has ${contents.length} known elements, its type is ${typeText(type)}.`);
  }
}

function nodeText(node: GraphNode): string {
  return `the node "${node.name}" (${node.op})`;
}

function broken(where: Value | GraphNode, what: string): never {
  const place = 'op' in where ? { node: where.name, op: where.op } : { value: where.name };
  throw new OnnxTsError('INTERNAL', `the graph is broken: ${what}`, { place });
}
