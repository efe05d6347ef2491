// What a random case is, and how a family of them is declared.

import type { HostValue } from '@onnx-ts/core';
import type { MessageInput, ModelProto } from '@onnx-ts/onnx-proto';
import type { CaseBuilder } from './case-builder.ts';

/** How far floats may be apart. Everything else must be equal, NaN must meet NaN, and an infinity its like. */
export interface Tolerance {
  /** Steps of the element type at the expected value. */
  readonly ulps: number;
  /** Steps of the element type at the largest finite magnitude among the inputs and the output: for sums. */
  readonly spread: number;
  readonly absolute: number;
  /** Steps that an integer may be off: for results that were rounded from inexact numbers. */
  readonly integers: number;
  /** Part of the expected magnitude, for cases from elsewhere, which state it so. */
  readonly relative?: number;
}

export const exact: Tolerance = { ulps: 0, spread: 0, absolute: 0, integers: 0 };

export type Feeds = Readonly<Record<string, HostValue>>;

export interface RandomCase {
  readonly family: string;
  readonly op: string;
  readonly model: MessageInput<ModelProto>;
  readonly feeds: Feeds;
  /** Feeds of other sizes, for a second run where the model takes them. */
  readonly otherFeeds?: Feeds;
  readonly tolerance: Tolerance;
  /** Another model that must give the same outputs, in their order, for the same feeds. */
  readonly twin?: MessageInput<ModelProto>;
}

/** Generators of cases by operator. `domain:name` for operators of other domains, `name#variant` for further ones. */
export interface Family {
  readonly name: string;
  /** First and last operator set of its cases, where it is about certain ones. */
  readonly opsets?: readonly [first: number, last: number];
  readonly cases: Readonly<Record<string, (builder: CaseBuilder) => void>>;
}

export interface Place {
  readonly domain: string;
  readonly op: string;
}

/** The operator that a generator is for. */
export function operatorOf(key: string): Place {
  const [name] = key.split('#');
  const colon = name.indexOf(':');
  return colon < 0 ? { domain: '', op: name } : { domain: name.slice(0, colon), op: name.slice(colon + 1) };
}
