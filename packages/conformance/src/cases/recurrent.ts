// LSTM, GRU and RNN.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { type Attributes, float, floats } from '../graph-builder.ts';
import { encodeTensor } from '../values.ts';

const gates: Readonly<Record<string, number>> = { RNN: 1, GRU: 3, LSTM: 4 };
const functions = [
  'Tanh',
  'Sigmoid',
  'Relu',
  'Affine',
  'LeakyRelu',
  'ThresholdedRelu',
  'ScaledTanh',
  'HardSigmoid',
  'Elu',
  'Softsign',
  'Softplus',
];
/** Functions of a cell, one direction. */
const functionCount: Readonly<Record<string, number>> = { RNN: 1, GRU: 2, LSTM: 3 };

function recurrent(op: string): (b: CaseBuilder) => void {
  return (b) => {
    const dtype = b.dtype('T', b.isPeer ? ['float16', 'bfloat16'] : []);
    const [steps, batch, inputs, hidden] = [
      b.draws.pickEarly([2, 1, 3, 5, 9, b.isPeer ? 4 : 0]),
      b.draws.pickEarly([1, 2, 3, 8, 17]),
      b.draws.pickEarly([3, 1, 2, 8, 17, 32]),
      b.draws.pickEarly([4, 1, 3, 8, 16, 33]),
    ];
    const direction = b.draws.pick([undefined, 'forward', 'reverse', 'bidirectional']);
    const directions = direction === 'bidirectional' ? 2 : 1;
    const layout = b.opset >= 14 && !b.isPeer ? b.draws.maybe(() => b.draws.below(2)) : undefined;
    const count = gates[op];
    const state = layout ? [batch, directions, hidden] : [directions, batch, hidden];
    // Each step rounds its state: what short types lose adds up.
    const isShort = dtype === 'float16' || dtype === 'bfloat16';
    b.allow({ ulps: isShort ? 8 : 64, spread: isShort ? 4 + steps : 64 });
    const lengths = b.draws.oneIn(3)
      ? b.operand(
          encodeTensor(
            'int32',
            [batch],
            // Peers want at least one step.
            Array.from({ length: batch }, () => b.draws.between(b.isPeer ? 1 : 0, steps)),
          ),
        )
      : undefined;
    const operands = [
      b.random(dtype, layout ? [batch, steps, inputs] : [steps, batch, inputs], ['unit']),
      b.random(dtype, [directions, count * hidden, inputs], ['unit']),
      b.random(dtype, [directions, count * hidden, hidden], ['unit']),
      b.draws.maybe(() => b.random(dtype, [directions, 2 * count * hidden], ['unit'])),
      lengths,
      b.draws.maybe(() => b.random(dtype, state, ['unit'])),
    ];
    if (op === 'LSTM') {
      operands.push(b.draws.maybe(() => b.random(dtype, state, ['unit'])));
      operands.push(b.draws.oneIn(3) ? b.random(dtype, [directions, 3 * hidden], ['unit']) : undefined);
    }
    const attributes: Attributes = {
      hidden_size: hidden,
      direction,
      layout,
      clip: b.draws.oneIn(4) ? float(0.5) : undefined,
      linear_before_reset: op === 'GRU' ? b.draws.maybe(() => b.draws.below(2)) : undefined,
      input_forget: op === 'LSTM' && b.draws.oneIn(5) ? 1 : undefined,
      ...drawActivations(b, functionCount[op] * directions),
    };
    const wanted = [b.draws.coin(), true, op === 'LSTM' && b.draws.coin()];
    const results = b.ops(op, operands, attributes, { outputs: op === 'LSTM' ? wanted : wanted.slice(0, 2) });
    b.outputs(results);
  };
}

/** Functions other than the usual ones, with parameters where they have some. */
function drawActivations(b: CaseBuilder, count: number): Attributes {
  if (!b.draws.oneIn(3)) return {};
  const activations = Array.from({ length: count }, () => b.draws.pick(functions));
  if (!b.isPeer && b.draws.oneIn(3)) return { activations };
  return {
    activations,
    activation_alpha: floats(
      activations.flatMap((name) => (/Affine|Leaky|Thresh|Scaled|Hard|^Elu/.test(name) ? [0.5] : [])),
    ),
    activation_beta: floats(activations.flatMap((name) => (/Affine|Scaled|Hard/.test(name) ? [0.25] : []))),
  };
}

export const recurrentCells: Family = {
  name: 'recurrent',
  cases: { LSTM: recurrent('LSTM'), GRU: recurrent('GRU'), RNN: recurrent('RNN') },
};
