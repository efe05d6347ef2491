// What a case of the kit is, and what comes out of it.

import type { ProviderFactory } from '@onnx-ts/core';

/**
 * - `pass`: the provider alone computed what was asked, and everything agrees;
 * - `fail`: a wrong result, a broken promise of the contract, or an error where there should be none;
 * - `unsupported`: the provider refused a node and said why;
 * - `skip`: the case says nothing about the provider here, and why: the host computes all of it, or a means is missing;
 * - `error`: no verdict: it threw what is no `OnnxTsError`, gave no answer in time, or ended its process.
 */
export type Outcome = 'pass' | 'fail' | 'unsupported' | 'skip' | 'error';

export const outcomes: readonly Outcome[] = ['pass', 'fail', 'unsupported', 'skip', 'error'];

export const suiteIds = ['contract', 'onnx', 'microsoft', 'property', 'partition'] as const;
export type SuiteId = (typeof suiteIds)[number];

/** What a case is about. Operators of other domains than ai.onnx are written `domain:name`. */
export interface Subject {
  readonly op?: string;
  readonly opset?: number;
  readonly dtype?: string;
}

export interface Judgement extends Subject {
  readonly outcome: Outcome;
  /** Why it did not pass; empty for a pass. */
  readonly reason: string;
  /** The case in words, so that one can see or repeat it. */
  readonly text?: string;
  /** Operators of the nodes that the provider ran; of a case that is unsupported, those that it ran with right results. */
  readonly ran?: readonly string[];
  /** Nothing of the case reaches any provider. */
  readonly isHosts?: boolean;
  /** Operators of which the provider took a node, whether it ran or not. */
  readonly claimed?: readonly string[];
}

export interface ConformanceCase extends Subject {
  readonly suite: SuiteId;
  /** Unique within the suite. */
  readonly name: string;
  /** It says something about a provider without a usable device, too. */
  readonly needsNoDevice?: boolean;
  /** May throw: see `judgementOf`. */
  run(provider: ProviderFactory): Promise<Judgement>;
}

/** One line of a report. */
export interface CaseResult extends Subject {
  readonly suite: SuiteId;
  readonly name: string;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly text?: string;
  readonly milliseconds: number;
}

/** Ends a case that cannot be asked here. */
export class Skipped extends Error {}

/** Ends a case of which something is not as it should be. */
export class Broken extends Error {}
