// What placement needs to know of a GPU: measured by a few shaders of its own and by copies each way.

import type { DeviceProfile } from '@onnx-ts/core/provider';
import { bufferUsage, mapMode } from './gpu-flags.ts';

/** Rates of a small discrete GPU. */
export const usualProfile: DeviceProfile = {
  launch: 1e-5,
  flops: 1e12,
  bandwidth: 1e11,
  transferLatency: 2e-4,
  transferBandwidth: 5e9,
  sync: 2e-4,
};

/** Rates of a program that does a GPU's work on a processor. Not worth a measurement. */
export const softwareProfile: DeviceProfile = {
  launch: 5e-5,
  flops: 5e9,
  bandwidth: 3e9,
  transferLatency: 5e-4,
  transferBandwidth: 3e9,
  sync: 5e-4,
};

const softwareNames = /llvmpipe|lavapipe|swiftshader|softpipe|basic render|warp\b|software/i;

/** Whether an adapter computes on the processor. */
export function isSoftwareAdapter(info: GPUAdapterInfo): boolean {
  const { vendor, architecture, device, description } = info;
  return info.isFallbackAdapter || softwareNames.test([vendor, architecture, device, description].join(' '));
}

/** Rows, columns and inner size of the product. */
const size = 512;
const copiedBytes = 1 << 22;
const runs = 3;
const launches = 64;

/** What the templates reach, where the simple product below reaches 1. */
const templateGain = 2;

/** Each of 8 × 8 threads makes 4 × 4 results of a 32 × 32 tile. */
const product = `
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
var<workgroup> left: array<array<vec4<f32>, 8>, 32>;
var<workgroup> right: array<array<vec4<f32>, 8>, 32>;
@compute @workgroup_size(8, 8) fn product(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) at: vec3<u32>) {
  var sums: array<vec4<f32>, 4>;
  for (var k = 0u; k < ${size / 32}u; k++) {
    for (var row = at.y; row < 32u; row += 8u) {
      left[row][at.x] = a[(tile.y * 32u + row) * ${size / 4}u + k * 8u + at.x];
      right[row][at.x] = b[(k * 32u + row) * ${size / 4}u + tile.x * 8u + at.x];
    }
    workgroupBarrier();
    for (var inner = 0u; inner < 32u; inner++) {
      let column = right[inner][at.x];
      for (var row = 0u; row < 4u; row++) {
        sums[row] = fma(vec4<f32>(left[at.y * 4u + row][inner / 4u][inner % 4u]), column, sums[row]);
      }
    }
    workgroupBarrier();
  }
  for (var row = 0u; row < 4u; row++) {
    c[(tile.y * 32u + at.y * 4u + row) * ${size / 4}u + tile.x * 8u + at.x] = sums[row];
  }
}`;

/** Next to no work, which waits for the launch before. */
const step = `
@group(0) @binding(0) var<storage, read_write> c: array<f32>;
@compute @workgroup_size(1) fn step() { c[0] += 1; }`;

/** Takes less than 100 ms on anything that deserves the name GPU. @throws what the device throws */
export async function measureProfile(gpu: GPUDevice): Promise<DeviceProfile> {
  const usage = bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyTarget;
  const [a, b, c] = [0, 1, 2].map(() => gpu.createBuffer({ size: copiedBytes, usage }));
  const staging = gpu.createBuffer({ size: copiedBytes, usage: bufferUsage.mapRead | bufferUsage.copyTarget });
  const pipelineOf = (code: string): Promise<GPUComputePipeline> =>
    gpu.createComputePipelineAsync({ layout: 'auto', compute: { module: gpu.createShaderModule({ code }) } });
  /** Seconds until the device is done. */
  const timed = async (work: () => void, count = runs): Promise<number> => {
    let least = Infinity;
    for (let run = 0; run < count; run++) {
      const start = performance.now();
      work();
      await gpu.queue.onSubmittedWorkDone();
      least = Math.min(least, performance.now() - start);
    }
    return least / 1000;
  };
  const submit = (encode: (encoder: GPUCommandEncoder) => void): void => {
    const encoder = gpu.createCommandEncoder();
    encode(encoder);
    gpu.queue.submit([encoder.finish()]);
  };
  const dispatch = (pipeline: GPUComputePipeline, buffers: readonly GPUBuffer[], groups: number, count: number) => {
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    return () =>
      submit((encoder) => {
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        for (let at = 0; at < count; at++) pass.dispatchWorkgroups(groups, groups);
        pass.end();
      });
  };
  const download = async (bytes: number): Promise<number> => {
    const start = performance.now();
    submit((encoder) => encoder.copyBufferToBuffer(c, 0, staging, 0, bytes));
    await staging.mapAsync(mapMode.read, 0, bytes);
    staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    return (performance.now() - start) / 1000;
  };
  const best = async (measure: () => Promise<number>): Promise<number> => {
    let least = Infinity;
    for (let run = 0; run < runs; run++) least = Math.min(least, await measure());
    return least;
  };
  try {
    const [multiply, add] = await Promise.all([pipelineOf(product), pipelineOf(step)]);
    const sync = await timed(dispatch(add, [c], 1, 1));
    const steps = await timed(dispatch(add, [c], 1, launches));
    const once = await timed(dispatch(multiply, [a, b, c], size / 32, 1), 1);
    // So often that the hand-over does not count, for about 10 ms.
    const often = Math.max(1, Math.min(64, Math.floor(1e-2 / Math.max(once - sync, 1e-4))));
    const products = Math.max(
      often > 1 ? (await timed(dispatch(multiply, [a, b, c], size / 32, often))) - sync : once,
      1e-6,
    );
    const inside = await timed(() => submit((encoder) => encoder.copyBufferToBuffer(a, 0, c, 0, copiedBytes)));
    const bytes = new Uint8Array(copiedBytes);
    const up = await timed(() => gpu.queue.writeBuffer(a, 0, bytes));
    const down = await best(() => download(copiedBytes));
    const latency = await best(() => download(4));
    const moved = Math.max((up + down - sync - latency) / 2, 1e-6);
    return {
      launch: Math.max((steps - sync) / (launches - 1), 1e-7),
      flops: (templateGain * often * 2 * size ** 3) / products,
      bandwidth: (2 * copiedBytes) / Math.max(inside - sync, 1e-6),
      transferLatency: latency / 2,
      transferBandwidth: copiedBytes / moved,
      sync,
    };
  } finally {
    for (const buffer of [a, b, c, staging]) buffer.destroy();
  }
}
