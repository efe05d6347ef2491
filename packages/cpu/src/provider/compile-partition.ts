// Partition → fused kernels → one WebAssembly module. See load-partition.ts for what becomes of it.

import {
  type CompileContext,
  type GraphNode,
  OnnxTsError,
  type Partition,
  Tensor,
  type Value,
} from '@onnx-ts/core/provider';
import {
  appendInPlace,
  assignLayouts,
  canonicalKernel,
  checkOrigins,
  Dim,
  type FusedProgram,
  fuseProgram,
  integerProducts,
  type Kernel,
  printKernel,
  type SharedNumbers,
  shareNumbers,
  splitReductions,
  type TensorRef,
} from '@onnx-ts/tensor-ir';
import { HelperFunctions } from '../emit/context.ts';
import type { ArgumentWord } from '../kernel/argument-words.ts';
import { type CompiledKernel, type CompiledPhase, compileKernel } from '../kernel/compile-kernel.ts';
import type { KnownValues, ValueRange } from '../kernel/value-range.ts';
import { emitDriver, importLinearMemory } from '../runtime/driver.ts';
import { defineErrorReport } from '../runtime/kernel-error.ts';
import type { BlockTarget } from '../templates/block-loop.ts';
import { prepareChannelWindow } from '../templates/channel-window.ts';
import { compileChannelWindow } from '../templates/emit-channel-window.ts';
import { compilePackedProduct } from '../templates/emit-packed-product.ts';
import { compileProduct } from '../templates/emit-product.ts';
import { splitGroups } from '../templates/grouped-channels.ts';
import { type LoadedTemplates, loadTemplates } from '../templates/load-templates.ts';
import { preparePackedProduct } from '../templates/packed-product.ts';
import { type PanelEngine, prepareProduct } from '../templates/product.ts';
import { compileTurnedPanels, readTurnedPanels } from '../templates/turned-panels.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import type { CompiledProgram, LaunchableKernel } from './compiled-program.ts';
import type { CpuProvider } from './cpu-provider.ts';
import { describeKernel } from './describe-kernel.ts';

/** A WebAssembly module for a partition, and all that is needed to run it. */
export async function generateProgram(
  provider: CpuProvider,
  partition: Partition,
  context: CompileContext,
): Promise<{ readonly program: CompiledProgram; readonly code: Uint8Array }> {
  const lowered = partition.lower();
  const tensorsOf = (values: readonly Value[]) => new Set(values.map((value) => lowered.tensors.get(value)!));
  const grown = appendInPlace(
    assignLayouts(fuseProgram(splitReductions(integerProducts(lowered.program)))),
    tensorsOf(lowered.inputs),
    tensorsOf(partition.outputs),
  );
  const { fused, templates, numbers } = prepareTemplates(
    grown.fused,
    knownValues(lowered.constants),
    provider,
    await loadTemplates(grown.fused),
  );
  const module = new ModuleBuilder();
  importLinearMemory(module, provider.shared);
  const target = {
    module,
    helpers: new HelperFunctions(module, provider.relaxedSimd),
    reportError: defineErrorReport(module, { threads: provider.shared }),
    relaxedSimd: provider.relaxedSimd,
  };
  const cache = new Map<string, { kernel: Kernel; symbols: readonly string[]; compiled: CompiledKernel }>();
  const kernels: LaunchableKernel[] = [];
  for (const [at, kernel] of fused.kernels.entries()) {
    if (context.signal?.aborted) throw new OnnxTsError('ABORTED', 'the compilation was aborted.');
    context.progress?.((0.8 * at) / fused.kernels.length, kernel.name);
    const template = templates.get(kernel);
    const { key: text, symbols } = canonicalKernel(kernel);
    const key = template ? `${template.name} ${text}` : text;
    const before = cache.get(key);
    const compiled = before ? adapt(before, kernel, symbols) : compileOne(kernel, template, target);
    if (!before) cache.set(key, { kernel, symbols, compiled });
    const kind = template?.name ?? kernel.class;
    kernels.push({
      kernel,
      kind,
      describe: (atLoad) => describeKernel(kernel, kind, atLoad),
      words: compiled.words,
      scratchBytes: compiled.scratchBytes,
      errorSites: compiled.errorSites,
      phases: compiled.phases.map((phase) => ({ ...phase, tableIndex: module.tableIndex(phase.function) })),
    });
  }
  emitDriver(module, { threads: provider.shared, profiling: true });
  const { inputs, tensors } = lowered;
  const constants = new Map(lowered.constants);
  for (const [tensor, values] of numbers) constants.set(tensor, new Tensor('float32', values));
  const { locals, aliases } = fused;
  const program = { inputs, tensors, constants, locals, aliases, kernels, appends: grown.appends };
  return { program, code: module.toBytes() };
}

