// All operators at once, for tools and tests. Sessions load the groups that their model needs: see load-operators.ts.

import type { OperatorDefinition } from './define.ts';
import * as attention from './groups/attention.ts';
import * as basic from './groups/basic.ts';
import * as image from './groups/image.ts';
import * as microsoft from './groups/microsoft.ts';
import * as ml from './groups/ml.ts';
import * as quantize from './groups/quantize.ts';
import * as recurrent from './groups/recurrent.ts';
import * as sequence from './groups/sequence.ts';
import * as signal from './groups/signal.ts';
import * as text from './groups/text.ts';
import * as training from './groups/training.ts';
import * as vision from './groups/vision.ts';
import { definitionsOf } from './load-operators.ts';

/** Every definition, in no particular order. */
export function allOperators(): OperatorDefinition[] {
  return [
    basic,
    attention,
    image,
    microsoft,
    ml,
    quantize,
    recurrent,
    sequence,
    signal,
    text,
    training,
    vision,
  ].flatMap(definitionsOf);
}
