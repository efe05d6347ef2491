// All families of cases. A new family is one more line here.

import type { Family } from './case.ts';
import { casts, elementwise, logic } from './cases/elementwise.ts';
import { gathering } from './cases/gather.ts';
import { movement } from './cases/movement.ts';
import { reductions } from './cases/reduce.ts';

export const families: readonly Family[] = [elementwise, logic, casts, movement, gathering, reductions];
