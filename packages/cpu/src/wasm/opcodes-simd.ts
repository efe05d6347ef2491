// Fixed-width SIMD (128 bits) and relaxed SIMD.

import { memoryRow, row } from './opcode.ts';

const comparisons = 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u';

const integerOps = {
  ...row('i8x16', 0xfd_000e, 'vv:v', 'swizzle'),
  ...row('i8x16', 0xfd_000f, 'i:v', 'splat'),
  ...row('i16x8', 0xfd_0010, 'i:v', 'splat'),
  ...row('i32x4', 0xfd_0011, 'i:v', 'splat'),
  ...row('i64x2', 0xfd_0012, 'l:v', 'splat'),
  ...row('i8x16', 0xfd_0023, 'vv:v', comparisons),
  ...row('i16x8', 0xfd_002d, 'vv:v', comparisons),
  ...row('i32x4', 0xfd_0037, 'vv:v', comparisons),
  ...row('v128', 0xfd_004d, 'v:v', 'not'),
  ...row('v128', 0xfd_004e, 'vv:v', 'and andnot or xor'),
  ...row('v128', 0xfd_0052, 'vvv:v', 'bitselect'),
  ...row('v128', 0xfd_0053, 'v:i', 'any_true'),

  ...row('i8x16', 0xfd_0060, 'v:v', 'abs neg popcnt'),
  ...row('i8x16', 0xfd_0063, 'v:i', 'all_true bitmask'),
  ...row('i8x16', 0xfd_0065, 'vv:v', 'narrow_i16x8_s narrow_i16x8_u'),
  ...row('i8x16', 0xfd_006b, 'vi:v', 'shl shr_s shr_u'),
  ...row(
    'i8x16',
    0xfd_006e,
    'vv:v',
    'add add_sat_s add_sat_u sub sub_sat_s sub_sat_u _ _ min_s min_u max_s max_u _ avgr_u',
  ),

  ...row('i16x8', 0xfd_007c, 'v:v', 'extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u'),
  ...row('i16x8', 0xfd_0080, 'v:v', 'abs neg'),
  ...row('i16x8', 0xfd_0082, 'vv:v', 'q15mulr_sat_s'),
  ...row('i16x8', 0xfd_0083, 'v:i', 'all_true bitmask'),
  ...row('i16x8', 0xfd_0085, 'vv:v', 'narrow_i32x4_s narrow_i32x4_u'),
  ...row('i16x8', 0xfd_0087, 'v:v', 'extend_low_i8x16_s extend_high_i8x16_s extend_low_i8x16_u extend_high_i8x16_u'),
  ...row('i16x8', 0xfd_008b, 'vi:v', 'shl shr_s shr_u'),
  ...row(
    'i16x8',
    0xfd_008e,
    'vv:v',
    'add add_sat_s add_sat_u sub sub_sat_s sub_sat_u _ mul min_s min_u max_s max_u _ avgr_u',
  ),
  ...row('i16x8', 0xfd_009c, 'vv:v', 'extmul_low_i8x16_s extmul_high_i8x16_s extmul_low_i8x16_u extmul_high_i8x16_u'),

  ...row('i32x4', 0xfd_007e, 'v:v', 'extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u'),
  ...row('i32x4', 0xfd_00a0, 'v:v', 'abs neg'),
  ...row('i32x4', 0xfd_00a3, 'v:i', 'all_true bitmask'),
  ...row('i32x4', 0xfd_00a7, 'v:v', 'extend_low_i16x8_s extend_high_i16x8_s extend_low_i16x8_u extend_high_i16x8_u'),
  ...row('i32x4', 0xfd_00ab, 'vi:v', 'shl shr_s shr_u'),
  ...row('i32x4', 0xfd_00ae, 'vv:v', 'add _ _ sub _ _ _ mul min_s min_u max_s max_u dot_i16x8_s'),
  ...row('i32x4', 0xfd_00bc, 'vv:v', 'extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u'),

  ...row('i64x2', 0xfd_00c0, 'v:v', 'abs neg'),
  ...row('i64x2', 0xfd_00c3, 'v:i', 'all_true bitmask'),
  ...row('i64x2', 0xfd_00c7, 'v:v', 'extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u'),
  ...row('i64x2', 0xfd_00cb, 'vi:v', 'shl shr_s shr_u'),
  ...row('i64x2', 0xfd_00ce, 'vv:v', 'add _ _ sub _ _ _ mul eq ne lt_s gt_s le_s ge_s'),
  ...row('i64x2', 0xfd_00dc, 'vv:v', 'extmul_low_i32x4_s extmul_high_i32x4_s extmul_low_i32x4_u extmul_high_i32x4_u'),
};

