// Attention in fused programs, for providers that have a kernel for it. Its own entry, which models without attention do
// not load.

export type { Load } from './operand.ts';
export { type Attention, type FusedAttention, fuseAttention } from './recognize-attention.ts';
export { replaceLoads } from './row-softmax.ts';
export { widen } from './widen.ts';
