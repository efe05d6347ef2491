// Structural identity of expressions: equal expressions get equal numbers.

import type { Expr } from './expr.ts';

/** Numbers expressions so that two get the same number exactly when they mean the same by structure. */
export class ExprNumbering {
  readonly #byNode = new Map<Expr, number>();
  readonly #byKey = new Map<string, number>();

  of(e: Expr): number {
    const known = this.#byNode.get(e);
    if (known !== undefined) return known;
    const key = this.#keyOf(e);
    let number = this.#byKey.get(key);
    if (number === undefined) {
      number = this.#byKey.size;
      this.#byKey.set(key, number);
    }
    this.#byNode.set(e, number);
    return number;
  }

  #keyOf(e: Expr): string {
    switch (e.kind) {
      case 'const':
        return `${e.type} ${Object.is(e.value, -0) ? '-0' : e.value}`;
      case 'dim':
        return `dim ${e.dim.key}`;
      case 'axis':
        return `axis ${e.axis.id}`;
      case 'load': {
        const source = `${e.source.kind === 'tensor' ? 'tensor' : 'stage'} ${e.source.id}`;
        const index = e.index.map((x) => this.of(x)).join(' ');
        return `load ${source} [${index}]${e.guard ? ` ${this.of(e.guard)} ${this.of(e.fill!)}` : ''}`;
      }
      case 'unary':
      case 'test':
        return `${e.op} ${this.of(e.x)}`;
      case 'cast':
        return `cast ${e.type} ${e.saturate} ${this.of(e.x)}`;
      case 'bitcast':
        return `bitcast ${e.type} ${this.of(e.x)}`;
      case 'bounded':
        return `bounded ${this.of(e.x)} ${e.size.key} ${e.negative}`;
      case 'binary':
      case 'compare':
        return `${e.op} ${this.of(e.a)} ${this.of(e.b)}`;
      case 'select':
        return `select ${this.of(e.condition)} ${this.of(e.whenTrue)} ${this.of(e.whenFalse)}`;
    }
  }
}
