// If, Loop and Scan with bodies that read values of the graphs around them, and sequences.

import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import { countOf, drawShape } from '../random.ts';
import { encodeTensor, type ValueKind } from '../values.ts';
import { signedAxis } from './movement.ts';
import { batchedScan, growing, nested } from './nested.ts';

const kinds: readonly ValueKind[] = ['small', 'unit'];

function branch(b: CaseBuilder): void {
  const dtype = b.draws.pick(['float32', 'int64', 'float64'] as const);
  const shape = drawShape(b.draws, { budget: 60, least: 1 });
  const x = b.random(dtype, shape, kinds);
  const condition = b.draws.coin() ? b.random('bool', []) : b.random('bool', [1]);
  const outer = b.op('Add', [x, x]);
  const isOtherShape = b.draws.oneIn(3);
  const outputs = b.draws.between(1, 2);
  const bodies = [0, 1].map((side) => {
    const body = b.graph.subgraph();
    for (let at = 0; at < outputs; at++) {
      // A branch may give back a value from outside, of another shape than the other branch does.
      const value = body.op(b.draws.pick(['Neg', 'Abs', 'Identity']), [b.draws.pick([outer, x])]);
      const isReduced = side === 1 && isOtherShape && b.opset >= 13;
      body.output(
        isReduced ? body.op('Unsqueeze', [value, body.constant(encodeTensor('int64', [1], [0]))]) : value,
        dtype,
      );
    }
    return body.message();
  });
  const results = b.ops(
    'If',
    [condition],
    { then_branch: { graph: bodies[0] }, else_branch: { graph: bodies[1] } },
    { outputs },
  );
  for (const name of results) b.graph.output(b.draws.coin() ? b.op('Abs', [name]) : name);
}

function loop(b: CaseBuilder): void {
  const dtype = b.draws.pick(['float32', 'int64', 'int32'] as const);
  const shape = drawShape(b.draws, { budget: 40, least: 1 });
  const trips = b.draws.between(0, 5);
  const initial = b.random(dtype, shape, kinds);
  const captured = b.random(dtype, shape, kinds);
  const body = b.graph.subgraph();
  const iteration = body.input('int64', []);
  const going = body.input('bool', []);
  const state = body.input(dtype, b.draws.coin() ? shape : undefined);
  const next = body.op(b.draws.pick(['Add', 'Max', 'Sub']), [state, captured]);
  const scaled = body.op('Mul', [
    next,
    body.op('Cast', [iteration], { to: { float32: 1, int64: 7, int32: 6 }[dtype] }),
  ]);
  // The loop ends when the condition says so, or after so many rounds.
  const stops = b.draws.oneIn(3);
  const limit = body.constant(encodeTensor('int64', [], [b.draws.between(0, 4)]));
  body.output(stops ? body.op('Less', [iteration, limit]) : body.op('Identity', [going]), 'bool');
  body.output(next, dtype);
  const scans = b.draws.coin();
  if (scans) body.output(scaled, dtype);
  const inputs = [
    stops && b.draws.coin() ? undefined : b.scalar('int64', trips),
    b.draws.coin() ? b.scalar('bool', 1) : undefined,
    initial,
  ];
  const results = b.ops('Loop', inputs, { body: { graph: body.message() } }, { outputs: scans ? 2 : 1 });
  for (const name of results) b.graph.output(b.draws.coin() ? b.op('Neg', [name]) : name);
}

function scan(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 60 });
  const axis = b.draws.below(shape.length);
  const inner = shape.toSpliced(axis, 1);
  const initial = b.random('float32', inner, kinds);
  const x = b.random('float32', shape, kinds);
  const body = b.graph.subgraph();
  const state = body.input('float32', inner);
  const item = body.input('float32', b.draws.coin() ? inner : undefined);
  const sum = body.op('Add', [state, item]);
  body.output(sum, 'float32');
  body.output(body.op('Mul', [sum, item]), 'float32');
  b.allow({ ulps: 4, spread: 8 });
  const attributes = {
    body: { graph: body.message() },
    num_scan_inputs: 1,
    scan_input_axes: axis === 0 ? undefined : [signedAxis(b, axis, shape.length)],
    scan_input_directions: b.draws.maybe(() => [b.draws.below(2)]),
    scan_output_directions: b.draws.maybe(() => [b.draws.below(2)]),
    scan_output_axes: b.draws.maybe(() => [b.draws.below(shape.length)]),
  };
  b.outputs(b.ops('Scan', [initial, x], attributes, { outputs: 2 }));
}

