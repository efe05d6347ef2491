// All operators. A new operator is one more export of a family file; a new family is one more line here.

import * as activations from './activations.ts';
import * as argReduce from './arg-reduce.ts';
import * as attention from './attention.ts';
import * as batchNorm from './batch-norm.ts';
import * as cast from './cast.ts';
import * as causalConv from './causal-conv.ts';
import * as concatSplit from './concat-split.ts';
import * as constant from './constant.ts';
import * as control from './control.ts';
import * as conv from './conv.ts';
import * as convTranspose from './conv-transpose.ts';
import * as cumulative from './cumulative.ts';
import type { OperatorDefinition } from './define.ts';
import * as deformConv from './deform-conv.ts';
import * as determinant from './determinant.ts';
import * as dropout from './dropout.ts';
import * as einsum from './einsum.ts';
import * as elementwise from './elementwise.ts';
import * as flexAttention from './flex-attention.ts';
import * as gather from './gather.ts';
import * as gradientMovement from './gradient/movement.ts';
import * as gradientPointwise from './gradient/pointwise.ts';
import * as gradientProduct from './gradient/product.ts';
import * as gradientReduce from './gradient/reduce.ts';
import * as gradientRule from './gradient/rule.ts';
import * as gridSample from './grid-sample.ts';
import * as imageDecoder from './image/image-decoder.ts';
import * as linearAttention from './linear-attention.ts';
import * as localNorm from './local-norm.ts';
import * as logic from './logic.ts';
import * as loss from './loss.ts';
import * as math from './math.ts';
import * as matmul from './matmul.ts';
import * as microsoftActivations from './microsoft/activations.ts';
import * as microsoftAttention from './microsoft/attention.ts';
import * as microsoftChannelsLast from './microsoft/channels-last.ts';
import * as microsoftCropAndResize from './microsoft/crop-and-resize.ts';
import * as microsoftDecoderAttention from './microsoft/decoder-attention.ts';
import * as dynamicQuantizeLstm from './microsoft/dynamic-quantize-lstm.ts';
import * as embedLayerNorm from './microsoft/embed-layer-norm.ts';
import * as microsoftFourier from './microsoft/fourier.ts';
import * as fused from './microsoft/fused.ts';
import * as microsoftFusedProduct from './microsoft/fused-product.ts';
import * as microsoftGated from './microsoft/gated.ts';
import * as gatherBlockQuantized from './microsoft/gather-block-quantized.ts';
import * as microsoftGroupNorm from './microsoft/group-norm.ts';
import * as groupQueryAttention from './microsoft/group-query-attention.ts';
import * as microsoftInverse from './microsoft/inverse.ts';
import * as matMulNBits from './microsoft/matmul-nbits.ts';
import * as microsoftMoe from './microsoft/moe.ts';
import * as multiHeadAttention from './microsoft/multi-head-attention.ts';
import * as microsoftPackedRecurrence from './microsoft/packed-recurrence.ts';
import * as microsoftPadding from './microsoft/padding.ts';
import * as microsoftPositions from './microsoft/positions.ts';
import * as microsoftQuantize from './microsoft/quantize.ts';
import * as microsoftQuantizeComposite from './microsoft/quantize-composite.ts';
import * as microsoftQuantizeProduct from './microsoft/quantize-product.ts';
import * as quantizedAttention from './microsoft/quantized-attention.ts';
import * as microsoftRotary from './microsoft/rotary-embedding.ts';
import * as microsoftShape from './microsoft/shape.ts';
import * as skipNorm from './microsoft/skip-norm.ts';
import * as microsoftSparseAttention from './microsoft/sparse-attention.ts';
import * as microsoftTokens from './microsoft/tokens.ts';
import * as microsoftVariants from './microsoft/variants.ts';
import * as mlCategories from './ml/categories.ts';
import * as mlFeatureVectors from './ml/feature-vectors.ts';
import * as mlLinear from './ml/linear.ts';
import * as mlMaps from './ml/maps.ts';
import * as mlScaling from './ml/scaling.ts';
import * as mlSvm from './ml/svm.ts';
import * as mlTreeOperators from './ml/tree-operators.ts';
import * as movement from './movement.ts';
import * as nonMaxSuppression from './non-max-suppression.ts';
import * as normalize from './normalize.ts';
import * as pad from './pad.ts';
import * as pool from './pool.ts';
import * as quantize from './quantize.ts';
import * as quantizeProduct from './quantize-product.ts';
import * as random from './random.ts';
import * as recurrent from './recurrent.ts';
import * as reduce from './reduce.ts';
import * as resize from './resize.ts';
import * as roi from './roi.ts';
import * as rotary from './rotary.ts';
import * as scatter from './scatter.ts';
import * as sequence from './sequence.ts';
import * as shape from './shape.ts';
import * as signal from './signal.ts';
import * as slice from './slice.ts';
import * as softmax from './softmax.ts';
import * as sort from './sort.ts';
import * as text from './text.ts';
import * as tfIdf from './tf-idf.ts';
import * as topK from './top-k.ts';
import * as training from './training.ts';
import * as unpool from './unpool.ts';

const families: readonly Readonly<Record<string, unknown>>[] = [
  activations,
  tfIdf,
  roi,
  nonMaxSuppression,
  gridSample,
  argReduce,
  attention,
  batchNorm,
  cast,
  concatSplit,
  constant,
  control,
  conv,
  cumulative,
  dropout,
  einsum,
  elementwise,
  gather,
  logic,
  math,
  matmul,
  movement,
  normalize,
  pad,
  pool,
  random,
  reduce,
  scatter,
  sequence,
  shape,
  slice,
  softmax,
  sort,
  text,
  topK,
  unpool,
  convTranspose,
  deformConv,
  localNorm,
  rotary,
  quantize,
  quantizeProduct,
  microsoftActivations,
  microsoftQuantize,
  microsoftQuantizeComposite,
  microsoftQuantizeProduct,
  microsoftShape,
  resize,
  skipNorm,
  embedLayerNorm,
  microsoftGroupNorm,
  matMulNBits,
  multiHeadAttention,
  microsoftAttention,
  microsoftRotary,
  groupQueryAttention,
  fused,
  quantizedAttention,
  gatherBlockQuantized,
  recurrent,
  dynamicQuantizeLstm,
  signal,
  determinant,
  loss,
  causalConv,
  linearAttention,
  flexAttention,
  imageDecoder,
  training,
  microsoftChannelsLast,
  microsoftCropAndResize,
  microsoftDecoderAttention,
  microsoftFourier,
  microsoftFusedProduct,
  microsoftGated,
  microsoftInverse,
  microsoftMoe,
  microsoftPackedRecurrence,
  microsoftPadding,
  microsoftPositions,
  microsoftSparseAttention,
  microsoftTokens,
  microsoftVariants,
  gradientRule,
  gradientPointwise,
  gradientMovement,
  gradientReduce,
  gradientProduct,
  mlCategories,
  mlFeatureVectors,
  mlLinear,
  mlMaps,
  mlScaling,
  mlSvm,
  mlTreeOperators,
];

function isDefinition(value: unknown): value is OperatorDefinition {
  return typeof value === 'object' && value !== null && 'infer' in value && 'since' in value;
}

/** Every definition, in no particular order. Families export definitions or arrays of them. */
export function allOperators(): OperatorDefinition[] {
  return families.flatMap((family) => Object.values(family).flat().filter(isDefinition));
}
