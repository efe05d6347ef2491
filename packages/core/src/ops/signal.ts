// DFT, STFT, window functions, MelWeightMatrix. DFT runs on the host; STFT is a contraction of overlapping frames with a
// table of waves, which is what a convolution with stride is.

import {
  add,
  cast,
  Dim,
  type DType,
  dimension,
  div,
  type Expr,
  eq,
  le,
  min,
  mod,
  mul,
  neg,
  select,
  sub,
  unary,
} from '@onnx-ts/tensor-ir';
import { tensorType } from '../graph/types.ts';
import { dtypeOfCode } from '../onnx/import-tensor.ts';
import type { Tensor } from '../session/tensor.ts';
import { computeType, sizeAs } from './compute-type.ts';
import {
  defineOperator,
  type EvaluateContext,
  type InferContext,
  int,
  type LowerContext,
  type NodeContext,
} from './define.ts';
import { expectFloat, expectRank } from './expect.ts';
import { complexLine, Transform } from './fft.ts';
import { numbersOf, tensorOfNumbers } from './host-elements.ts';
import { requireDType } from './pointwise.ts';

interface TransformAttributes {
  readonly inverse: number;
  readonly onesided: number;
}

const dftLength = 1;

/** Type of a DFT of [batch, …, 1 or 2] along `axis`. */
function inferDft(ctx: InferContext & { readonly attributes: TransformAttributes }, axis: number | undefined) {
  const dtype = expectFloat(ctx, 0);
  const shape = [...expectRank(ctx, 0, 2, Infinity)];
  if (axis === undefined)
    return [
      tensorType(
        dtype,
        shape.map(() => ctx.freshDim('dft')),
      ),
    ];
  const isInverse = ctx.attributes.inverse !== 0;
  const isOneSided = ctx.attributes.onesided !== 0;
  const parts = shape.length - 1;
  if (axis === parts) ctx.fail('the axis of real and imaginary parts cannot be transformed.');
  const given = ctx.hasInput(dftLength) ? (ctx.contents(dftLength)?.[0] ?? ctx.freshDim('dft')) : undefined;
  if (isOneSided && isInverse) {
    shape[axis] = given ?? shape[axis].sub(1).mul(2);
    shape[parts] = Dim.constant(1);
  } else {
    const length = given ?? shape[axis];
    shape[axis] = isOneSided ? length.floorDiv(2).add(1) : length;
    shape[parts] = Dim.constant(2);
  }
  return [tensorType(dtype, shape)];
}

/** Transforms every line along `axis`; lines are cropped or padded with zeros to the length of the transform. */
function evaluateDft(ctx: EvaluateContext & { readonly attributes: TransformAttributes }, axis: number): Tensor {
  const source = ctx.tensor(0);
  const values = numbersOf(source);
  const { dims } = source;
  const parts = dims[dims.length - 1];
  const isInverse = ctx.attributes.inverse !== 0;
  const isOneSided = ctx.attributes.onesided !== 0;
  const isRealResult = isInverse && isOneSided;
  const given = ctx.optionalTensor(dftLength);
  const natural = isRealResult ? 2 * (dims[axis] - 1) : dims[axis];
  const length = given ? numbersOf(given)[0] : natural;
  if (!(length >= 1)) ctx.fail(`the length of the transform must be at least 1, not ${length}.`);
  const half = Math.floor(length / 2) + 1;
  const outputLength = isOneSided && !isInverse ? half : length;
  const outputParts = isRealResult ? 1 : 2;
  const outputDims = dims.map((size, at) => (at === axis ? outputLength : at === dims.length - 1 ? outputParts : size));
  const inner = dims.slice(axis + 1, -1).reduce((product, size) => product * size, 1);
  const outer = dims.slice(0, axis).reduce((product, size) => product * size, 1);
  const result = new Float64Array(outer * outputLength * inner * outputParts);
  const transform = new Transform(length);
  const line = complexLine(length);
  const factor = isInverse ? 1 / length : 1;
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      line.real.fill(0);
      line.imaginary.fill(0);
      const count = Math.min(dims[axis], isRealResult ? half : length);
      for (let n = 0; n < count; n++) {
        const at = ((o * dims[axis] + n) * inner + i) * parts;
        line.real[n] = values[at];
        line.imaginary[n] = parts > 1 ? values[at + 1] : 0;
      }
      // The other half of the spectrum of real numbers mirrors the first.
      for (let n = half; isRealResult && n < length; n++) {
        line.real[n] = line.real[length - n];
        line.imaginary[n] = -line.imaginary[length - n];
      }
      transform.run(line, isInverse);
      for (let n = 0; n < outputLength; n++) {
        const at = ((o * outputLength + n) * inner + i) * outputParts;
        result[at] = line.real[n] * factor;
        if (outputParts > 1) result[at + 1] = line.imaginary[n] * factor;
      }
    }
  }
  return tensorOfNumbers(source.type, result, outputDims);
}

