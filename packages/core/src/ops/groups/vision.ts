// Detection and warping of pictures.

export * as deformConv from '../deform-conv.ts';
export * as gridSample from '../grid-sample.ts';
export * as localNorm from '../local-norm.ts';
export * as nonMaxSuppression from '../non-max-suppression.ts';
export * as roi from '../roi.ts';
export * as unpool from '../unpool.ts';
