// Second half of fusion: which stages share a kernel, and which tensors remain in memory.

import { type Dim, productOf } from './dim.ts';
import { elementAt } from './expr.ts';
import type { Kernel, KernelClass, KernelOutput } from './kernel.ts';
import { axesFor, type MapStage, type Program, type ReduceStage, type Source, type Stage, sourcesOf } from './stage.ts';
import { readsByRows, readsSameElements, reusesOperands, symbolsOfStage } from './structure.ts';
import { rebuildStage, substituteStages } from './substitute-stages.ts';
import { newTensorRef, type TensorRef } from './tensor-ref.ts';

export interface FusedProgram {
  /** In an order in which each follows those whose results it reads. */
  readonly kernels: readonly Kernel[];
  /** Results that only kernels of this program read. */
  readonly locals: readonly TensorRef[];
  /** Tensors on the bytes of another: reshaped views, and results that are written straight into an output. */
  readonly aliases: ReadonlyMap<TensorRef, TensorRef>;
}

interface Group {
  class: KernelClass;
  stages: Stage[];
  rowRank: number;
}

/** Rows of fewer than so many, over lanes of at least so many elements, are better spread over several kernels. */
export const fewRows = 2;
const longLane = 1 << 15;

/** The same where some sizes are unknown: elements for each point of the axes that are. */
const wideLane = 128;

/** Whether lanes of these sizes are long, or are likely to be at some sizes that are unknown. */
export function isLongLane(sizes: readonly Dim[]): boolean {
  const known = sizes.flatMap(({ constant }) => constant ?? []).reduce((product, size) => product * size, 1);
  return known >= (known === productOf(sizes).constant ? longLane : wideLane);
}

export function fuseProgram(program: Program): FusedProgram {
  const substituted = substituteStages(program);
  const { sourceOf, origins } = substituted;
  const stages = [...substituted.stages];
  const outputs = new Map<Source, TensorRef>();
  const taken = new Set<Source>();
  for (const { tensor, source } of program.outputs) {
    const held = sourceOf(source);
    const root = rootOf(held);
    // Each result has one buffer: what lies under an output, and is not some other output too, is written straight to it.
    if (root.kind !== 'tensor' && !taken.has(root)) {
      taken.add(root);
      outputs.set(held, tensor);
      continue;
    }
    const copy = copyOf(held, tensor.name);
    stages.push(copy);
    outputs.set(copy, tensor);
  }
  const groups = new Grouping(stages, new Set(outputs.keys())).groups;
  return emit(groups, stages, outputs, origins);
}

function copyOf(source: Source, name: string): MapStage {
  const axes = axesFor(source.shape);
  const origin = source.kind === 'tensor' ? undefined : source.origin;
  return {
    id: -1,
    name,
    kind: 'map',
    dtype: source.dtype,
    shape: source.shape,
    axes,
    body: elementAt(source, axes),
    ...(origin !== undefined && { origin }),
  };
}

/** What a chain of views lies on. */
function rootOf(source: Source): Source {
  return source.kind === 'view' ? rootOf(source.source) : source;
}

class Grouping {
  readonly groups: Group[] = [];
  readonly #groupOf = new Map<Stage, Group>();
  readonly #outputs: ReadonlySet<Source>;
  readonly #readers = new Map<Source, Stage[]>();
  readonly #producers = new Map<Group, Set<Group>>();

