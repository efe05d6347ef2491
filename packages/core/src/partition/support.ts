import type { GraphNode } from '../graph/graph.ts';
import type { ExecutionProvider, Support } from '../provider/contract.ts';

/** What providers say of nodes, each asked once: some look into the expressions of a node to know. */
export class SupportTable {
  readonly providers: readonly ExecutionProvider[];
  readonly #answers = new Map<GraphNode, (Support | undefined)[]>();

  constructor(providers: readonly ExecutionProvider[]) {
    this.providers = providers;
  }

  of(node: GraphNode, provider: number): Support {
    let answers = this.#answers.get(node);
    if (!answers) {
      answers = [];
      this.#answers.set(node, answers);
    }
    answers[provider] ??= this.providers[provider].supports(node);
    return answers[provider];
  }

  /** Position of the first provider that takes a node. */
  first(node: GraphNode): number | undefined {
    const at = this.providers.findIndex((_, provider) => this.of(node, provider).ok);
    return at < 0 ? undefined : at;
  }
}
