// Replaces Gradient nodes by the nodes that compute the derivatives: reverse-mode differentiation on the graph. Rules for
// operators are in ops/gradient/.

import { isFloat } from '@onnx-ts/tensor-ir';
import { copyNode } from '../graph/copy-body.ts';
import { type AttributeValue, type Graph, type GraphNode, newValue, type Value } from '../graph/graph.ts';
import { GraphPatch } from '../graph/patch.ts';
import { operandsOf } from '../graph/traverse.ts';
import { type FreshDims, nodeError } from '../ops/context.ts';
import { gradientDomain } from '../ops/gradient/rule.ts';
import type { OperatorRegistry } from '../ops/registry.ts';
import { expandNode } from './expand-composites.ts';
import { inferNode, inferTypes } from './infer-types.ts';

const isGradient = (node: GraphNode): boolean => node.op === 'Gradient' && node.domain === 'ai.onnx.preview.training';

/**
 * One graph in place, before nodes that only a gradient needs are removed.
 * @throws OnnxTsError naming the Gradient, or the node on its way that has no derivative
 */
export function differentiate(graph: Graph, registry: OperatorRegistry, fresh: FreshDims): void {
  if (!graph.nodes.some(isGradient)) return;
  inferTypes(graph, registry, fresh);
  for (let node = graph.nodes.find(isGradient); node; node = graph.nodes.find(isGradient)) {
    const patch = new GraphPatch(graph);
    new Differentiation(graph, node, patch, registry, fresh).run();
    patch.apply();
  }
}

class Differentiation {
  readonly #graph: Graph;
  readonly #node: GraphNode;
  readonly #patch: GraphPatch;
  readonly #registry: OperatorRegistry;
  readonly #fresh: FreshDims;
  readonly #added: GraphNode[] = [];
  /** Gradients that flow into a value, one from each reader. */
  readonly #gradients = new Map<Value, Value[]>();

  constructor(graph: Graph, node: GraphNode, patch: GraphPatch, registry: OperatorRegistry, fresh: FreshDims) {
    this.#graph = graph;
    this.#node = node;
    this.#patch = patch;
    this.#registry = registry;
    this.#fresh = fresh;
  }

  run(): void {
    const names = this.#strings('xs');
    const [variables, others] = [names, this.#strings('zs')].map((list) => list.map((name) => this.#find(name)));
    const sources = [...variables, ...others];
    if (this.#node.inputs.length !== sources.length) {
      throw nodeError(
        this.#node,
        `it has ${this.#node.inputs.length} inputs for ${sources.length} names in xs and zs.`,
      );
    }
    let target = this.#find(this.#string('y'));
    let xs = variables;
    let path = this.#pathTo(target, new Set(sources));
    if (sources.some((source, at) => source !== this.#node.inputs[at])) {
      const moved = this.#moveTo(path, sources);
      target = moved.replacements.get(target) ?? target;
      xs = variables.map((x) => moved.replacements.get(x)!);
      path = moved.path;
    }
    const dependent = new Set<Value>(xs);
    const tape = path.flatMap((node) => this.#record(node, dependent));
    this.#gradients.set(target, [this.#add('OnesLike', [target], gradientDomain)]);
    for (const node of tape.reverse()) this.#derive(node, dependent, new Set(xs));
    for (const [at, output] of this.#node.outputs.entries()) {
      if (!output) continue;
      const result = this.#total(xs[at]) ?? this.#add('ZerosLike', [xs[at]], gradientDomain);
      this.#write('Identity', '', [result], [output]);
    }
    this.#patch.replaceNode(this.#node, this.#added);
  }

  #strings(name: string): readonly string[] {
    const attribute = this.#node.attributes.get(name);
    return attribute?.type === 'strings' ? attribute.value : [];
  }

  #string(name: string): string {
    const attribute = this.#node.attributes.get(name);
    return attribute?.type === 'string' ? attribute.value : '';
  }

  #find(name: string): Value {
    const named = (value: Value | undefined): boolean => value?.name === name;
    const given = this.#graph.inputs.find(named) ?? this.#graph.initializers.find(named);
    const found = given ?? this.#graph.nodes.flatMap((node) => node.outputs).find(named);
    return found ?? this.#fail(this.#node, `no value of its graph is named "${name}".`);
  }

