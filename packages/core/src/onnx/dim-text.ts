// Names of sizes in ONNX files. Exporters write expressions such as "past_sequence_length + 1" into dim_param.

import { Dim } from '@onnx-ts/tensor-ir';

/**
 * Reads sums, differences, products and floor quotients of names and integers; any other text is one symbol.
 */
export function parseDim(text: string): Dim {
  const tokens = text.match(/\s*(\d+|[A-Za-z_][\w.]*|\/\/|[-+*()])/g)?.map((token) => token.trim());
  if (!tokens || tokens.join('') !== text.replaceAll(/\s+/g, '')) return Dim.symbol(text);
  let at = 0;
  const primary = (): Dim | undefined => {
    const token = tokens[at++];
    if (token === undefined) return undefined;
    if (token === '-') return primary()?.negate();
    if (token === '(') {
      const inner = sum();
      return tokens[at++] === ')' ? inner : undefined;
    }
    if (/^\d/.test(token)) return Number(token) < 2 ** 48 ? Dim.constant(Number(token)) : undefined;
    return /^\w/.test(token) ? Dim.symbol(token) : undefined;
  };
  const product = (): Dim | undefined => {
    let left = primary();
    while (left && (tokens[at] === '*' || tokens[at] === '//')) {
      const divides = tokens[at++] === '//';
      const right = primary();
      if (!right) return undefined;
      left = divides ? left.floorDiv(right) : left.mul(right);
    }
    return left;
  };
  const sum = (): Dim | undefined => {
    let left = product();
    while (left && (tokens[at] === '+' || tokens[at] === '-')) {
      const subtracts = tokens[at++] === '-';
      const right = product();
      if (!right) return undefined;
      left = subtracts ? left.sub(right) : left.add(right);
    }
    return left;
  };
  const dim = sum();
  return dim && at === tokens.length ? dim : Dim.symbol(text);
}
