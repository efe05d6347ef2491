// Damaged models: cut off and with bytes changed. Whatever becomes of them, it is a session or an OnnxTsError, within a
// second and without much memory. The seed is printed with a failure; give another one, or more models, by
// ONNX_TS_FUZZ_SEED and ONNX_TS_FUZZ_COUNT.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OnnxTsError } from '../errors.ts';
import { float32, int64, model, node, tensorOf } from '../testing/build-model.ts';
import { open } from '../testing/open-session.ts';
import { randomFrom } from './host-evaluator.ts';
import { Tensor } from './tensor.ts';

const seed = Number(process.env.ONNX_TS_FUZZ_SEED ?? 20_261_124);
const count = Number(process.env.ONNX_TS_FUZZ_COUNT ?? 150);
const folder = new URL('../../../../../shared/models', import.meta.url).pathname;

const own = model({
  inputs: { x: float32('n', 3), flag: tensorOf('bool'), trips: int64() },
  initializers: { w: new Tensor('float32', new Float32Array(9), [3, 3]), shape: new Tensor('int64', [-1, 3]) },
  nodes: [
    node('MatMul', ['x', 'w'], 'a'),
    node('If', 'flag', 'b', {
      then_branch: { body: { nodes: [node('Relu', 'a', 'r')], outputs: ['r'] } },
      else_branch: { body: { nodes: [node('Softmax', 'a', 's', { axis: -1 })], outputs: ['s'] } },
    }),
    node('Loop', ['trips', '', 'b'], 'c', {
      body: {
        body: {
          inputs: { i: int64(), go: tensorOf('bool'), v: float32('n', 3) },
          nodes: [node('Concat', ['v', 'v'], 'vv', { axis: 0 })],
          outputs: ['go', 'vv'],
        },
      },
    }),
    node('Reshape', ['c', 'shape'], 'd'),
    node('Split', 'd', ['e', 'f', 'g'], { axis: 1, num_outputs: 3 }),
  ],
  outputs: ['e', 'f', 'g'],
});

/** Models of all kinds that are small enough to try often. */
function realModels(): { readonly name: string; readonly bytes: Uint8Array }[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => {
    const path = join(folder, name, 'model.onnx');
    return existsSync(path) && statSync(path).size < 200_000;
  });
  return names.map((name) => ({ name, bytes: new Uint8Array(readFileSync(join(folder, name, 'model.onnx'))) }));
}

type Random = () => number;

function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  const below = (limit: number): number => Math.floor(random() * limit);
  if (random() < 0.25) return bytes.slice(0, below(bytes.length));
  const result = bytes.slice();
  // Structure is denser at the front, weights are mostly behind.
  const reach = random() < 0.7 ? Math.min(bytes.length, 20_000) : bytes.length;
  for (let changes = 1 + below(6); changes > 0; changes--) {
    const at = below(reach);
    result[at] = random() < 0.5 ? below(256) : result[at] ^ (1 << below(8));
  }
  return result;
}

async function tryDamaged(models: readonly { name: string; bytes: Uint8Array }[], random: Random): Promise<void> {
  for (let round = 0; round < count; round++) {
    const { name, bytes } = models[Math.floor(random() * models.length)];
    const mutant = damaged(bytes, random);
    const where = `${name}, seed ${seed}, round ${round}`;
    const [start, memory] = [performance.now(), process.memoryUsage().arrayBuffers];
    try {
      await (await open(mutant)).dispose();
    } catch (error) {
      expect(OnnxTsError.is(error), `${where}: ${(error as Error).stack}`).toBe(true);
      expect((error as OnnxTsError).code, `${where}: ${(error as Error).message}`).not.toBe('INTERNAL');
    }
    // Ten times what it takes on an idle machine.
    expect(performance.now() - start, where).toBeLessThan(10_000);
    expect(process.memoryUsage().arrayBuffers - memory, where).toBeLessThan(1 << 28);
  }
}

describe('damaged bytes', () => {
  it('of a model with everything', () => tryDamaged([{ name: 'own', bytes: own }], randomFrom(seed)));

  it.skipIf(!existsSync(folder))('of real models', () => tryDamaged(realModels(), randomFrom(seed + 1)));
});
