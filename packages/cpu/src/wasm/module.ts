// Collects the parts of a WebAssembly module and writes its binary.

import { ByteWriter } from './byte-writer.ts';
import type { FunctionBuilder, FunctionCode, Local } from './function.ts';
import {
  type FunctionRef,
  type FunctionType,
  functionTypeKey,
  type GlobalRef,
  type ValueType,
  valueTypeCodes,
} from './types.ts';

export interface ModuleOptions {
  /** Writes the function names, so that profilers and stack traces show them. */
  readonly names?: boolean;
}

export interface MemoryLimits {
  /** In pages of 64 KiB. An imported memory may be larger than `initial`, and its own maximum smaller than `maximum`. */
  readonly initial: number;
  readonly maximum?: number;
  /** A shared memory needs a maximum. */
  readonly shared?: boolean;
}

interface FunctionImport {
  readonly module: string;
  readonly field: string;
  readonly ref: FunctionRef;
}

interface MemoryImport {
  readonly module: string;
  readonly field: string;
  readonly limits: MemoryLimits;
}

interface Definition {
  readonly ref: FunctionRef;
  readonly code: FunctionCode;
}

interface Global {
  readonly ref: GlobalRef;
  readonly initial: number | bigint;
}

interface Export {
  readonly name: string;
  readonly target: FunctionRef | GlobalRef | 'table' | 'memory';
}

const section = {
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  global: 6,
  export: 7,
  element: 9,
  code: 10,
  custom: 0,
} as const;
const external = { function: 0, table: 1, memory: 2, global: 3 } as const;
const funcref = 0x70;

export class ModuleBuilder {
  readonly #names: boolean;
  readonly #imports: FunctionImport[] = [];
  #memory: MemoryImport | undefined;
  readonly #definitions: Definition[] = [];
  readonly #byContent = new Map<string, FunctionRef>();
  readonly #byKey = new Map<string, FunctionRef>();
  readonly #globals: Global[] = [];
  readonly #table: FunctionRef[] = [];
  readonly #tableSlots = new Map<FunctionRef, number>();
  readonly #exports: Export[] = [];
  #nextId = 0;

  constructor(options: ModuleOptions = {}) {
    this.#names = options.names ?? false;
  }

  /** Number of functions defined so far, equal ones counted once. */
  get functionCount(): number {
    return this.#definitions.length;
  }

