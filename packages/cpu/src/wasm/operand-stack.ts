// The types on the operand stack while a function is written, so that a mistake is reported where it is made
// and not as a byte offset by the engine. The rules are those of the specification's validation algorithm.

import type { ValueType } from './types.ts';

export type BlockKind = 'function' | 'block' | 'loop' | 'if' | 'else';

/** An open block; the target of branches. Valid until its block ends. */
export interface Label {
  readonly kind: BlockKind;
  readonly result: readonly ValueType[];
  /** Number of labels around this one. */
  readonly nesting: number;
}

interface Frame {
  label: Label;
  readonly height: number;
  /** Set after an unconditional branch: what follows may pop anything. */
  unreachable: boolean;
}

/** Thrown while a function is written: the instruction does not fit what is on the stack, or a label is not open. */
export class AssemblyError extends Error {
  override readonly name = 'AssemblyError';
}

export class OperandStack {
  readonly #owner: string;
  readonly #types: (ValueType | 'any')[] = [];
  readonly #frames: Frame[] = [];

  /** `owner` is the function's name, for messages. */
  constructor(owner: string) {
    this.#owner = owner;
  }

  apply(instruction: string, params: readonly ValueType[], results: readonly ValueType[]): void {
    if (this.#frames.length === 0) this.fail(`${instruction} after the end of the function`);
    for (let position = params.length - 1; position >= 0; position--) this.pop(instruction, params[position]);
    for (const type of results) this.#types.push(type);
  }

  push(type: ValueType | 'any'): void {
    this.#types.push(type);
  }

  /** Pops a value of type `expected`, or of any type. */
  pop(instruction: string, expected?: ValueType): ValueType | 'any' {
    if (this.#frames.length === 0) this.fail(`${instruction} after the end of the function`);
    const frame = this.#frames[this.#frames.length - 1];
    if (this.#types.length === frame.height) {
      if (frame.unreachable) return expected ?? 'any';
      this.fail(`${instruction} needs ${expected ?? 'a value'} but the stack of this ${frame.label.kind} is empty`);
    }
    const found = this.#types.pop()!;
    if (expected !== undefined && found !== expected && found !== 'any') {
      this.fail(`${instruction} needs ${expected} but finds ${found}`);
    }
    return found;
  }

  open(kind: BlockKind, result: readonly ValueType[]): Label {
    const label: Label = { kind, result, nesting: this.#frames.length };
    this.#frames.push({ label, height: this.#types.length, unreachable: false });
    return label;
  }

  /** Ends the innermost block and leaves its results on the stack. */
  close(): void {
    const { label } = this.#leave();
    for (const type of label.result) this.#types.push(type);
  }

  /** Ends the first arm of an if and opens the other one under the same label. */
  alternative(): void {
    const { label } = this.#leave();
    this.#frames.push({ label, height: this.#types.length, unreachable: false });
  }

  /** Relative depth of `label` for a branch; checks the operands that the branch carries. */
  branch(instruction: string, label: Label, conditional: boolean): number {
    if (this.#frames[label.nesting]?.label !== label)
      this.fail(`${instruction} to a ${label.kind} that is not open here`);
    const carried = label.kind === 'loop' ? [] : label.result;
    this.apply(instruction, carried, conditional ? carried : []);
    return this.#frames.length - 1 - label.nesting;
  }

  /** Nothing after this point of the block is reached. */
  markUnreachable(): void {
    const frame = this.#frames[this.#frames.length - 1];
    this.#types.length = frame.height;
    frame.unreachable = true;
  }

  fail(reason: string): never {
    throw new AssemblyError(`in ${this.#owner}: ${reason}`);
  }

  #leave(): Frame {
    const frame = this.#frames[this.#frames.length - 1];
    this.apply(`the end of the ${frame.label.kind}`, frame.label.result, []);
    const left = this.#types.length - frame.height;
    if (left > 0)
      this.fail(
        `the ${frame.label.kind} leaves ${left} more values than it should: ${this.#types.slice(frame.height).join(' ')}`,
      );
    this.#frames.pop();
    return frame;
  }
}
