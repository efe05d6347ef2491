// All instructions by the kind of their immediates, which is what the methods of FunctionBuilder distinguish.

import type { Opcode } from './opcode.ts';
import { atomicOps } from './opcodes-atomic.ts';
import { scalarLoads, scalarOps, scalarStores } from './opcodes-scalar.ts';
import { laneLoads, laneOps, laneStores, relaxedOps, simdLoads, simdOps, simdStores } from './opcodes-simd.ts';

/** Instructions without immediates. */
export const plainOps = { ...scalarOps, ...simdOps, ...relaxedOps };
export const loadOps = { ...scalarLoads, ...simdLoads };
export const storeOps = { ...scalarStores, ...simdStores };
export { atomicOps, laneLoads, laneOps, laneStores, relaxedOps };

export type PlainOp = keyof typeof plainOps;
export type LoadOp = keyof typeof loadOps;
export type StoreOp = keyof typeof storeOps;
export type AtomicOp = keyof typeof atomicOps;
export type LaneOp = keyof typeof laneOps;
export type LaneLoadOp = keyof typeof laneLoads;
export type LaneStoreOp = keyof typeof laneStores;

/** Every tabled instruction. Control, locals, constants and shuffles are not in the tables. */
export const allOpcodes: readonly Opcode[] = [
  plainOps,
  loadOps,
  storeOps,
  atomicOps,
  laneOps,
  laneLoads,
  laneStores,
].flatMap((table) => Object.values<Opcode>(table));

/** Codes of the instructions that only FunctionBuilder's own methods emit. */
export const core = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  drop: 0x1a,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  memorySize: 0x3f,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  f32Const: 0x43,
  f64Const: 0x44,
  memoryCopy: 0xfc_000a,
  memoryFill: 0xfc_000b,
  v128Const: 0xfd_000c,
  shuffle: 0xfd_000d,
  atomicFence: 0xfe_0003,
} as const;
