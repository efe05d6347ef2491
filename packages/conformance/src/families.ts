// All families of cases. A new family is one more line here.

import type { Family } from './case.ts';
import { casts, elementwise, logic } from './cases/elementwise.ts';

export const families: readonly Family[] = [elementwise, logic, casts];
