// What contract cases state with.

import { type HostValue, OnnxTsError, Tensor } from '@onnx-ts/core';
import { Broken } from '../result.ts';
import type { Results } from '../subject/run-alone.ts';

/** @throws Broken unless it holds */
export function check(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Broken(otherwise);
}

/** The error that something ends with. @throws Broken when it does not fail, or not with an OnnxTsError */
export async function errorOf(promise: Promise<unknown>, what: string): Promise<OnnxTsError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  check(error !== undefined, `${what} did not fail`);
  check(OnnxTsError.is(error), `${what} failed with what is no OnnxTsError: ${String(error)}`);
  return error;
}

/** Bit for bit, where `ulps` is not given. */
export function checkSame(got: Results, want: Results, what: string): void {
  for (const [name, value] of Object.entries(want)) check(isSame(got[name], value), `"${name}" ${what}`);
}

function isSame(a: HostValue | undefined, b: HostValue): boolean {
  if (!Tensor.is(a) || !Tensor.is(b)) return false;
  return (
    a.type === b.type &&
    a.dims.join() === b.dims.join() &&
    Array.from(a.data as ArrayLike<unknown>).every((value, at) => Object.is(value, b.data[at]))
  );
}
