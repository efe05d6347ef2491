// The registry of all operators at once: see `index.ts`.

import { allOperators } from './index.ts';
import { OperatorRegistry } from './operator-registry.ts';

export { OperatorRegistry };

let shared: OperatorRegistry | undefined;

/** The operators that come with core. */
export function defaultRegistry(): OperatorRegistry {
  shared ??= new OperatorRegistry(allOperators());
  return shared;
}
