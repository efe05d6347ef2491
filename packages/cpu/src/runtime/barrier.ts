// Generates the wait of a barrier; see driver.ts for what reports the tiles.

import { FunctionBuilder, type Label } from '../wasm/function.ts';
import { control } from './control-block.ts';

/**
 * Waits until `expected` tiles are complete or the job is aborted. First by looking again and again, since most waits
 * are shorter than going to sleep; then asleep, so that a thread which holds tiles gets the core.
 */
export function awaitTiles(): FunctionBuilder {
  const f = new FunctionBuilder('await_tiles', { expected: 'i32' });
  const [expected] = f.params;
  const budget = f.local('i32', 'budget');
  const signal = f.local('i32', 'signal');
  const atomic = (name: 'i32.atomic.load' | 'i32.atomic.rmw.add' | 'i32.atomic.rmw.sub', address: number) => {
    f.i32Const(0);
    if (name !== 'i32.atomic.load') f.i32Const(1);
    f.atomic(name, address);
  };
  const leaveWhenOver = (over: Label) => {
    atomic('i32.atomic.load', control.completed);
    f.get(expected);
    f.op('i32.ge_s');
    f.brIf(over);
    atomic('i32.atomic.load', control.abort);
    f.brIf(over);
  };
  f.block((over) => {
    f.loop((rested) => {
      f.i32Const(0);
      f.load('i32.load', control.spin);
      f.set(budget);
      f.loop((again) => {
        leaveWhenOver(over);
        f.get(budget);
        f.i32Const(1);
        f.op('i32.sub');
        f.tee(budget);
        f.i32Const(0);
        f.op('i32.gt_s');
        f.brIf(again);
      });
      // In this order nothing is missed: whoever completes or aborts after the second look sees a sleeper, and then
      // changes the signal, so that this thread either does not fall asleep or is woken.
      atomic('i32.atomic.rmw.add', control.sleepers);
      f.drop();
      f.block((awake) => {
        atomic('i32.atomic.load', control.signal);
        f.set(signal);
        leaveWhenOver(awake);
        f.i32Const(0);
        f.get(signal);
        f.i64Const(-1);
        f.atomic('memory.atomic.wait32', control.signal);
        f.drop();
      });
      atomic('i32.atomic.rmw.sub', control.sleepers);
      f.drop();
      f.br(rested);
    });
  });
  return f;
}
