// All families of cases. A new family is one more line here.

import type { Family } from './case.ts';
import { attentions } from './cases/attention.ts';
import { classical } from './cases/classical.ts';
import { containers } from './cases/containers.ts';
import { contributed } from './cases/contributed.ts';
import { control } from './cases/control.ts';
import { convolutions } from './cases/conv.ts';
import { decoding } from './cases/decoding.ts';
import { early } from './cases/early.ts';
import { casts, elementwise, logic } from './cases/elementwise.ts';
import { gates } from './cases/gates.ts';
import { gathering } from './cases/gather.ts';
import { graphs } from './cases/graphs.ts';
import { lowBits } from './cases/low-bits.ts';
import { products } from './cases/matmul.ts';
import { microsoft } from './cases/microsoft.ts';
import { movement } from './cases/movement.ts';
import { normalizations } from './cases/normalize.ts';
import { pools } from './cases/pool.ts';
import { quantization } from './cases/quantize.ts';
import { randomNumbers } from './cases/random-numbers.ts';
import { recurrentCells } from './cases/recurrent.ts';
import { reductions } from './cases/reduce.ts';
import { shapes } from './cases/shape.ts';
import { signals } from './cases/signal.ts';
import { textual } from './cases/text.ts';
import { training } from './cases/training.ts';
import { vision } from './cases/vision.ts';

export const families: readonly Family[] = [
  elementwise,
  logic,
  casts,
  movement,
  gathering,
  reductions,
  products,
  convolutions,
  pools,
  normalizations,
  shapes,
  quantization,
  vision,
  attentions,
  decoding,
  lowBits,
  gates,
  microsoft,
  recurrentCells,
  control,
  containers,
  signals,
  textual,
  randomNumbers,
  training,
  contributed,
  classical,
  graphs,
  early,
];
