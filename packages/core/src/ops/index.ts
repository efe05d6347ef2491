// All operators. A new operator is one more export of a family file; a new family is one more line here.

import type { OperatorDefinition } from './define.ts';

const families: readonly Readonly<Record<string, unknown>>[] = [];

function isDefinition(value: unknown): value is OperatorDefinition {
  return typeof value === 'object' && value !== null && 'infer' in value && 'since' in value;
}

/** Every definition, in no particular order. Families export definitions or arrays of them. */
export function allOperators(): OperatorDefinition[] {
  return families.flatMap((family) => Object.values(family).flat().filter(isDefinition));
}
