// Reading ahead: WebAssembly has no instruction that prefetches, so what is wanted soon is read once in the order that memory
// delivers fastest.

import { FunctionBuilder } from '../../wasm/function.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import type { FunctionRef } from '../../wasm/types.ts';

const lineBytes = 64;

/** Bytes of keys, and of values, that stay in the second-level cache until they are used. */
const touchedBytes = 128 << 10;

/** Rows to touch at once. */
export function touchedKeys(rowBytes: number): number {
  return Math.max(1, Math.floor(touchedBytes / rowBytes));
}

/**
 * Function (from, stride, rows, bytes, sink): reads a word of each cache line of `rows` rows of `bytes` bytes, `stride` bytes
 * apart. A word of arbitrary content is written to `sink`. `bytes` is above 0.
 */
export function defineTouch(module: ModuleBuilder): FunctionRef {
  const params = { from: 'i32', stride: 'i32', rows: 'i32', bytes: 'i32', sink: 'i32' } as const;
  const f = new FunctionBuilder('touch', params);
  const [from, stride, rows, bytes, sink] = f.params;
  const [sum, at, end] = f.locals(3, 'i32');
  const increase = (local: typeof from, by: typeof from | number): void => {
    f.get(local);
    f.push(by);
    f.op('i32.add');
    f.set(local);
  };
  // Rows side by side are one long row.
  f.get(stride);
  f.get(bytes);
  f.op('i32.eq');
  f.if(() => {
    f.get(bytes);
    f.get(rows);
    f.op('i32.mul');
    f.set(bytes);
    f.i32Const(1);
    f.set(rows);
  });
  f.block((done) => {
    f.loop((nextRow) => {
      f.get(rows);
      f.i32Const(0);
      f.op('i32.le_s');
      f.brIf(done);
      f.get(from);
      f.set(at);
      f.get(from);
      f.get(bytes);
      f.op('i32.add');
      f.set(end);
      f.loop((nextLine) => {
        f.get(sum);
        f.get(at);
        f.load('i32.load');
        f.op('i32.xor');
        f.set(sum);
        increase(at, lineBytes);
        f.get(at);
        f.get(end);
        f.op('i32.lt_u');
        f.brIf(nextLine);
      });
      increase(from, stride);
      increase(rows, -1);
      f.br(nextRow);
    });
  });
  f.get(sink);
  f.get(sum);
  f.store('i32.store');
  return module.define(f);
}
