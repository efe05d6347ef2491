import { expect, it } from 'vitest';
import { type CaseRecord, reportText } from './report.ts';

it('groups reasons and ends with the counts', () => {
  const unknown = (at: number): CaseRecord => ({
    case: `node/test_foo_${at}`,
    outcome: 'unsupported',
    reason: `node "Foo_${at}", Foo (opset 17): no operator of this name is known.`,
    ms: 1,
  });
  const records: CaseRecord[] = [
    { case: 'node/test_add', outcome: 'pass', reason: '', ms: 2 },
    { case: 'node/test_bernoulli', outcome: 'pass', reason: '(distribution)', ms: 2 },
    { case: 'node/test_sub', outcome: 'fail', reason: 'output "y": 1 of 2 elements differ', ms: 3 },
    ...[0, 1, 2, 3, 4].map(unknown),
    { case: 'node/test_loop', outcome: 'error', reason: 'no answer within 60 s', ms: 60000 },
  ];
  expect(reportText(records, 2)).toMatchInlineSnapshot(`
    "fail
      node/test_sub
           output "y": 1 of 2 elements differ

    unsupported
        5  node "Foo_0", Foo (opset 17): no operator of this name is known.
           node/test_foo_0, node/test_foo_1, node/test_foo_2, node/test_foo_3, and 1 more

    error
        1  no answer within 60 s
           node/test_loop

    pass         2  0.0 s 1 case by type and shape alone (distribution)
    fail         1  0.0 s
    unsupported  5  0.0 s
    error        1  60.0 s

    2 passed, 7 failed, 2 skipped"
  `);
});
