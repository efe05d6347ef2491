// Partition → executable whose weights are in place: from an artifact, or by the code generator, which is loaded then.

import { type CompileContext, OnnxTsError, type Partition } from '@onnx-ts/core/provider';
import { probeCapabilities } from '../runtime/capabilities.ts';
import type { CompiledProgram } from './compiled-program.ts';
import type { CpuProvider } from './cpu-provider.ts';
import { CpuExecutable } from './executable.ts';
import { decodeProgram, type EncodedProgram, encodeProgram } from './program-codec.ts';

export async function compilePartition(
  provider: CpuProvider,
  partition: Partition,
  context: CompileContext,
): Promise<CpuExecutable> {
  const { artifact } = context;
  if (artifact)
    return load(provider, partition, decodeProgram(artifact.data as EncodedProgram, partition), artifact.code[0]);
  // A session that comes from a store needs no code generator.
  const { generateProgram } = await import('./compile-partition.ts');
  const { program, code } = await generateProgram(provider, partition, context);
  if (context.keep) {
    const data = encodeProgram(program, partition);
    if (data) context.keep({ data, code: [code] });
  }
  context.progress?.(0.9, 'weights');
  return load(provider, partition, program, code);
}

/** @throws OnnxTsError PROVIDER where the host compiles no code */
async function load(
  provider: CpuProvider,
  partition: Partition,
  program: CompiledProgram,
  code: Uint8Array | WebAssembly.Module,
): Promise<CpuExecutable> {
  const module = code instanceof Uint8Array ? await compileModule(code) : code;
  const executable = new CpuExecutable(provider, partition, program, await provider.pool.addModule(module));
  try {
    await executable.load();
  } catch (error) {
    executable.dispose();
    throw error;
  }
  return executable;
}

async function compileModule(code: Uint8Array): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(code as Uint8Array<ArrayBuffer>);
  } catch (cause) {
    const { compile } = probeCapabilities();
    if (compile.ok) throw cause;
    throw new OnnxTsError('PROVIDER', `${compile.reason}.`, {
      place: { provider: 'cpu' },
      hint: 'Compile the model ahead of time with `onnx-ts aot`, of the same version and for the same options and device.',
      cause,
    });
  }
}
