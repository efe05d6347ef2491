// What both forms of an attention kernel compute from scores: logits, references, powers, results.

import { type Axis, type Expr, type Kernel, type MapStage, type Stage, toIndex } from '@onnx-ts/tensor-ir';
import { type Attention, widen } from '@onnx-ts/tensor-ir/attention';
import { Scope, type StageReader } from '../../emit/scope.ts';
import type { Shader } from '../../emit/shader.ts';
import { emitEpilogue } from '../epilogue.ts';

export class AttentionValues {
  readonly #attention: Attention;
  readonly #kernel: Kernel;
  readonly #known = new Map<Stage, string>();
  readonly keyFactor: Expr;
  readonly valueFactor: Expr;

  constructor(attention: Attention) {
    this.#attention = attention;
    this.#kernel = attention.kernel;
    this.keyFactor = widen(attention.k);
    this.valueFactor = widen(attention.v);
  }

  /** A scope in which axes of one element have their values. */
  scope(shader: Shader): Scope {
    const read: StageReader = (load) => this.#known.get(load.source)!;
    const scope = new Scope(shader, { stage: read });
    const { scores, values } = this.#attention;
    scope.origin = values.origin;
    for (const axis of [...scores.axes, ...scores.over, ...values.axes]) {
      if (axis.size.is(1)) scope.bindAxis(axis, '0i');
    }
    return scope;
  }

  /** The value of an expression as a variable. @param given stages that it reads */
  #evaluate(scope: Scope, e: Expr, given: readonly (readonly [Stage, string])[]): string {
    const name = scope.shader.fresh('value');
    scope.line(`var ${name}: f32;`);
    scope.block('', (inner) => {
      for (const [stage, text] of given) this.#known.set(stage, text);
      inner.line(`${name} = ${inner.value(e)};`);
    });
    return name;
  }

  logit(scope: Scope, score: string): string {
    return this.#evaluate(scope, this.#attention.logit, [[this.#attention.scores, score]]);
  }

  /** exp(logit − reference) */
  power(scope: Scope, logit: string, peak: string): string {
    const name = scope.shader.fresh('power');
    const reference = this.#reference(scope, peak);
    scope.line(`let ${name} = exp(${logit} - ${reference});`);
    return name;
  }

  /**
   * The power of every key of a row in which all logits are −∞: 0, or NaN where the reference is −∞ as well. Compilers take it
   * that a value less itself is 0, so that this is no arithmetic.
   */
  maskedPower(scope: Scope, peak: string): string {
    const { helpers } = scope.shader;
    const reference = this.#reference(scope, peak);
    const isLost = `${this.isLowest(scope, reference)} || ${helpers.use('is_nan')}(${reference})`;
    return scope.define('f32', `select(0.0f, ${helpers.use('not_a_number')}(), ${isLost})`);
  }

  #reference(scope: Scope, peak: string): string {
    return this.#evaluate(scope, this.#attention.reference, [[this.#attention.peak, peak]]);
  }

  /** By what powers above an earlier peak become those above a later one. */
  scale(scope: Scope, before: string, after: string): string {
    const name = scope.shader.fresh('scale');
    const [from, to] = [this.#reference(scope, before), this.#reference(scope, after)];
    // There is nothing to be scaled before the first logit, whatever the reference may be then.
    scope.line(`let ${name} = select(exp(${from} - ${to}), 0.0f, ${this.isLowest(scope, before)});`);
    return name;
  }

  lowest(scope: Scope): string {
    return `(-${scope.shader.helpers.use('infinity')}())`;
  }

  /** Whether a peak is that of no keys, or of keys that are all masked by infinities. */
  isLowest(scope: Scope, peak: string): string {
    return `${scope.shader.helpers.use('is_infinite')}(${peak}, 0xff800000u)`;
  }

  /** Stores a result: its row and value axes have their values. @param sum of powers times values */
  store(scope: Scope, peak: string, total: string, sum: string): void {
    const { values, epilogue, peak: peakStage, total: totalStage, weigh } = this.#attention;
    const placeholder: Expr = {
      kind: 'load',
      type: 'float32',
      source: values,
      index: values.axes.map((axis: Axis) => toIndex(axis)),
    };
    const result = this.#evaluate(scope, weigh(placeholder), [
      [values, sum],
      [peakStage, peak],
      [totalStage, total],
    ]);
    this.#known.set(values, result);
    emitEpilogue(scope, this.#kernel, values, (epilogue ? [epilogue] : []) as readonly MapStage[], this.#known);
  }
}
