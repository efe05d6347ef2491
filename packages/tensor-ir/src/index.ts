export * from './affine.ts';
export { type AppendCandidate, type AppendedTensor, appendInPlace } from './append.ts';
export * from './dim.ts';
export { decodeDim, type EncodedDim, encodeDim } from './dim-codec.ts';
export { DimProgram } from './dim-program.ts';
export * from './dtype.ts';
export * from './epilogue.ts';
export * from './expr.ts';
export * from './expr-number.ts';
export { type FusedProgram, fuseProgram } from './fuse.ts';
export * from './inline.ts';
export { integerProducts } from './integer-products.ts';
export { type InterpretOptions, interpretProgram, interpretStage } from './interpret.ts';
export { type FoldOp, foldOf } from './interpret-fold.ts';
export { readAt, writerOf } from './interpret-memory.ts';
export * from './kernel.ts';
export { assignLayouts } from './layout.ts';
export * from './loops.ts';
export * from './number-formats.ts';
export {
  type CanonicalKernel,
  canonicalKernel,
  kernelKey,
  printExpr,
  printKernel,
  printProgram,
  printStage,
} from './print.ts';
export * from './print-loops.ts';
export { bitcastFunction, castFunction, constantValue } from './scalar-casts.ts';
export { binaryFunction, compareFunction, type ScalarValue, testFunction, unaryFunction } from './scalar-ops.ts';
export { type SharedNumbers, shareNumbers } from './share-numbers.ts';
export { splitReductions } from './split-reductions.ts';
export * from './stage.ts';
export * from './structure.ts';
export * from './substitute-stages.ts';
export { allocateBuffer, type BigIntArray, type NumberArray, SizeError, type TensorBuffer } from './tensor-buffer.ts';
export * from './tensor-ref.ts';
export { verifyKernel, verifyProgram, verifyStage } from './verify.ts';
export * from './verify-loops.ts';
export { version as tensorIrVersion } from './version.ts';
