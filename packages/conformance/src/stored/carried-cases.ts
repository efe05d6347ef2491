// The cases that the kit carries with it, so that it works with nothing else at hand. `scripts/make-goldens.mjs` wrote them:
// models of the kit's own generators, expected outputs of onnxruntime-node's CPU.

import type { StoredCase } from './stored-case.ts';

/** A case in the file: bytes in base64. */
interface Carried {
  readonly name: string;
  readonly op: string;
  readonly relative: number;
  readonly absolute: number;
  readonly integers: number;
  readonly model: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export async function carriedCases(suite: 'onnx' | 'microsoft'): Promise<readonly StoredCase[]> {
  const file =
    suite === 'onnx' ? await import('../generated/onnx-cases.ts') : await import('../generated/microsoft-cases.ts');
  const cases = JSON.parse(file.cases) as readonly Carried[];
  return cases.map(({ name, op, relative, absolute, integers, model, inputs, outputs }) => ({
    name,
    op,
    tolerance: { relative, absolute, integers },
    load: async () => ({
      model: bytesOf(model),
      dataSets: [{ inputs: inputs.map(bytesOf), outputs: outputs.map(bytesOf) }],
    }),
  }));
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
