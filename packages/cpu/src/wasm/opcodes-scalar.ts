// Numeric instructions and memory accesses of i32, i64, f32 and f64.

import { memoryRow, row } from './opcode.ts';

export const scalarOps = {
  ...row('i32', 0x45, 'i:i', 'eqz'),
  ...row('i32', 0x46, 'ii:i', 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'),
  ...row('i64', 0x50, 'l:i', 'eqz'),
  ...row('i64', 0x51, 'll:i', 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u'),
  ...row('f32', 0x5b, 'ff:i', 'eq ne lt gt le ge'),
  ...row('f64', 0x61, 'dd:i', 'eq ne lt gt le ge'),
  ...row('i32', 0x67, 'i:i', 'clz ctz popcnt'),
  ...row('i32', 0x6a, 'ii:i', 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr'),
  ...row('i64', 0x79, 'l:l', 'clz ctz popcnt'),
  ...row('i64', 0x7c, 'll:l', 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr'),
  ...row('f32', 0x8b, 'f:f', 'abs neg ceil floor trunc nearest sqrt'),
  ...row('f32', 0x92, 'ff:f', 'add sub mul div min max copysign'),
  ...row('f64', 0x99, 'd:d', 'abs neg ceil floor trunc nearest sqrt'),
  ...row('f64', 0xa0, 'dd:d', 'add sub mul div min max copysign'),

  ...row('i32', 0xa7, 'l:i', 'wrap_i64'),
  ...row('i32', 0xa8, 'f:i', 'trunc_f32_s trunc_f32_u'),
  ...row('i32', 0xaa, 'd:i', 'trunc_f64_s trunc_f64_u'),
  ...row('i64', 0xac, 'i:l', 'extend_i32_s extend_i32_u'),
  ...row('i64', 0xae, 'f:l', 'trunc_f32_s trunc_f32_u'),
  ...row('i64', 0xb0, 'd:l', 'trunc_f64_s trunc_f64_u'),
  ...row('f32', 0xb2, 'i:f', 'convert_i32_s convert_i32_u'),
  ...row('f32', 0xb4, 'l:f', 'convert_i64_s convert_i64_u'),
  ...row('f32', 0xb6, 'd:f', 'demote_f64'),
  ...row('f64', 0xb7, 'i:d', 'convert_i32_s convert_i32_u'),
  ...row('f64', 0xb9, 'l:d', 'convert_i64_s convert_i64_u'),
  ...row('f64', 0xbb, 'f:d', 'promote_f32'),
  ...row('i32', 0xbc, 'f:i', 'reinterpret_f32'),
  ...row('i64', 0xbd, 'd:l', 'reinterpret_f64'),
  ...row('f32', 0xbe, 'i:f', 'reinterpret_i32'),
  ...row('f64', 0xbf, 'l:d', 'reinterpret_i64'),
  ...row('i32', 0xc0, 'i:i', 'extend8_s extend16_s'),
  ...row('i64', 0xc2, 'l:l', 'extend8_s extend16_s extend32_s'),

  ...row('i32', 0xfc_0000, 'f:i', 'trunc_sat_f32_s trunc_sat_f32_u'),
  ...row('i32', 0xfc_0002, 'd:i', 'trunc_sat_f64_s trunc_sat_f64_u'),
  ...row('i64', 0xfc_0004, 'f:l', 'trunc_sat_f32_s trunc_sat_f32_u'),
  ...row('i64', 0xfc_0006, 'd:l', 'trunc_sat_f64_s trunc_sat_f64_u'),
};

export const scalarLoads = {
  ...memoryRow('i32', 0x28, 'i:i', 4, 'load'),
  ...memoryRow('i64', 0x29, 'i:l', 8, 'load'),
  ...memoryRow('f32', 0x2a, 'i:f', 4, 'load'),
  ...memoryRow('f64', 0x2b, 'i:d', 8, 'load'),
  ...memoryRow('i32', 0x2c, 'i:i', 1, 'load8_s load8_u'),
  ...memoryRow('i32', 0x2e, 'i:i', 2, 'load16_s load16_u'),
  ...memoryRow('i64', 0x30, 'i:l', 1, 'load8_s load8_u'),
  ...memoryRow('i64', 0x32, 'i:l', 2, 'load16_s load16_u'),
  ...memoryRow('i64', 0x34, 'i:l', 4, 'load32_s load32_u'),
};

export const scalarStores = {
  ...memoryRow('i32', 0x36, 'ii:', 4, 'store'),
  ...memoryRow('i64', 0x37, 'il:', 8, 'store'),
  ...memoryRow('f32', 0x38, 'if:', 4, 'store'),
  ...memoryRow('f64', 0x39, 'id:', 8, 'store'),
  ...memoryRow('i32', 0x3a, 'ii:', 1, 'store8'),
  ...memoryRow('i32', 0x3b, 'ii:', 2, 'store16'),
  ...memoryRow('i64', 0x3c, 'il:', 1, 'store8'),
  ...memoryRow('i64', 0x3d, 'il:', 2, 'store16'),
  ...memoryRow('i64', 0x3e, 'il:', 4, 'store32'),
};
