// The loops of kernels as they occur in models, and their results for odd sizes.

import { allocateBuffer, type Kernel, printPhase, type TensorBuffer, type TensorRef } from '@onnx-ts/tensor-ir';
import { describe, expect, it } from 'vitest';
import { checkKernel } from '../../tests/check-kernel.ts';
import { Random } from '../../tests/random.ts';
import {
  argMax,
  biasRelu,
  cacheUpdate,
  channelSoftmax,
  columnMean,
  embedding,
  layerNorm,
  maxPool,
  mergeHeads,
  padRows,
  softmax,
  transpose,
} from '../../tests/typical-kernels.ts';
import { scheduleKernel } from './schedule-kernel.ts';

function loopsOf(kernel: Kernel): string {
  return scheduleKernel(kernel).phases.map(printPhase).join('\n');
}

function inputsFor(kernel: Kernel, binding: ReadonlyMap<string, number>): Map<TensorRef, TensorBuffer> {
  const random = new Random(7);
  return new Map(
    kernel.params.map((param) => {
      const buffer = allocateBuffer(
        param.dtype,
        param.shape.map((dim) => dim.evaluate(binding)),
      );
      for (let i = 0; i < buffer.data.length; i++) {
        buffer.data[i] = (param.dtype === 'int64' ? BigInt(random.int(60)) : random.next() - 0.5) as never;
      }
      return [param, buffer];
    }),
  );
}

