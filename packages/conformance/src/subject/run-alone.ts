// Runs a model on one provider without fallback: everything that it can compile goes to it, and what went elsewhere is told.

import {
  createSession,
  type Explanation,
  type HostValue,
  type InferenceSession,
  type ModelSource,
  OnnxTsError,
  type ProviderFactory,
  type SessionOptions,
} from '@onnx-ts/core';
import type { Feeds } from '../case.ts';
import { Broken, type Judgement, Skipped } from '../result.ts';
import { type Watch, watchProvider } from './watch.ts';

export type Results = Readonly<Record<string, HostValue>>;

/** A session of one provider, and what it left to others. */
export class AloneSession {
  readonly watch: Watch;
  readonly #session: InferenceSession;
  readonly #provider: string;

  private constructor(session: InferenceSession, watch: Watch, provider: string) {
    this.#session = session;
    this.watch = watch;
    this.#provider = provider;
  }

  /** @throws OnnxTsError whatever the session throws */
  static async open(
    provider: ProviderFactory,
    model: ModelSource,
    options: SessionOptions = {},
  ): Promise<AloneSession> {
    const { factory, watches } = watchProvider(provider);
    const session = await createSession(model, {
      seed: 1,
      ...options,
      providers: [factory],
      placement: 'providers',
      enableProfiling: true,
    });
    return new AloneSession(session, watches[0], provider.id);
  }

  run(feeds: Feeds): Promise<Results> {
    return this.#session.run(feeds);
  }

  /** Whether anything of the model is, or may become, the provider's. */
  get isAsked(): boolean {
    const { claimed, compiled, refused } = this.watch;
    return compiled.size > 0 || claimed.size > 0 || refused.size === 0;
  }

  /** Operators of nodes that the provider compiled. */
  get ran(): readonly string[] {
    return [...this.watch.compiled];
  }

  /** The first node that the provider should have run and did not, and why; once all runs are over. */
  left(): string | undefined {
    const events = this.#session.endProfiling().traceEvents;
    const ranOnHost = new Set(events.filter(({ cat }) => cat.startsWith('host ')).map(({ name }) => name));
    return leftToOthers(this.#session.explain().steps, this.#provider, ranOnHost);
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** The first node that a provider could have run, but did not. */
function leftToOthers(
  steps: Explanation['steps'],
  provider: string,
  ranOnHost: ReadonlySet<string>,
): string | undefined {
  for (const step of steps) {
    const [node] = step.nodes;
    if (step.cause === 'unsupported') return `${node.op}: ${(step.reason ?? '').replace(`${provider}: `, '')}`;
    if (step.place === 'late' && ranOnHost.has(node.name)) return `${node.op} ran on the host: ${step.reason}`;
    for (const body of step.bodies ?? []) {
      const inside = leftToOthers(body.steps, provider, ranOnHost);
      if (inside !== undefined) return inside;
    }
  }
  return undefined;
}

/** What an error says about a case. */
export function judgementOf(error: unknown): Judgement {
  if (error instanceof Skipped) return { outcome: 'skip', reason: error.message };
  if (error instanceof Broken) return { outcome: 'fail', reason: error.message };
  if (!OnnxTsError.is(error)) {
    return { outcome: 'error', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  if (error.code === 'UNSUPPORTED' || error.code === 'UNKNOWN_OPERATOR') {
    return { outcome: 'unsupported', reason: error.message };
  }
  if (error.code !== 'INTERNAL') return { outcome: 'fail', reason: `${error.code}: ${error.message}` };
  const cause = error.cause instanceof Error ? `\n${error.cause.stack}` : '';
  return { outcome: 'error', reason: `${error.message}${cause}` };
}