  #fail(node: GraphNode, what: string): never {
    throw nodeError(node, what);
  }

  /** Nodes that the target is computed by from the sources, in order. */
  #pathTo(target: Value, sources: ReadonlySet<Value>): readonly GraphNode[] {
    const needed = new Set<GraphNode>();
    const visit = (value: Value): void => {
      const { producer } = value;
      if (sources.has(value) || !producer || needed.has(producer)) return;
      needed.add(producer);
      operandsOf(producer).forEach(visit);
    };
    visit(target);
    return this.#graph.nodes.filter((node) => needed.has(node));
  }

  /** The path computed once more from the inputs of the node, where these are not the named values. */
  #moveTo(path: readonly GraphNode[], sources: readonly Value[]) {
    const replacements = new Map<Value, Value>();
    for (const [at, source] of sources.entries()) {
      replacements.set(source, this.#add('Identity', [this.#node.inputs[at]!], ''));
    }
    const copies = path.flatMap((node) => {
      if (!operandsOf(node).some((operand) => replacements.has(operand))) return [];
      const copy = copyNode(node, this.#node.name, replacements);
      inferNode(copy, this.#registry, this.#fresh);
      this.#added.push(copy);
      return [copy];
    });
    return { path: copies, replacements };
  }

  /** The node, or the simpler nodes it consists of, as far as a gradient passes through them. */
  #record(node: GraphNode, dependent: Set<Value>): readonly GraphNode[] {
    if (!operandsOf(node).some((operand) => dependent.has(operand))) return [];
    const outputs = node.outputs.filter((output) => output?.type?.kind === 'tensor' && isFloat(output.type.dtype));
    const isConstant = node.domain === gradientDomain && (node.op === 'OnesLike' || node.op === 'ZerosLike');
    if (outputs.length === 0 || isConstant) return [];
    if (this.#hasRule(node)) {
      for (const output of outputs) dependent.add(output!);
      return [node];
    }
    const parts = node.operator?.expand && expandNode(node, this.#registry, this.#fresh);
    if (!parts) return this.#fail(node, 'the derivative of this operator is not known.');
    const at = this.#added.indexOf(node);
    if (at >= 0) this.#added.splice(at, 1, ...parts);
    else this.#patch.replaceNode(node, parts);
    return parts.flatMap((part) => this.#record(part, dependent));
  }

  #hasRule(node: GraphNode): boolean {
    return node.domain === '' && this.#registry.find(gradientDomain, node.op, 1)?.expand !== undefined;
  }

  /** Adds the gradients of a node's inputs from those of its outputs. */
  #derive(node: GraphNode, dependent: ReadonlySet<Value>, xs: ReadonlySet<Value>): void {
    const gradients = node.outputs.map((output) => (output && !xs.has(output) ? this.#total(output) : undefined));
    if (gradients.every((gradient) => !gradient)) return;
    const outputs = node.inputs.map((input, at) =>
      input && dependent.has(input) ? newValue(`${this.#node.name}/${node.name}/${at}`) : undefined,
    );
    const count = (value: number): AttributeValue => ({ type: 'int', value });
    const attributes = new Map(node.attributes);
    attributes.set('forward_inputs', count(node.inputs.length));
    attributes.set('forward_outputs', count(node.outputs.length));
    this.#write(node.op, gradientDomain, [...node.inputs, ...node.outputs, ...gradients], outputs, {
      attributes,
      opset: node.opset,
    });
    for (const [at, input] of node.inputs.entries()) {
      const gradient = outputs[at];
      if (!input || !gradient) continue;
      const list = this.#gradients.get(input);
      if (list) list.push(gradient);
      else this.#gradients.set(input, [gradient]);
    }
  }

  #total(value: Value): Value | undefined {
    const list = this.#gradients.get(value);
    if (!list || list.length === 0) return undefined;
    if (list.length > 1) list.splice(0, Infinity, this.#add('Sum', [...list], ''));
    return list[0];
  }

  #add(op: string, inputs: readonly Value[], domain: string): Value {
    const output = newValue(`${this.#node.name}/${op}_${this.#added.length}`);
    this.#write(op, domain, inputs, [output]);
    return output;
  }

  #write(
    op: string,
    domain: string,
    inputs: readonly (Value | undefined)[],
    outputs: readonly (Value | undefined)[],
    options: { readonly attributes?: ReadonlyMap<string, AttributeValue>; readonly opset?: number } = {},
  ): void {
    const node: GraphNode = {
      name: `${this.#node.name}/${op}_${this.#added.length}`,
      domain,
      op,
      opset: options.opset ?? (domain === '' ? 24 : 1),
      inputs: [...inputs],
      outputs: [...outputs],
      attributes: options.attributes ?? new Map(),
    };
    for (const output of outputs) if (output) output.producer = node;
    inferNode(node, this.#registry, this.#fresh);
    this.#added.push(node);
  }
}
