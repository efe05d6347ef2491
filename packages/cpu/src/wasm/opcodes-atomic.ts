// Atomic memory accesses of the threads proposal. All are sequentially consistent.

import { memoryRow } from './opcode.ts';

/** The seven widths of one read-modify-write, in the order of their codes; the address counts as an operand. */
function readModifyWrite<Name extends string>(first: number, name: Name, operands: 2 | 3 = 2) {
  const i32 = operands === 2 ? 'ii:i' : 'iii:i';
  const i64 = operands === 2 ? 'il:l' : 'ill:l';
  const narrow = `${name}_u` as const;
  return {
    ...memoryRow('i32.atomic.rmw', first, i32, 4, name),
    ...memoryRow('i64.atomic.rmw', first + 1, i64, 8, name),
    ...memoryRow('i32.atomic.rmw8', first + 2, i32, 1, narrow),
    ...memoryRow('i32.atomic.rmw16', first + 3, i32, 2, narrow),
    ...memoryRow('i64.atomic.rmw8', first + 4, i64, 1, narrow),
    ...memoryRow('i64.atomic.rmw16', first + 5, i64, 2, narrow),
    ...memoryRow('i64.atomic.rmw32', first + 6, i64, 4, narrow),
  };
}

export const atomicOps = {
  /** Operands: address, how many to wake. Result: how many were woken. */
  ...memoryRow('memory.atomic', 0xfe_0000, 'ii:i', 4, 'notify'),
  /** Operands: address, expected value, nanoseconds (negative: for ever). Result: 0 woken, 1 not equal, 2 timed out. */
  ...memoryRow('memory.atomic', 0xfe_0001, 'iil:i', 4, 'wait32'),
  ...memoryRow('memory.atomic', 0xfe_0002, 'ill:i', 8, 'wait64'),

  ...memoryRow('i32.atomic', 0xfe_0010, 'i:i', 4, 'load'),
  ...memoryRow('i64.atomic', 0xfe_0011, 'i:l', 8, 'load'),
  ...memoryRow('i32.atomic', 0xfe_0012, 'i:i', 1, 'load8_u'),
  ...memoryRow('i32.atomic', 0xfe_0013, 'i:i', 2, 'load16_u'),
  ...memoryRow('i64.atomic', 0xfe_0014, 'i:l', 1, 'load8_u'),
  ...memoryRow('i64.atomic', 0xfe_0015, 'i:l', 2, 'load16_u'),
  ...memoryRow('i64.atomic', 0xfe_0016, 'i:l', 4, 'load32_u'),

  ...memoryRow('i32.atomic', 0xfe_0017, 'ii:', 4, 'store'),
  ...memoryRow('i64.atomic', 0xfe_0018, 'il:', 8, 'store'),
  ...memoryRow('i32.atomic', 0xfe_0019, 'ii:', 1, 'store8'),
  ...memoryRow('i32.atomic', 0xfe_001a, 'ii:', 2, 'store16'),
  ...memoryRow('i64.atomic', 0xfe_001b, 'il:', 1, 'store8'),
  ...memoryRow('i64.atomic', 0xfe_001c, 'il:', 2, 'store16'),
  ...memoryRow('i64.atomic', 0xfe_001d, 'il:', 4, 'store32'),

  ...readModifyWrite(0xfe_001e, 'add'),
  ...readModifyWrite(0xfe_0025, 'sub'),
  ...readModifyWrite(0xfe_002c, 'and'),
  ...readModifyWrite(0xfe_0033, 'or'),
  ...readModifyWrite(0xfe_003a, 'xor'),
  ...readModifyWrite(0xfe_0041, 'xchg'),
  /** Operands: address, expected, replacement. Result: the value before. */
  ...readModifyWrite(0xfe_0048, 'cmpxchg', 3),
};