/** How a template compiles a kernel that it took. */
type Template = { readonly name: string; readonly compile: (target: BlockTarget) => CompiledKernel };

/** Gives kernels to the templates that can take them, with what those need in front. */
function prepareTemplates(
  program: FusedProgram,
  known: KnownValues,
  engine: PanelEngine,
  loaded: LoadedTemplates,
): { fused: FusedProgram; templates: ReadonlyMap<Kernel, Template>; numbers: SharedNumbers['numbers'] } {
  const { fused, attentions } = loaded.attention?.fuseAttention(program) ?? { fused: program, attentions: undefined };
  const shared = shareNumbers(fused.kernels);
  const templates = new Map<Kernel, Template>();
  const kernels: Kernel[] = [];
  const locals = [...fused.locals];
  for (const [at, own] of fused.kernels.entries()) {
    const attention = attentions?.get(own);
    if (attention && loaded.attention) {
      const { compileAttention } = loaded.attention;
      kernels.push(own);
      templates.set(own, { name: 'attention', compile: (target) => compileAttention(attention, target) });
      continue;
    }
    const kernel = shared.kernels[at];
    const found = findTemplate(kernel, known, engine, loaded);
    kernels.push(...(found?.before ?? []), found?.kernel ?? kernel);
    locals.push(...(found?.locals ?? []));
    if (found) templates.set(found.kernel, found);
    for (const copy of found?.before ?? []) {
      const compile = found?.compileBefore?.get(copy);
      if (compile) templates.set(copy, { name: 'winograd weights', compile });
      const panels = compile ? undefined : readTurnedPanels(copy);
      if (panels) templates.set(copy, { name: 'pack', compile: (target) => compileTurnedPanels(panels, target) });
    }
  }
  return { fused: { ...fused, kernels, locals }, templates, numbers: shared.numbers };
}

interface PreparedTemplate extends Template {
  readonly kernel: Kernel;
  readonly before: readonly Kernel[];
  /** Code for those kernels before that are not compiled like any other. */
  readonly compileBefore?: ReadonlyMap<Kernel, Template['compile']>;
  readonly locals: readonly TensorRef[];
}

function findTemplate(
  kernel: Kernel,
  known: KnownValues,
  engine: PanelEngine,
  { recurrence: recurrences, winograd: tilings }: LoadedTemplates,
): PreparedTemplate | undefined {
  const packed = preparePackedProduct(kernel, engine.relaxedSimd && allowsBytes(kernel));
  if (packed) {
    const { product } = packed;
    return {
      ...packed,
      name: 'packed product',
      kernel: product.kernel,
      compile: (target) => compilePackedProduct(product, target),
    };
  }
  const whole = prepareProduct(kernel, known, engine);
  if (whole) {
    const tiled = tilings?.prepareWinograd(kernel, whole);
    if (tiled && tilings) {
      const { winograd } = tiled;
      return {
        ...tiled,
        name: 'winograd',
        compile: (target) => tilings.compileWinograd(winograd, target),
        compileBefore: new Map([
          [winograd.weights.kernel, (target) => tilings.compileWeightTransform(winograd.weights, target)],
        ]),
      };
    }
    const { product } = whole;
    return { ...whole, name: 'product', kernel: product.kernel, compile: (target) => compileProduct(product, target) };
  }
  const recurrence = recurrences?.prepareRecurrence(kernel);
  if (recurrence && recurrences) {
    const { product } = recurrence;
    return {
      ...recurrence,
      name: 'recurrent product',
      kernel: product.kernel,
      compile: (target) => recurrences.compileRecurrence(product, target),
    };
  }
  const grouped = splitGroups(kernel);
  const groups = grouped && findTemplate(grouped.kernel, known, engine, { recurrence: recurrences, winograd: tilings });
  if (grouped && groups) {
    const { restoreKernel, restoreCode } = grouped;
    const compile = (target: BlockTarget): CompiledKernel => restoreCode(groups.compile(target));
    return { ...groups, kernel: restoreKernel(groups.kernel), compile };
  }
  const channels = prepareChannelWindow(kernel);
  if (!channels) return undefined;
  const { window } = channels;
  return {
    ...channels,
    name: 'window',
    kernel: window.kernel,
    compile: (target) => compileChannelWindow(window, target),
  };
}