describe('loops', () => {
  it('pointwise: one chunked vector loop over all axes that move as one', () => {
    expect(loopsOf(biasRelu())).toMatchInlineSnapshot(`
      "phase relu parallel i < N
        for vector j < 768
          y[i * 768 + j] = max(x[i * 768 + j] + bias[j], 0)"
    `);
  });

  it('index maps become affine by splitting axes', () => {
    expect(loopsOf(mergeHeads())).toMatchInlineSnapshot(`
      "phase merge parallel i < N
        for serial jo < 12, vector ji < 64
          y[i * 768 + jo * 64 + ji] = x[i * 64 + jo * (64*N) + ji]"
    `);
  });

  it('transposes turn blocks in scratch memory', () => {
    expect(loopsOf(transpose())).toMatchInlineSnapshot(`
      "phase transpose parallel jc < floordiv(N + 63, 64), ic < 4
        row x: float32[8704]
        for serial 0 <= jf < (min(N, jc * 64 + 64) - jc * 64) / 4, vector ic * 64 <= i < min(200, ic * 64 + 64)
          x[i * 68 + ic * -4352 + jf * 4] = x.2[i + jc * 12800 + jf * 800]
          x[i * 68 + ic * -4352 + jf * 4 + 1] = x.2[i + jc * 12800 + jf * 800 + 200]
          x[i * 68 + ic * -4352 + jf * 4 + 2] = x.2[i + jc * 12800 + jf * 800 + 400]
          x[i * 68 + ic * -4352 + jf * 4 + 3] = x.2[i + jc * 12800 + jf * 800 + 600]
        for serial jc * 64 + (min(N, jc * 64 + 64) - jc * 64) / 4 * 4 <= j < min(N, jc * 64 + 64), vector ic * 64 <= i < min(200, ic * 64 + 64)
          x[(i - ic * 64) * 68 + (j - jc * 64)] = x.2[i + j * 200]
        for serial ic * 64 <= i < min(200, ic * 64 + 64), vector jc * 64 <= j < min(N, jc * 64 + 64)
          y[i * N + j] = x[(i - ic * 64) * 68 + (j - jc * 64)]"
    `);
  });

  it('softmax: the exponentials are kept and added up in one loop', () => {
    expect(loopsOf(softmax())).toMatchInlineSnapshot(`
      "phase softmax parallel ic < floordiv(N + 63, 64)
        for serial ic * 64 <= i < min(N, ic * 64 + 64)
          register peak: float32 = -inf
          for vector ri < 128
            peak max= x[i * 128 + ri]
          row power: float32[128]
          register total: float32 = 0
          for vector j < 128
            total sum= exp(x[i * 128 + j] - peak[])
            power[j] = exp(x[i * 128 + j] - peak[])
          for vector j.2 < 128
            y[i * 128 + j.2] = power[j.2] / total[]"
    `);
  });

  it('softmax over channels: rows side by side, their sums in scratch memory', () => {
    expect(loopsOf(channelSoftmax())).toMatchInlineSnapshot(`
      "phase softmax parallel i < 2, jc < floordiv(N + 255, 256)
        row peak: float32[256]
        for vector jc * 256 <= j < min(N, jc * 256 + 256)
          peak[j - jc * 256] = -inf
        for serial ri < 40, vector jc * 256 <= j < min(N, jc * 256 + 256)
          register peak.2: float32 = peak[j - jc * 256]
          for 
            peak.2 max= x[i * (40*N) + j + ri * N]
          peak[j - jc * 256] = peak.2[]
        row power: float32[10240]
        row total: float32[256]
        for vector jc * 256 <= j < min(N, jc * 256 + 256)
          total[j - jc * 256] = 0
        for serial k < 40, vector jc * 256 <= j < min(N, jc * 256 + 256)
          register value: float32 = exp(x[i * (40*N) + j + k * N] - peak[j - jc * 256])
          register total.2: float32 = total[j - jc * 256]
          for 
            total.2 sum= value[]
          total[j - jc * 256] = total.2[]
          power[k * 256 + (j - jc * 256)] = value[]
        row row value: float32[256]
        for vector jc * 256 <= j < min(N, jc * 256 + 256)
          row value[j - jc * 256] = 1 / total[j - jc * 256]
        for serial k.2 < 40, vector jc * 256 <= j < min(N, jc * 256 + 256)
          y[i * (40*N) + j + k.2 * N] = power[k.2 * 256 + (j - jc * 256)] * row value[j - jc * 256]"
    `);
  });

  it('layer normalisation: cheap maps are computed again', () => {
    expect(loopsOf(layerNorm())).toMatchInlineSnapshot(`
      "phase norm parallel i < N
        register mean: float32 = 0
        for vector ri < 768
          mean sum= x[i * 768 + ri] * 0.0013020833333333333
        register variance: float32 = 0
        for vector ri.2 < 768
          variance sum= (x[i * 768 + ri.2] - mean[]) * (x[i * 768 + ri.2] - mean[]) * 0.0013020833333333333
        for vector j < 768
          y[i * 768 + j] = (x[i * 768 + j] - mean[]) / sqrt(variance[] + 0.00001) * scale[j] + bias[j]"
    `);
  });

  it('windows are unrolled, and unguarded inside', () => {
    expect(loopsOf(maxPool())).toMatchInlineSnapshot(`
      "phase pool parallel i < N, k < 8
        for serial l < 8
          for vector 0 <= j < k * 2 + -1 >= 0 && k * -2 + 13 >= 0 && l * 2 + -1 >= 0 && l * -2 + 13 >= 0 ? 32 : 0
            register pool: float32 = -inf
            for unroll ri < 3, unroll rj < 3
              pool max= x[i * 7200 + j + k * 960 + l * 64 + ri * 480 + rj * 32 + -512]
            y[i * 2048 + j + k * 256 + l * 32] = pool[]
          for vector k * 2 + -1 >= 0 && k * -2 + 13 >= 0 && l * 2 + -1 >= 0 && l * -2 + 13 >= 0 ? 32 : 0 <= j < 32
            register pool: float32 = -inf
            for unroll ri < 3, unroll rj < 3
              pool max= x[i * 7200 + j + k * 960 + l * 64 + ri * 480 + rj * 32 + -512 when k * 2 + ri + -1 >= 0 && k * 2 + ri + -1 < 15 && (l * 2 + rj + -1 >= 0 && l * 2 + rj + -1 < 15) else -inf]
            y[i * 2048 + j + k * 256 + l * 32] = pool[]"
    `);
  });

  it('padding is a cut of the loop', () => {
    expect(loopsOf(padRows())).toMatchInlineSnapshot(`
      "phase pad parallel i < N
        for vector 0 <= j < 2
          y[i * 34 + j] = x[i * 30 + j + -2 when j >= 2 && j < 32 else 0]
        for vector 2 <= j < 32
          y[i * 34 + j] = x[i * 30 + j + -2]
        for vector 32 <= j < 34
          y[i * 34 + j] = x[i * 30 + j + -2 when j >= 2 && j < 32 else 0]"
    `);
  });

  it('long reductions over rows of memory take several rows at a time', () => {
    expect(loopsOf(columnMean())).toMatchInlineSnapshot(`
      "phase sums
        row sums columns: float32[768]
        for vector i < 768
          sums columns[i] = 0
        block
          for serial rig < floordiv(N, 8)
            for vector i < 768
              register sums: float32 = sums columns[i]
              for unroll riu < 8
                sums sum= x[i + (rig * 8 + riu) * 768]
              sums columns[i] = sums[]
          for serial 8*floordiv(N, 8) <= ri < N
            for vector i < 768
              register sums: float32 = sums columns[i]
              for 
                sums sum= x[i + ri * 768]
              sums columns[i] = sums[]
        for vector i < 768
          register sums: float32 = sums columns[i]
          y[i] = sums[]"
    `);
  });

  it('updates keep their order where they may meet', () => {
    expect(loopsOf(cacheUpdate())).toMatchInlineSnapshot(`
      "phase append
        for vector ij < 1024
          y[ij] = cache[ij]
      phase append
        for serial ui < N, vector uj < 16
          y[uj + bounded(index(at[ui]), 64) * 16] = keys[ui * 16 + uj]"
    `);
  });
});

describe('results', () => {
  const kernels = [
    argMax,
    biasRelu,
    cacheUpdate,
    channelSoftmax,
    columnMean,
    embedding,
    layerNorm,
    maxPool,
    mergeHeads,
    padRows,
    softmax,
    transpose,
  ];
  for (const make of kernels) {
    it(make.name, () => {
      for (const size of [0, 1, 2, 3, 7, 8, 65, 130]) {
        const binding = new Map([['N', size]]);
        const kernel = make();
        checkKernel(kernel, inputsFor(kernel, binding), binding, { grain: 3 });
      }
    });
  }

  it('may overwrite an operand of the same layout', () => {
    for (const make of [biasRelu, softmax, layerNorm, cacheUpdate]) {
      const kernel = make();
      const binding = new Map([['N', 13]]);
      const aliases = new Map([[kernel.outputs[0].tensor, kernel.params[0]]]);
      checkKernel(kernel, inputsFor(kernel, binding), binding, { aliases });
    }
  });

  it('names the tensor that a scatter only copies', () => {
    const kernel = cacheUpdate();
    expect(scheduleKernel(kernel).phases.map(({ copyOf }) => copyOf?.name)).toEqual(['cache', undefined]);
  });
});