  constructor(stages: readonly Stage[], outputs: ReadonlySet<Source>) {
    this.#outputs = outputs;
    for (const stage of stages) {
      for (const source of sourcesOf(stage)) {
        const list = this.#readers.get(source);
        if (list) list.push(stage);
        else this.#readers.set(source, [stage]);
      }
    }
    for (const stage of stages) if (stage.kind !== 'view') this.#place(stage);
    this.groups = sortGroups(this.groups, this.#producers);
  }

  #place(stage: Stage): void {
    const group =
      (stage.kind === 'map' && (this.#asEpilogue(stage) ?? this.#inRows(stage))) ||
      (stage.kind === 'reduce' && !reusesOperands(stage) && this.#inRows(stage)) ||
      this.#newGroup(stage);
    if (!group.stages.includes(stage)) group.stages.push(stage);
    this.#groupOf.set(stage, group);
    const producers = this.#producers.get(group) ?? new Set();
    for (const producer of this.#producerGroups(stage)) if (producer !== group) producers.add(producer);
    this.#producers.set(group, producers);
  }

  #producerGroups(stage: Stage): Set<Group> {
    const groups = new Set<Group>();
    for (const source of sourcesOf(stage)) {
      const root = rootOf(source);
      const group = root.kind === 'tensor' ? undefined : this.#groupOf.get(root);
      if (group) groups.add(group);
    }
    return groups;
  }

  #newGroup(stage: Stage): Group {
    const group: Group = {
      class: classOf(stage),
      stages: [stage],
      rowRank: stage.kind === 'reduce' ? stage.axes.length : 0,
    };
    this.groups.push(group);
    return group;
  }

  /** A map of exactly the elements of a contraction or window that nobody else reads. */
  #asEpilogue(stage: MapStage): Group | undefined {
    for (const source of sourcesOf(stage)) {
      if (source.kind !== 'reduce' || !reusesOperands(source) || this.#outputs.has(source)) continue;
      const group = this.#groupOf.get(source);
      if (!group || group.stages.length > 1 || this.#readers.get(source)!.length > 1) continue;
      if (!readsSameElements(stage, source) || this.#reaches(stage, group)) continue;
      group.class = 'contraction';
      return group;
    }
    return undefined;
  }

  /** A stage that works on the same rows as a stage it reads. */
  #inRows(stage: MapStage | ReduceStage): Group | undefined {
    for (const group of this.#producerGroups(stage)) {
      const [head] = group.stages;
      const rowRank =
        group.class === 'row' || group.class === 'reduce'
          ? group.rowRank
          : stage.kind === 'reduce'
            ? stage.axes.length
            : -1;
      const isRows = group.class === 'row' || (group.class === 'reduce' && !reusesOperands(head as ReduceStage));
      const couldBe = group.class === 'pointwise' && head.kind === 'map' && stage.kind === 'reduce';
      if ((!isRows && !couldBe) || rowRank < 0) continue;
      if (!this.#fitsRows(stage, group, rowRank) || this.#reaches(stage, group)) continue;
      group.class = 'row';
      group.rowRank = rowRank;
      return group;
    }
    return undefined;
  }

  #fitsRows(stage: MapStage | ReduceStage, group: Group, rowRank: number): boolean {
    const axes = axesOfStage(stage);
    const widest = group.stages.find((member) => axesOfStage(member).length >= rowRank);
    if (!widest || stage.axes.length < rowRank) return false;
    const rows = axesOfStage(widest).slice(0, rowRank);
    if (!rows.every((axis, at) => axis.size.equals(axes[at].size))) return false;
    if (group.class === 'pointwise' && axesOfStage(group.stages[0]).length < rowRank) return false;
    const rowCount = productOf(rows.map((axis) => axis.size)).constant;
    const lane = axes.slice(rowRank).map((axis) => axis.size);
    if (rowCount !== undefined && rowCount < fewRows && isLongLane(lane)) return false;
    return group.stages.every((member) => readsByRows(stage, member, rowRank)) && this.#readsNoView(stage, group);
  }

  /** A view of a member would need it in memory while the kernel runs. */
  #readsNoView(stage: Stage, group: Group): boolean {
    for (const source of sourcesOf(stage)) {
      if (source.kind !== 'view') continue;
      const root = rootOf(source);
      if (root.kind !== 'tensor' && this.#groupOf.get(root) === group) return false;
    }
    return true;
  }

  /** True when a stage reads, through other groups, something that depends on the group: joining would make a cycle. */
  #reaches(stage: Stage, target: Group): boolean {
    const seen = new Set<Group>();
    const stack = [...this.#producerGroups(stage)].filter((group) => group !== target);
    for (let group = stack.pop(); group; group = stack.pop()) {
      if (group === target) return true;
      if (seen.has(group)) continue;
      seen.add(group);
      stack.push(...(this.#producers.get(group) ?? []));
    }
    return false;
  }
}

function axesOfStage(stage: Stage) {
  return stage.kind === 'map' || stage.kind === 'reduce' || stage.kind === 'scan'
    ? [...stage.axes, ...(stage.kind === 'reduce' ? stage.over : [])]
    : [];
}

function classOf(stage: Stage): KernelClass {
  switch (stage.kind) {
    case 'map':
    case 'segments':
    case 'view':
      return 'pointwise';
    case 'reduce':
      return reusesOperands(stage) ? 'contraction' : 'reduce';
    case 'scan':
    case 'scatter':
    case 'recurrence':
      return stage.kind;
  }
}

/** Producers first, otherwise as they were. */
function sortGroups(groups: readonly Group[], producers: ReadonlyMap<Group, ReadonlySet<Group>>): Group[] {
  const sorted: Group[] = [];
  const done = new Set<Group>();
  const stack = [...groups].reverse();
  for (let group = stack.pop(); group; group = stack.pop()) {
    if (done.has(group)) continue;
    const missing = [...(producers.get(group) ?? [])].filter((producer) => !done.has(producer));
    if (missing.length > 0) {
      stack.push(group, ...missing);
      continue;
    }
    done.add(group);
    sorted.push(group);
  }
  return sorted;
}

function emit(
  groups: readonly Group[],
  stages: readonly Stage[],
  outputs: ReadonlyMap<Source, TensorRef>,
  origins: ReadonlyMap<Stage, ReadonlySet<unknown>>,
): FusedProgram {
  const groupOf = new Map<Stage, Group>();
  for (const group of groups) for (const stage of group.stages) groupOf.set(stage, group);
  const needed = new Set<Source>(outputs.keys());
  for (const stage of stages) {
    for (const source of sourcesOf(stage)) {
      if (source.kind === 'tensor' || stage.kind === 'view') needed.add(source);
      else if (groupOf.get(source) !== groupOf.get(stage)) needed.add(source);
    }
  }
  const tensors = new Map<Stage, TensorRef>();
  const aliases = new Map<TensorRef, TensorRef>();
  const locals: TensorRef[] = [];
  const kernels: Kernel[] = [];
  const tensorOf = (source: Source): TensorRef => {
    if (source.kind === 'tensor') return source;
    const known = tensors.get(source);
    if (known) return known;
    if (source.kind !== 'view') throw new TypeError(`${source.name} is read before it is computed`);
    const below = tensorOf(source.source);
    const tensor = newTensorRef(source.name, source.dtype, source.shape, { isConstant: below.isConstant });
    aliases.set(tensor, below);
    tensors.set(source, tensor);
    return tensor;
  };
  // A view that is an output: what lies under it is written into the output's buffer.
  const outputRoots = new Map<Stage, TensorRef>();
  for (const [source, tensor] of outputs) {
    const root = rootOf(source);
    if (source.kind === 'view' && root.kind !== 'tensor') outputRoots.set(root, tensor);
  }
  for (const group of groups) {
    const local = new Map<Stage, Stage>();
    const params = new Set<TensorRef>();
    const rebuilt = group.stages.map((stage) => {
      const next = rebuildStage(stage, (source) => {
        const inside = local.get(source);
        if (inside) return { source: inside };
        return { source: tensorOf(source) };
      });
      local.set(stage, next);
      for (const source of sourcesOf(next)) if (source.kind === 'tensor') params.add(source);
      return next;
    });
    // Computed once, before any size is known.
    const isConstant =
      [...params].every((param) => param.isConstant) && rebuilt.every((stage) => symbolsOfStage(stage).size === 0);
    const kernelOutputs: KernelOutput[] = [];
    for (const [at, stage] of group.stages.entries()) {
      if (!needed.has(stage)) continue;
      const direct = outputs.get(stage);
      const tensor = direct ?? newTensorRef(stage.name, stage.dtype, stage.shape, { isConstant });
      const target = outputRoots.get(stage);
      if (!direct) {
        if (target) aliases.set(tensor, target);
        else locals.push(tensor);
      }
      tensors.set(stage, tensor);
      kernelOutputs.push({ stage: rebuilt[at], tensor });
    }
    // Tables that an operator makes and then has no use for.
    if (kernelOutputs.length === 0) continue;
    const names = new Set<unknown>();
    for (const stage of group.stages) for (const origin of origins.get(stage) ?? [stage.origin]) names.add(origin);
    const isPlainReduce = group.class === 'row' && group.stages.length === 1;
    kernels.push({
      name: group.stages.map((stage) => stage.name).join('+'),
      class: isPlainReduce ? 'reduce' : group.class,
      params: [...params],
      stages: rebuilt,
      outputs: kernelOutputs,
      origins: [...names],
      rowRank: group.class === 'row' ? group.rowRank : 0,
    });
  }
  return { kernels, locals, aliases };
}
