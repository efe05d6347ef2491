// Attention in all its forms, and what goes with it.

export * as attention from '../attention.ts';
export * as causalConv from '../causal-conv.ts';
export * as flexAttention from '../flex-attention.ts';
export * as linearAttention from '../linear-attention.ts';
export * as rotary from '../rotary.ts';
