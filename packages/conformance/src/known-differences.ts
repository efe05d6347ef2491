// Differences that are known: of a peer that deviates from ONNX or leaves it open, or of a provider that has a bug.

import type { Verdict } from './run-cases.ts';
import type { RuntimeId } from './runtimes.ts';

interface KnownDifference {
  readonly against: RuntimeId;
  /** Generator of the case. */
  readonly op: string | RegExp;
  /** Must match the printed case, if given. */
  readonly text?: RegExp;
  /** Must match the verdict's reason, if given. */
  readonly reason?: RegExp;
  /** Why it is not a bug of ours, or which one it is. */
  readonly why: string;
}

const peer = 'onnxruntime-node';

const known: readonly KnownDifference[] = [
  { against: peer, op: 'Cast#text', why: 'floats get 8 digits, not the shortest text, and no ".0"; bools are 1 and 0' },
  {
    against: peer,
    op: /^Cast(Like)?$/,
    text: /\{to=(21|22)[},]|\bu?int4\b/,
    why: 'floats are rounded to 4-bit integers; ONNX truncates toward zero as for other integers',
  },
  {
    against: peer,
    op: /^(Gelu|Shrink|HardSwish|GroupNormalization|Attention|DFT|STFT|com.microsoft:FastGelu)$/,
    text: /float64/,
    why: 'constants, or the whole formula, are in float32',
  },
  {
    against: peer,
    op: 'DynamicQuantizeLinear',
    reason: /: 1, not 0.0039/,
    why: 'the scale of zeros is 1; ONNX has 1/255',
  },
  { against: peer, op: 'com.microsoft:QLinearSoftmax', reason: /: 0, not 255/, why: 'what exceeds the range wraps' },
  {
    against: peer,
    op: 'Loop',
    reason: /has shape \[0\]/,
    why: 'outputs of no rounds lose the shape of their items',
  },
  {
    against: peer,
    op: 'StringSplit',
    why: 'an empty text gives no pieces, and blanks after the last split are dropped; not so in Python',
  },
  {
    against: peer,
    op: 'ai.onnx.ml:TreeEnsembleClassifier',
    text: /classlabels_\w+=\[[^,\]]+, ?[^,\]]+\]/,
    why: 'of two classes with scores, the second wins whenever its score is above 0',
  },
  {
    against: peer,
    op: 'ai.onnx.ml:TreeEnsembleRegressor',
    text: /base_values=/,
    why: 'the base value of a target that no leaf adds to is left out',
  },
  {
    against: peer,
    op: 'ai.onnx.ml:TreeEnsemble',
    text: /post_transform=[12]\b/,
    why: 'softmax and logistic are swapped',
  },
  {
    against: peer,
    op: /GridSample$/,
    text: /cubic.*padding_mode="border"/,
    why: 'ONNX leaves open whether the point or its neighbours are moved to the border',
  },
  {
    against: peer,
    op: 'com.microsoft:MoE',
    text: /= Neg\(v\d+\)\nreturn/,
    why: 'now and then its output is not written where another node reads it',
  },
  {
    against: peer,
    op: 'com.microsoft:QMoE',
    text: /^(?![\s\S]*normalize_routing_weights=1)/,
    why: 'on the CPU, the shares of the picked experts always sum to 1; on GPUs and in MoE, only when that is asked for',
  },
  { against: peer, op: 'Shrink', text: /int64/, why: 'sums beyond the range become the least integer' },
  { against: peer, op: 'Gather', text: /string\[/, why: 'texts of rows are lost' },
  { against: peer, op: 'TopK', text: /\b0[\],]/, reason: /process ended/, why: 'divides by the size of an empty axis' },
  { against: peer, op: 'com.microsoft:QLinearWhere', reason: /process ended/, why: 'reads beyond constants' },
  { against: peer, op: 'LSTM', text: /Softplus/, reason: /Infinity/, why: 'softplus overflows' },
  { against: peer, op: 'Sign', text: /float16/, reason: /not NaN/, why: 'the sign of NaN is 0' },
  {
    against: peer,
    op: /^Cast(Like)?$/,
    text: /float8\S+\[.*-0/,
    reason: /: 1, not 0/,
    why: 'true where a bit is set: −0',
  },
  { against: peer, op: 'MeanVarianceNormalization', reason: /: NaN, not/, why: 'a deviation of 0 is divided by' },
  {
    against: peer,
    op: 'Clip',
    reason: /(3\.40\S+e\+38|1\.79\S+e\+308|65504), not -?Infinity/,
    why: 'a bound that is left out is the largest finite number there; ONNX has a function body without that bound',
  },
  { against: peer, op: 'Pad', text: /mode="wrap"/, why: 'with a negative pad on one side, elements are not written' },
  { against: peer, op: 'Col2Im', why: 'with several channels and dilations, elements land in the wrong channel' },
  { against: peer, op: /^Reduce(Max|Min|LogSumExp)$/, reason: /not NaN$/, why: 'NaN is skipped here and there' },
  { against: peer, op: 'Unique', text: /\b0[\],]/, reason: /process ended/, why: 'an exception in a thread' },
  {
    against: peer,
    op: 'StringNormalizer',
    text: /ß/,
    why: 'letters whose other case has two letters stay; in Python, which ONNX refers to, they do not',
  },
  { against: peer, op: /^Reduce/, text: /\b0[\],]/, why: 'an empty input keeps its reduced axes' },
  { against: peer, op: /^Resize/, text: /u?int8[\s\S]*antialias=1/, why: 'negative integers become 0' },
  { against: peer, op: /^Reduce(LogSum|LogSumExp|L2|Mean)$/, text: /: int/, why: 'integers go through floating point' },
  { against: peer, op: /^MatMul|^Gemm$/, text: /\b0[\],]/, why: 'sums of no terms are not written' },
  {
    against: peer,
    op: /^(Average|Max|Lp|com.microsoft:NhwcMax|com.microsoft:QLinearAverage)Pool$/,
    text: /auto_pad="SAME/,
    why: 'dilations are left out of the padding, which may become negative',
  },
  { against: peer, op: 'MaxPool', reason: /-3\.40\S+, not -Infinity/, why: 'the maximum of padding alone' },
  {
    against: peer,
    op: 'ConvTranspose',
    text: /auto_pad="SAME/,
    why: 'what the padding is for a kernel smaller than the stride is left open by ONNX',
  },
  ...(['cpu', 'cpu2'] as const).map((against) => ({
    against,
    op: /^(RoiAlign|com.microsoft:CropAndResize)$/,
    reason: /OUT_OF_RANGE/,
    why: 'an index into an image that is not there is an error, also of a region where nothing is read',
  })),
  { against: peer, op: 'Dropout', text: /opset ai.onnx ([7-9]|1[01])\b/, why: 'the mask was left open before 12' },
];

export function knownDifference(against: RuntimeId, { op, text, reason }: Verdict): KnownDifference | undefined {
  return known.find(
    (item) =>
      item.against === against &&
      (typeof item.op === 'string' ? item.op === op : item.op.test(op)) &&
      (item.text?.test(text) ?? true) &&
      (item.reason?.test(reason) ?? true),
  );
}