export const DFT17 = defineOperator({
  name: 'DFT',
  since: 17,
  attributes: { axis: int(1), inverse: int(0), onesided: int(0) },
  infer: (ctx) => inferDft(ctx, ctx.axis(ctx.attributes.axis, ctx.rank(0))),
  evaluate: (ctx) => evaluateDft(ctx, ctx.axis(ctx.attributes.axis, ctx.tensor(0).dims.length)),
});

/** Since 20 the axis is an input; absent, it is the last but one. */
export const DFT = defineOperator({
  name: 'DFT',
  since: 20,
  attributes: { inverse: int(0), onesided: int(0) },
  infer(ctx) {
    const axis = ctx.hasInput(2) ? ctx.contents(2)?.[0].constant : -2;
    return inferDft(ctx, axis === undefined ? undefined : ctx.axis(axis, ctx.rank(0)));
  },
  evaluate(ctx) {
    const given = ctx.optionalTensor(2);
    return evaluateDft(ctx, ctx.axis(given ? numbersOf(given)[0] : -2, ctx.tensor(0).dims.length));
  },
});

/** sin(2π · at / period) for 0 ≤ at < period, exact at its zeros: the sine is taken of angles up to a quarter turn only. */
function sineOfTurn(at: Expr, period: Dim, type: DType): Expr {
  const full = dimension(period);
  const isSecondHalf = le(full, mul(at, 2));
  const inHalf = select(isSecondHalf, sub(mul(at, 2), full), mul(at, 2));
  // inHalf / period is the angle in half turns; beyond a quarter turn the sine falls again.
  const inQuarter = min(inHalf, sub(full, inHalf));
  const angle = div(mul(cast(type, inQuarter), Math.PI), sizeAs(type, period.max(1)));
  const sine = unary('sin', angle);
  return select(isSecondHalf, neg(sine), sine);
}

/** cos(2π · at / period), likewise exact: a sine a quarter turn ahead, counted in quarter steps. */
function cosineOfTurn(at: Expr, period: Dim, type: DType): Expr {
  const steps = period.mul(4);
  return sineOfTurn(mod(add(mul(at, 4), dimension(period)), dimension(steps)), steps, type);
}

const [signal, frameStep, windowInput, frameLength] = [0, 1, 2, 3];

function stftSizes(ctx: NodeContext) {
  const [batch, samples, parts] = expectRank(ctx, signal, 2, 3);
  const step = ctx.contents(frameStep)?.[0];
  const length = ctx.hasInput(windowInput)
    ? expectRank(ctx, windowInput, 1)[0]
    : ctx.hasInput(frameLength)
      ? ctx.contents(frameLength)?.[0]
      : ctx.fail('either window or frame_length must be given.');
  if (parts && parts.constant !== undefined && parts.constant !== 1 && parts.constant !== 2) {
    ctx.fail(`the last axis of the signal must have one part (real) or two (complex), not ${parts}.`);
  }
  if (!step || !length) return undefined;
  if (step.constant !== undefined && step.constant < 1) ctx.fail(`frame_step must be at least 1, not ${step}.`);
  if (length.constant !== undefined && length.constant < 1) {
    ctx.fail(`a frame must have at least one sample, not ${length}.`);
  }
  const [most, least] = [samples.constant, length.constant];
  if (most !== undefined && least !== undefined && most < least) {
    ctx.fail(`the signal has ${most} samples, fewer than one frame of ${least}.`, 'Pad the signal.');
  }
  return { batch, parts, step, length, frames: samples.sub(length).floorDiv(step).add(1) };
}

/**
 * Waves times window: [sample, part of the signal, bin, part of the result], so that a frame times this matrix is its
 * spectrum. e^(−iφ) = cos φ − i sin φ.
 */
function waveTable(ctx: LowerContext, length: Dim, parts: Dim | undefined, bins: Dim, type: DType) {
  return ctx.map(
    type,
    [length, parts ?? 1, bins, 2],
    ([n, from, bin, to]) => {
      const turn = mod(mul(n, bin), dimension(length));
      const sine = sineOfTurn(turn, length, type);
      const isSamePart = eq(from, to);
      const wave = select(isSamePart, cosineOfTurn(turn, length, type), select(eq(to, 0), sine, neg(sine)));
      return ctx.hasInput(windowInput) ? mul(wave, cast(type, ctx.at(ctx.input(windowInput), [n]))) : wave;
    },
    'waves',
  );
}

