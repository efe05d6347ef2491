// Control flow: core infers types through the bodies (passes/infer-control.ts) and drives them (plan/control-flow.ts).

import { defineOperator, graph, int, ints, required } from './define.ts';

export const If = defineOperator({
  name: 'If',
  since: 1,
  attributes: { then_branch: required(graph()), else_branch: required(graph()) },
  infer: () => [],
  control: 'if',
});

export const Loop = defineOperator({
  name: 'Loop',
  since: 1,
  attributes: { body: required(graph()) },
  infer: () => [],
  control: 'loop',
});

export const Scan = [
  defineOperator({
    name: 'Scan',
    since: 8,
    attributes: { body: required(graph()), num_scan_inputs: required(int()), directions: ints() },
    infer: () => [],
    control: 'scan',
  }),
  defineOperator({
    name: 'Scan',
    since: 9,
    attributes: {
      body: required(graph()),
      num_scan_inputs: required(int()),
      scan_input_axes: ints(),
      scan_output_axes: ints(),
      scan_input_directions: ints(),
      scan_output_directions: ints(),
    },
    infer: () => [],
    control: 'scan',
  }),
];

/** The body, once for each item of the first sequence and the items beside it; tensors are the same each time. */
export const SequenceMap = defineOperator({
  name: 'SequenceMap',
  since: 17,
  attributes: { body: required(graph()) },
  infer: () => [],
  control: 'sequence-map',
});