  /** The module's one memory. */
  importMemory(module: string, field: string, limits: MemoryLimits): void {
    if (this.#memory !== undefined) throw new Error('a module has one memory');
    if (limits.shared && limits.maximum === undefined) throw new Error('a shared memory needs a maximum');
    this.#memory = { module, field, limits };
  }

  importFunction(module: string, field: string, type: FunctionType): FunctionRef {
    const ref: FunctionRef = { kind: 'function', id: this.#nextId++, type, name: `${module}.${field}` };
    this.#imports.push({ module, field, ref });
    return ref;
  }

  /**
   * Adds a complete function. One with the same type, locals and instructions as an earlier one becomes that one,
   * name included.
   */
  define(builder: FunctionBuilder): FunctionRef {
    const code = builder.finish();
    const content = contentKey(code);
    const known = this.#byContent.get(content);
    if (known !== undefined) return known;
    const ref: FunctionRef = { kind: 'function', id: this.#nextId++, type: code.type, name: code.name };
    this.#byContent.set(content, ref);
    this.#definitions.push({ ref, code });
    return ref;
  }

  /** The function of that key, which says all that it depends on; written when it is first asked for. */
  defineOnce(key: string, write: () => FunctionBuilder): FunctionRef {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const ref = this.define(write());
    this.#byKey.set(key, ref);
    return ref;
  }

  global(name: string, type: ValueType, initial: number | bigint, mutable = true): GlobalRef {
    if (type === 'v128') throw new Error('globals of type v128 are not supported');
    const ref: GlobalRef = { kind: 'global', id: this.#nextId++, type, mutable, name };
    this.#globals.push({ ref, initial });
    return ref;
  }

  /** Index by which `call_indirect` reaches the function. Slot 0 stays empty, so that a call through a zeroed word traps. */
  tableIndex(ref: FunctionRef): number {
    const known = this.#tableSlots.get(ref);
    if (known !== undefined) return known;
    this.#table.push(ref);
    this.#tableSlots.set(ref, this.#table.length);
    return this.#table.length;
  }

  export(name: string, target: FunctionRef | GlobalRef | 'table' | 'memory'): void {
    if (this.#exports.some((entry) => entry.name === name)) throw new Error(`the module already exports '${name}'`);
    this.#exports.push({ name, target });
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    const types = new TypeTable();
    const indices = this.#indices();
    // Code first: writing it registers the types of indirect calls.
    const bodies = this.#definitions.map(({ code }) => writeBody(code, types, indices));
    for (const { ref } of [...this.#imports, ...this.#definitions]) types.index(ref.type);

    const out = new ByteWriter(4096);
    out.bytes([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const vector = <Item>(id: number, items: readonly Item[], write: (inner: ByteWriter, item: Item) => void): void => {
      if (items.length === 0) return;
      out.u8(id);
      out.sized((inner) => {
        inner.u32(items.length);
        for (const item of items) write(inner, item);
      });
    };

    vector(section.type, types.all, writeType);
    const imports = this.#memory === undefined ? this.#imports : [this.#memory, ...this.#imports];
    vector(section.import, imports, (inner, entry) => {
      inner.name(entry.module);
      inner.name(entry.field);
      if ('limits' in entry) {
        inner.u8(external.memory);
        writeLimits(inner, entry.limits);
      } else {
        inner.u8(external.function);
        inner.u32(types.index(entry.ref.type));
      }
    });
    vector(section.function, this.#definitions, (inner, { ref }) => inner.u32(types.index(ref.type)));
    const slots = this.#table.length + 1;
    const hasTable = slots > 1 || types.indirect || this.#exports.some((entry) => entry.target === 'table');
    vector(section.table, hasTable ? [slots] : [], (inner, size) => {
      inner.u8(funcref);
      writeLimits(inner, { initial: size, maximum: size });
    });
    vector(section.global, this.#globals, (inner, { ref, initial }) => {
      inner.u8(valueTypeCodes[ref.type]);
      inner.u8(ref.mutable ? 1 : 0);
      writeConstant(inner, ref.type, initial);
    });
    vector(section.export, this.#exports, (inner, { name, target }) => {
      inner.name(name);
      inner.u8(external[typeof target === 'string' ? target : target.kind]);
      inner.u32(typeof target === 'string' ? 0 : indices.get(target)!);
    });
    vector(section.element, slots > 1 ? [this.#table] : [], (inner, table) => {
      inner.u32(0);
      writeConstant(inner, 'i32', 1);
      inner.u32(table.length);
      for (const ref of table) inner.u32(indices.get(ref)!);
    });
    vector(section.code, bodies, (inner, body) => {
      inner.u32(body.length);
      inner.bytes(body);
    });
    if (this.#names) this.#writeNames(out, indices);
    return out.toBytes();
  }

  /** Index spaces of functions and globals: imports come first. */
  #indices(): Map<FunctionRef | GlobalRef, number> {
    const indices = new Map<FunctionRef | GlobalRef, number>();
    for (const [index, { ref }] of [...this.#imports, ...this.#definitions].entries()) indices.set(ref, index);
    for (const [index, { ref }] of this.#globals.entries()) indices.set(ref, index);
    return indices;
  }

  #writeNames(out: ByteWriter, indices: ReadonlyMap<FunctionRef | GlobalRef, number>): void {
    out.u8(section.custom);
    out.sized((inner) => {
      inner.name('name');
      inner.u8(1);
      inner.sized((names) => {
        const functions = [...this.#imports, ...this.#definitions];
        names.u32(functions.length);
        for (const { ref } of functions) {
          names.u32(indices.get(ref)!);
          names.name(ref.name);
        }
      });
    });
  }
}

/** The types of a module, each once, numbered in order of first use. */
class TypeTable {
  readonly all: FunctionType[] = [];
  /** Whether a call through the table was seen. */
  indirect = false;
  readonly #indices = new Map<string, number>();

  index(type: FunctionType): number {
    const key = functionTypeKey(type);
    const known = this.#indices.get(key);
    if (known !== undefined) return known;
    this.all.push(type);
    this.#indices.set(key, this.all.length - 1);
    return this.all.length - 1;
  }
}

/** Everything that tells two functions apart. References stand for themselves by their ids. */
function contentKey(code: FunctionCode): string {
  const targets = code.relocations.map(
    ({ at, target }) => `${at}:${'kind' in target ? target.id : functionTypeKey(target)}`,
  );
  const locals = localRuns(code.locals).map(({ type, count }) => `${count} ${type}`);
  const parts = [functionTypeKey(code.type), locals.join(' '), targets.join(' ')];
  // Each byte as a character: engines do that much faster than they hash bytes in a loop.
  for (let at = 0; at < code.bytes.length; at += mostArguments) {
    parts.push(String.fromCharCode(...code.bytes.subarray(at, at + mostArguments)));
  }
  return parts.join('|');
}

/** Of one call, so that no engine's stack is too small. */
const mostArguments = 4096;

function writeBody(
  code: FunctionCode,
  types: TypeTable,
  indices: ReadonlyMap<FunctionRef | GlobalRef, number>,
): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter(code.bytes.length + 32);
  const runs = localRuns(code.locals);
  out.u32(runs.length);
  for (const { type, count } of runs) {
    out.u32(count);
    out.u8(valueTypeCodes[type]);
  }
  let from = 0;
  for (const { at, target } of code.relocations) {
    out.bytes(code.bytes.subarray(from, at));
    from = at;
    if (!('kind' in target)) {
      types.indirect = true;
      out.u32(types.index(target));
      continue;
    }
    const index = indices.get(target);
    if (index === undefined) throw new Error(`'${code.name}' uses '${target.name}', which belongs to another module`);
    out.u32(index);
  }
  out.bytes(code.bytes.subarray(from));
  return out.toBytes();
}

/** Consecutive locals of one type, as the binary format declares them. */
function localRuns(locals: readonly Local[]): { type: ValueType; count: number }[] {
  const runs: { type: ValueType; count: number }[] = [];
  for (const { type } of locals) {
    const last = runs[runs.length - 1];
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  return runs;
}

function writeType(out: ByteWriter, { params, results }: FunctionType): void {
  out.u8(0x60);
  for (const list of [params, results]) {
    out.u32(list.length);
    for (const type of list) out.u8(valueTypeCodes[type]);
  }
}

function writeLimits(out: ByteWriter, { initial, maximum, shared }: MemoryLimits): void {
  out.u8((maximum === undefined ? 0 : 1) | (shared ? 2 : 0));
  out.u32(initial);
  if (maximum !== undefined) out.u32(maximum);
}

function writeConstant(out: ByteWriter, type: ValueType, value: number | bigint): void {
  switch (type) {
    case 'i32':
      out.u8(0x41);
      out.s32(Number(value));
      break;
    case 'i64':
      out.u8(0x42);
      out.s64(BigInt(value));
      break;
    case 'f32':
      out.u8(0x43);
      out.f32(Number(value));
      break;
    case 'f64':
      out.u8(0x44);
      out.f64(Number(value));
      break;
    case 'v128':
      throw new Error('no constant expressions of type v128');
  }
  out.u8(0x0b);
}