const floatOps = {
  ...row('f32x4', 0xfd_0013, 'f:v', 'splat'),
  ...row('f64x2', 0xfd_0014, 'd:v', 'splat'),
  ...row('f32x4', 0xfd_0041, 'vv:v', 'eq ne lt gt le ge'),
  ...row('f64x2', 0xfd_0047, 'vv:v', 'eq ne lt gt le ge'),
  ...row('f32x4', 0xfd_005e, 'v:v', 'demote_f64x2_zero'),
  ...row('f64x2', 0xfd_005f, 'v:v', 'promote_low_f32x4'),
  ...row('f32x4', 0xfd_0067, 'v:v', 'ceil floor trunc nearest'),
  ...row('f64x2', 0xfd_0074, 'v:v', 'ceil floor'),
  ...row('f64x2', 0xfd_007a, 'v:v', 'trunc'),
  ...row('f64x2', 0xfd_0094, 'v:v', 'nearest'),
  ...row('f32x4', 0xfd_00e0, 'v:v', 'abs neg _ sqrt'),
  ...row('f32x4', 0xfd_00e4, 'vv:v', 'add sub mul div min max pmin pmax'),
  ...row('f64x2', 0xfd_00ec, 'v:v', 'abs neg _ sqrt'),
  ...row('f64x2', 0xfd_00f0, 'vv:v', 'add sub mul div min max pmin pmax'),
  ...row('i32x4', 0xfd_00f8, 'v:v', 'trunc_sat_f32x4_s trunc_sat_f32x4_u'),
  ...row('f32x4', 0xfd_00fa, 'v:v', 'convert_i32x4_s convert_i32x4_u'),
  ...row('i32x4', 0xfd_00fc, 'v:v', 'trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero'),
  ...row('f64x2', 0xfd_00fe, 'v:v', 'convert_low_i32x4_s convert_low_i32x4_u'),
};

/** Results may differ between machines where the specification allows it; see the relaxed SIMD overview. */
export const relaxedOps = {
  ...row('i8x16', 0xfd_0100, 'vv:v', 'relaxed_swizzle'),
  ...row('i32x4', 0xfd_0101, 'v:v', 'relaxed_trunc_f32x4_s relaxed_trunc_f32x4_u'),
  ...row('i32x4', 0xfd_0103, 'v:v', 'relaxed_trunc_f64x2_s_zero relaxed_trunc_f64x2_u_zero'),
  ...row('f32x4', 0xfd_0105, 'vvv:v', 'relaxed_madd relaxed_nmadd'),
  ...row('f64x2', 0xfd_0107, 'vvv:v', 'relaxed_madd relaxed_nmadd'),
  ...row('i8x16', 0xfd_0109, 'vvv:v', 'relaxed_laneselect'),
  ...row('i16x8', 0xfd_010a, 'vvv:v', 'relaxed_laneselect'),
  ...row('i32x4', 0xfd_010b, 'vvv:v', 'relaxed_laneselect'),
  ...row('i64x2', 0xfd_010c, 'vvv:v', 'relaxed_laneselect'),
  ...row('f32x4', 0xfd_010d, 'vv:v', 'relaxed_min relaxed_max'),
  ...row('f64x2', 0xfd_010f, 'vv:v', 'relaxed_min relaxed_max'),
  ...row('i16x8', 0xfd_0111, 'vv:v', 'relaxed_q15mulr_s relaxed_dot_i8x16_i7x16_s'),
  ...row('i32x4', 0xfd_0113, 'vvv:v', 'relaxed_dot_i8x16_i7x16_add_s'),
};

