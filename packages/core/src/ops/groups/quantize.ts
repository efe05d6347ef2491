// Quantisation and products of quantised tensors.

export * as quantize from '../quantize.ts';
export * as quantizeProduct from '../quantize-product.ts';
