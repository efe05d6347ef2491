// Narrow float arithmetic as float32 arithmetic: what the tensor IR computes anyway, without rounding in between.

import { cast, constant, type Expr, type ExprType, rebuild } from '../index.ts';

const isNarrow = (type: ExprType): boolean => type === 'float16' || type === 'bfloat16';

/**
 * The same value as float32, with loads from memory converted. Loads that `replace` knows become what it says, which
 * must be float32.
 * @throws TypeError where the bits of a narrow value matter
 */
export function widen(
  root: Expr,
  replace: (load: Expr & { kind: 'load' }) => Expr | undefined = () => undefined,
): Expr {
  const done = new Map<Expr, Expr>();
  const visit = (e: Expr): Expr => {
    const known = done.get(e);
    if (known) return known;
    const result = widened(e);
    done.set(e, result);
    return result;
  };
  const widened = (e: Expr): Expr => {
    if (e.kind === 'load') {
      const replaced = replace(e);
      if (replaced) return replaced;
      const index = e.index.map(visit);
      const load: Expr = e.guard ? { ...e, index, guard: visit(e.guard), fill: e.fill! } : { ...e, index };
      return isNarrow(e.type) ? cast('float32', load) : load;
    }
    if (e.kind === 'bitcast' && (isNarrow(e.type) || isNarrow(e.x.type)))
      throw new TypeError('the bits of a narrow float');
    if (e.kind === 'const' && isNarrow(e.type)) return constant('float32', e.value);
    if (e.kind === 'cast' && (isNarrow(e.type) || isNarrow(e.x.type))) {
      return cast(isNarrow(e.type) ? 'float32' : e.type, visit(e.x), { saturate: e.saturate });
    }
    return rebuild(e, visit);
  };
  return visit(root);
}
