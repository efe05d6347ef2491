// Text of loop programs: one statement a line, for tests and for people.

import type { Dim } from './dim.ts';
import type { Axis } from './expr.ts';
import { expressionsOf, type LoopHeader, type LoopPhase, type Reduction, type Statement } from './loops.ts';
import { printExprs } from './print-expr.ts';
import type { Source } from './stage.ts';
import type { TensorRef } from './tensor-ref.ts';

export function printPhase(phase: LoopPhase): string {
  return new LoopPrinter().phase(phase).join('\n');
}

const indented = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

class LoopPrinter {
  readonly typedConstants = false;
  readonly #axes = new Map<Axis, string>();
  readonly #sources = new Map<Source, string>();
  readonly #taken = new Map<string, number>();

  axis(axis: Axis): string {
    return this.#name(axis, axis.name, this.#axes);
  }

  source(source: Source): string {
    return this.#name(source, source.name || source.kind, this.#sources);
  }

  dim(dim: Dim): Dim {
    return dim;
  }

  phase({ name, parallel, independent, body }: LoopPhase): string[] {
    const axes = parallel.map((axis) => `${this.axis(axis)} < ${axis.size}`);
    const over = axes.length > 0 ? ` parallel ${axes.join(', ')}` : '';
    return [
      `phase ${name}${over}${independent ? ' independent' : ''}`,
      ...indented(body.flatMap((s) => this.#statement(s))),
    ];
  }

  #statement(statement: Statement): string[] {
    const { texts, definitions } = printExprs(expressionsOf(statement), this);
    const expressions = [...texts];
    const next = (): string => expressions.shift()!;
    const lines = [...definitions];
    switch (statement.kind) {
      case 'block':
        return ['block', ...this.#nested(statement.body)];
      case 'for': {
        const loops = statement.loops.map((loop) => this.#header(loop, next));
        const reductions = statement.reductions.map((reduction) => this.#reduction(reduction, next));
        return [...lines, `for ${loops.join(', ')}`, ...indented(reductions), ...this.#nested(statement.body)];
      }
      case 'let':
        return [...lines, `let ${this.axis(statement.axis)} = ${next()}`];
      case 'set':
        return [...lines, `${this.source(statement.variable)} = ${next()}`];
      case 'store': {
        const offset = next();
        return [...lines, `${this.source(statement.tensor)}[${offset}] = ${next()}`];
      }
      case 'if':
        return [...lines, `if ${next()}`, ...this.#nested(statement.body)];
      case 'alloc':
        return [...lines, this.#alloc(statement.tensor, statement.scope, statement.initial && next())];
    }
  }

  #nested(body: readonly Statement[]): string[] {
    return indented(body.flatMap((statement) => this.#statement(statement)));
  }

  #header({ axis, mode, begin, end }: LoopHeader, next: () => string): string {
    const low = begin ? `${next()} <= ` : '';
    return `${mode} ${low}${this.axis(axis)} < ${end ? next() : axis.size}`;
  }

  #reduction({ variable, op, arg }: Reduction, next: () => string): string {
    const name = this.source(variable);
    const value = next();
    if (!arg) return `${name} ${op}= ${value}`;
    return `${name} ${op}= ${next()} by ${value} best ${this.source(arg.best)}${arg.selectLast ? ' last' : ''}`;
  }

  #alloc(tensor: TensorRef, scope: string, initial: string | undefined): string {
    const size = tensor.shape.length > 0 ? `[${tensor.shape[0]}]` : '';
    return `${scope} ${this.source(tensor)}: ${tensor.dtype}${size}${initial ? ` = ${initial}` : ''}`;
  }

  #name<T>(item: T, wanted: string, names: Map<T, string>): string {
    let name = names.get(item);
    if (name === undefined) {
      const count = (this.#taken.get(wanted) ?? 0) + 1;
      this.#taken.set(wanted, count);
      name = count === 1 ? wanted : `${wanted}.${count}`;
      names.set(item, name);
    }
    return name;
  }
}