function sequence(b: CaseBuilder): void {
  const dtype = b.draws.pick(['float32', 'int64', 'uint8'] as const);
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 40, least: 1 });
  const items = Array.from({ length: b.draws.between(1, 4) }, () => b.random(dtype, shape, kinds));
  let list = b.op('SequenceConstruct', items);
  let length = items.length;
  for (let steps = b.draws.below(3); steps > 0; steps--) {
    const position = b.draws.coin()
      ? b.scalar(b.draws.pick(['int64', 'int32'] as const), b.draws.between(-length, length - 1))
      : undefined;
    if (b.draws.coin()) {
      list = b.op('SequenceInsert', [list, b.random(dtype, shape, kinds), position]);
      length++;
    } else if (length > 1) {
      list = b.op('SequenceErase', [list, position]);
      length--;
    }
  }
  switch (b.draws.below(3)) {
    case 0:
      return b.output(
        b.op('ConcatFromSequence', [list], { axis: b.draws.between(0, shape.length - 1), new_axis: b.draws.below(2) }),
        dtype,
      );
    case 1:
      return b.output(b.op('SequenceAt', [list, b.scalar('int64', b.draws.between(-length, length - 1))]), dtype);
    default:
      return b.output(b.op('SequenceLength', [list]), 'int64');
  }
}

function splitToSequence(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 60, least: 1 });
  const axis = b.draws.below(shape.length);
  const size = shape[axis];
  const style = b.draws.below(3);
  const piece = b.draws.between(1, size);
  const keepdims = style === 0 ? b.draws.maybe(() => b.draws.below(2)) : undefined;
  const sizes = [piece, size - piece].filter((item) => item > 0);
  const split = style === 0 ? undefined : style === 1 ? b.scalar('int64', piece) : b.int64s(sizes);
  const x = b.random('float32', shape, kinds);
  const list = b.op('SplitToSequence', [x, split], { axis: signedAxis(b, axis, shape.length), keepdims });
  if (style === 0 && keepdims === 0)
    return b.output(b.op('ConcatFromSequence', [list], { axis, new_axis: 1 }), 'float32');
  b.output(b.op('ConcatFromSequence', [list], { axis }), 'float32');
}

/** Sizes that only values tell, used by what follows. */
function late(b: CaseBuilder): void {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 100, least: 1 });
  const x = b.random('float32', shape, ['small']);
  const positions = b.op('NonZero', [x]);
  const list = b.op('Transpose', [positions], { perm: [1, 0] });
  const picked = b.op('GatherND', [x, list]);
  b.allow({ ulps: 4, spread: 4 + countOf(shape) / 8 });
  switch (b.draws.below(4)) {
    case 0:
      return b.output(b.op('Relu', [picked]));
    case 1:
      return b.output(b.op('ReduceSum', [b.op('Mul', [picked, picked])], { keepdims: 0 }));
    case 2:
      return b.output(b.op('ScatterND', [x, list, b.op('Neg', [picked])]));
    default:
      b.output(picked);
      return b.output(b.op('Shape', [positions]));
  }
}

export const control: Family = {
  name: 'control',
  cases: {
    If: branch,
    Loop: loop,
    Scan: (b) => (b.opset >= 9 ? scan(b) : batchedScan(b)),
    'Loop#nested': nested,
    'If#nested': nested,
    'Loop#growing': growing,
    SequenceConstruct: sequence,
    SplitToSequence: splitToSequence,
    'NonZero#late': (b) => (b.opset >= 13 ? late(b) : branch(b)),
  },
};