/** `accuracy_level` 4 of MatMulNBits: the other operand may be rounded to int8. */
function allowsBytes({ stages: [head] }: Kernel): boolean {
  const node = head.origin as GraphNode | undefined;
  const level = node?.attributes?.get('accuracy_level');
  return level?.type === 'int' && Number(level.value) === 4;
}

/** Weights that are small enough to look at: zero points, mostly. */
const mostKnown = 1 << 16;

function knownValues(constants: ReadonlyMap<TensorRef, Tensor>): KnownValues {
  const seen = new Map<TensorRef, ValueRange | undefined>();
  return (tensor) => {
    if (!seen.has(tensor)) seen.set(tensor, extremes(constants.get(tensor)));
    return seen.get(tensor);
  };
}

function extremes(tensor: Tensor | undefined): ValueRange | undefined {
  if (!tensor || (tensor.type !== 'int8' && tensor.type !== 'uint8') || tensor.size === 0 || tensor.size > mostKnown)
    return undefined;
  const data = tensor.data as Int8Array | Uint8Array;
  let [min, max] = [data[0], data[0]];
  for (const value of data) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}

function compileOne(kernel: Kernel, template: Template | undefined, target: BlockTarget): CompiledKernel {
  try {
    return template ? template.compile(target) : compileKernel(kernel, target);
  } catch (cause) {
    const [node] = kernel.origins as readonly (GraphNode | undefined)[];
    const place = {
      provider: 'cpu',
      ...(node && { node: node.name, op: node.op, domain: node.domain, opset: node.opset }),
    };
    const what = `no code could be generated: ${(cause as Error).message}.`;
    throw new OnnxTsError('INTERNAL', what, { place, hint: `The kernel is:\n${printKernel(kernel)}`, cause });
  }
}

/** The code of an equal kernel with this one's tensors, sizes and nodes. */
function adapt(
  {
    kernel: from,
    symbols: fromSymbols,
    compiled,
  }: { kernel: Kernel; symbols: readonly string[]; compiled: CompiledKernel },
  to: Kernel,
  symbols: readonly string[],
): CompiledKernel {
  const tensors = new Map<TensorRef, TensorRef>();
  for (const [at, param] of from.params.entries()) tensors.set(param, to.params[at]);
  for (const [at, output] of from.outputs.entries()) tensors.set(output.tensor, to.outputs[at].tensor);
  const values = new Map<string, Dim>();
  for (const [at, name] of fromSymbols.entries()) if (name !== symbols[at]) values.set(name, Dim.symbol(symbols[at]));
  const dim = (size: Dim): Dim => size.substitute(values);
  const word = (item: ArgumentWord): ArgumentWord => {
    if (item.kind === 'tensor') return { kind: 'tensor', tensor: tensors.get(item.tensor) ?? item.tensor };
    return item.kind === 'dim' ? { kind: 'dim', dim: dim(item.dim) } : item;
  };
  const origins = new Map(checkOrigins(from).map((origin, at) => [origin, checkOrigins(to)[at]]));
  return {
    phases: compiled.phases.map((phase): CompiledPhase => {
      const copyOf = phase.copyOf && tensors.get(phase.copyOf);
      return {
        ...phase,
        tiles: dim(phase.tiles),
        tilePoints: dim(phase.tilePoints),
        ...(phase.turns && { turns: dim(phase.turns) }),
        ...(copyOf && { copyOf }),
      };
    }),
    words: compiled.words.map(word),
    scratchBytes: dim(compiled.scratchBytes),
    errorSites: compiled.errorSites.map((site) => ({ ...site, origin: origins.get(site.origin) ?? site.origin })),
  };
}