export const simdOps = { ...integerOps, ...floatOps };

export const simdLoads = {
  ...memoryRow('v128', 0xfd_0000, 'i:v', 16, 'load'),
  ...memoryRow('v128', 0xfd_0001, 'i:v', 8, 'load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u'),
  ...memoryRow('v128', 0xfd_0007, 'i:v', 1, 'load8_splat'),
  ...memoryRow('v128', 0xfd_0008, 'i:v', 2, 'load16_splat'),
  ...memoryRow('v128', 0xfd_0009, 'i:v', 4, 'load32_splat'),
  ...memoryRow('v128', 0xfd_000a, 'i:v', 8, 'load64_splat'),
  ...memoryRow('v128', 0xfd_005c, 'i:v', 4, 'load32_zero'),
  ...memoryRow('v128', 0xfd_005d, 'i:v', 8, 'load64_zero'),
};

export const simdStores = { ...memoryRow('v128', 0xfd_000b, 'iv:', 16, 'store') };

/** The first operand of a replacement is the vector. */
export const laneOps = {
  ...row('i8x16', 0xfd_0015, 'v:i', 'extract_lane_s extract_lane_u', 'lane', 16),
  ...row('i8x16', 0xfd_0017, 'vi:v', 'replace_lane', 'lane', 16),
  ...row('i16x8', 0xfd_0018, 'v:i', 'extract_lane_s extract_lane_u', 'lane', 8),
  ...row('i16x8', 0xfd_001a, 'vi:v', 'replace_lane', 'lane', 8),
  ...row('i32x4', 0xfd_001b, 'v:i', 'extract_lane', 'lane', 4),
  ...row('i32x4', 0xfd_001c, 'vi:v', 'replace_lane', 'lane', 4),
  ...row('i64x2', 0xfd_001d, 'v:l', 'extract_lane', 'lane', 2),
  ...row('i64x2', 0xfd_001e, 'vl:v', 'replace_lane', 'lane', 2),
  ...row('f32x4', 0xfd_001f, 'v:f', 'extract_lane', 'lane', 4),
  ...row('f32x4', 0xfd_0020, 'vf:v', 'replace_lane', 'lane', 4),
  ...row('f64x2', 0xfd_0021, 'v:d', 'extract_lane', 'lane', 2),
  ...row('f64x2', 0xfd_0022, 'vd:v', 'replace_lane', 'lane', 2),
};

/** Replace one lane of the vector on top of the stack from memory. */
export const laneLoads = {
  ...row('v128', 0xfd_0054, 'iv:v', 'load8_lane', 'memory-lane', 1),
  ...row('v128', 0xfd_0055, 'iv:v', 'load16_lane', 'memory-lane', 2),
  ...row('v128', 0xfd_0056, 'iv:v', 'load32_lane', 'memory-lane', 4),
  ...row('v128', 0xfd_0057, 'iv:v', 'load64_lane', 'memory-lane', 8),
};

export const laneStores = {
  ...row('v128', 0xfd_0058, 'iv:', 'store8_lane', 'memory-lane', 1),
  ...row('v128', 0xfd_0059, 'iv:', 'store16_lane', 'memory-lane', 2),
  ...row('v128', 0xfd_005a, 'iv:', 'store32_lane', 'memory-lane', 4),
  ...row('v128', 0xfd_005b, 'iv:', 'store64_lane', 'memory-lane', 8),
};
