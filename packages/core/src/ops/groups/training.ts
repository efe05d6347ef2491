// Losses, optimisers and gradients.

export * as gradientMovement from '../gradient/movement.ts';
export * as gradientPointwise from '../gradient/pointwise.ts';
export * as gradientProduct from '../gradient/product.ts';
export * as gradientReduce from '../gradient/reduce.ts';
export * as gradientRule from '../gradient/rule.ts';
export * as loss from '../loss.ts';
export * as training from '../training.ts';
