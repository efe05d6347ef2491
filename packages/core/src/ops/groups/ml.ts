// Operators of ai.onnx.ml.

export * as categories from '../ml/categories.ts';
export * as featureVectors from '../ml/feature-vectors.ts';
export * as linear from '../ml/linear.ts';
export * as maps from '../ml/maps.ts';
export * as scaling from '../ml/scaling.ts';
export * as svm from '../ml/svm.ts';
export * as treeOperators from '../ml/tree-operators.ts';