export const STFT = defineOperator({
  name: 'STFT',
  since: 17,
  attributes: { onesided: int(1) },
  valueInputs: [frameStep, frameLength],
  infer(ctx) {
    const dtype = expectFloat(ctx, signal);
    const [batch] = ctx.shape(signal);
    const sizes = stftSizes(ctx);
    if (!sizes) return [tensorType(dtype, [batch, ctx.freshDim('frames'), ctx.freshDim('bins'), Dim.constant(2)])];
    const bins = ctx.attributes.onesided ? sizes.length.floorDiv(2).add(1) : sizes.length;
    return [tensorType(dtype, [batch, sizes.frames, bins, Dim.constant(2)])];
  },
  lower(ctx) {
    const sizes = stftSizes(ctx) ?? ctx.fail('frame_step and frame_length are not known.');
    const { length, parts, step } = sizes;
    const source = ctx.input(signal);
    const shape = ctx.outputShape(0);
    const wide = computeType(source.dtype);
    const table = waveTable(ctx, length, parts, shape[2], wide);
    const spectrum = ctx.reduce('sum', wide, shape, [length, parts ?? 1], ([b, frame, bin, to], [n, from]) => {
      const at = add(mul(frame, dimension(step)), n);
      const sample = cast(wide, ctx.at(source, parts ? [b, at, from] : [b, at]));
      return mul(sample, ctx.at(table, [n, from, bin, to]));
    });
    if (wide === source.dtype) return spectrum;
    return ctx.map(source.dtype, shape, (index) => cast(source.dtype, ctx.at(spectrum, index)));
  },
});

/** A window as a sum of cosines: Σ weights[k] · cos(2π · k · n / N). */
function cosineWindow(name: string, weights: readonly number[]) {
  return defineOperator({
    name,
    since: 17,
    attributes: { output_datatype: int(1), periodic: int(1) },
    valueInputs: [0],
    infer(ctx) {
      const size = ctx.contents(0)?.[0] ?? ctx.freshDim('window');
      return [tensorType(dtypeOfCode(ctx.attributes.output_datatype, 'output_datatype'), [size])];
    },
    lower(ctx) {
      const size = ctx.contents(0)?.[0] ?? ctx.fail('the size is not known.');
      const dtype = ctx.outputDType(0);
      const wide = dtype === 'float64' ? dtype : 'float32';
      const period = (ctx.attributes.periodic ? size : size.sub(1)).max(1);
      return ctx.map(dtype, [size], ([n]) => {
        const terms = weights.map((weight, k) => {
          const turn = mod(mul(n, k), dimension(period));
          return mul(cosineOfTurn(turn, period, wide), weight);
        });
        return cast(
          dtype,
          terms.reduce((sum, term) => add(sum, term)),
        );
      });
    },
  });
}

export const HannWindow = cosineWindow('HannWindow', [0.5, -0.5]);
export const HammingWindow = cosineWindow('HammingWindow', [25 / 46, -21 / 46]);
export const BlackmanWindow = cosineWindow('BlackmanWindow', [0.42, -0.5, 0.08]);

const toMel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
const toHertz = (mel: number): number => 700 * (10 ** (mel / 2595) - 1);

export const MelWeightMatrix = defineOperator({
  name: 'MelWeightMatrix',
  since: 17,
  attributes: { output_datatype: int(1) },
  infer(ctx) {
    for (const input of [0, 1, 2]) requireDType(ctx, input, ['int32', 'int64']);
    for (const input of [3, 4]) expectFloat(ctx, input);
    const bins = ctx.contents(0)?.[0] ?? ctx.freshDim('mel_bins');
    const length = ctx.contents(1)?.[0];
    const spectrum = length ? length.floorDiv(2).add(1) : ctx.freshDim('spectrum');
    return [tensorType(dtypeOfCode(ctx.attributes.output_datatype, 'output_datatype'), [spectrum, bins])];
  },
  evaluate(ctx) {
    const [melBins, length, rate, low, high] = [0, 1, 2, 3, 4].map((input) => numbersOf(ctx.tensor(input))[0]);
    const spectrumBins = Math.floor(length / 2) + 1;
    const step = (toMel(high) - toMel(low)) / (melBins + 2);
    const edges = Array.from({ length: melBins + 2 }, (_, at) =>
      Math.floor(((length + 1) * toHertz(at * step + toMel(low))) / rate),
    );
    const weights = new Float64Array(spectrumBins * melBins);
    // Each mel bin is a triangle from its lower to its upper edge.
    for (let bin = 0; bin < melBins; bin++) {
      const [lower, center, upper] = edges.slice(bin, bin + 3);
      if (upper > spectrumBins) ctx.fail(`the upper edge ${high} Hz lies beyond half the sample rate ${rate}.`);
      const set = (row: number, value: number): void => {
        weights[row * melBins + bin] = value;
      };
      if (center === lower) set(center, 1);
      else for (let row = lower; row <= center; row++) set(row, (row - lower) / (center - lower));
      for (let row = center; row < upper; row++) set(row, (upper - row) / (upper - center));
    }
    const dtype = dtypeOfCode(ctx.attributes.output_datatype, 'output_datatype');
    return tensorOfNumbers(dtype, weights, [spectrumBins, melBins]);
  },
});
