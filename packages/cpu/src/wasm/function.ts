// Writes the body of one WebAssembly function, instruction by instruction.

import { ByteWriter } from './byte-writer.ts';
import type { Opcode } from './opcode.ts';
import {
  type AtomicOp,
  atomicOps,
  core,
  type LaneLoadOp,
  type LaneOp,
  type LaneStoreOp,
  type LoadOp,
  laneLoads,
  laneOps,
  laneStores,
  loadOps,
  type PlainOp,
  plainOps,
  type StoreOp,
  storeOps,
} from './opcodes.ts';
import { type Label, OperandStack } from './operand-stack.ts';
import {
  type FunctionRef,
  type FunctionType,
  functionType,
  type GlobalRef,
  type ValueType,
  valueTypeCodes,
} from './types.ts';

export type { Label } from './operand-stack.ts';

export interface Local {
  readonly index: number;
  readonly type: ValueType;
  /** Only for people: shown by the disassembler. */
  readonly name: string;
}

/** An i32 given as a constant, a local, or code that pushes it. */
export type I32Operand = number | Local | (() => void);

export type LaneShape = 'i8x16' | 'i16x8' | 'i32x4' | 'i64x2' | 'f32x4' | 'f64x2';

/** A place in the body where an index of the module is inserted when the module is written. */
export interface Relocation {
  readonly at: number;
  readonly target: FunctionRef | GlobalRef | FunctionType;
}

/** A finished body: free of any index of the module it will be part of. */
export interface FunctionCode {
  readonly name: string;
  readonly type: FunctionType;
  readonly params: readonly Local[];
  /** Locals after the parameters, in the order of their indices. */
  readonly locals: readonly Local[];
  /** Instructions with the final `end`, without what the relocations insert. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly relocations: readonly Relocation[];
}

/** A counted loop; see `forRange`. */
export interface Range {
  readonly begin: I32Operand;
  /** Read again in each iteration when it is a local. */
  readonly end: number | Local;
  /** Default 1. Positive; `end + step` must not overflow. */
  readonly step?: number | Local;
  /** Compare as unsigned: needed for addresses, which may lie above 2 GiB. */
  readonly unsigned?: boolean;
  /** The caller knows that begin < end: the check before the first iteration is left out. */
  readonly atLeastOnce?: boolean;
  /** The counter to use; otherwise one is allocated for the duration of the loop. */
  readonly counter?: Local;
}

/**
 * A stack machine: each method appends one instruction, and throws AssemblyError if its operands are not on the stack.
 * Hand the builder to `ModuleBuilder.define` when the body is complete.
 */
export class FunctionBuilder {
  readonly name: string;
  readonly type: FunctionType;
  readonly params: readonly Local[];
  readonly #code = new ByteWriter(256);
  readonly #stack: OperandStack;
  readonly #locals: Local[] = [];
  readonly #free = new Map<ValueType, Local[]>();
  readonly #scopes: Local[][] = [];
  readonly #relocations: Relocation[] = [];
  readonly #body: Label;

  /** Parameters are named by the keys of `params`, in order. */
  constructor(name: string, params: Readonly<Record<string, ValueType>>, results: readonly ValueType[] = []) {
    this.name = name;
    this.params = Object.entries(params).map(([key, type], index) => ({ index, type, name: key }));
    this.type = functionType(Object.values(params), results);
    this.#stack = new OperandStack(name);
    this.#body = this.#stack.open('function', results);
  }

  // Locals

  /** A local of undefined content: a released one may be handed out again. */
  local(type: ValueType, name = ''): Local {
    let local = this.#free.get(type)?.pop();
    if (local === undefined) {
      local = { index: this.params.length + this.#locals.length, type, name };
      this.#locals.push(local);
    }
    this.#scopes[this.#scopes.length - 1]?.push(local);
    return local;
  }

  /** Several locals of one type, such as accumulators. */
  locals(count: number, type: ValueType, name = ''): Local[] {
    return Array.from({ length: count }, (_, position) => this.local(type, name && `${name}${position}`));
  }

  /** Gives locals back for reuse. Locals of an open `scope` are given back by it: do not release those. */
  release(...locals: readonly Local[]): void {
    for (const local of locals) {
      const free = this.#free.get(local.type);
      if (free === undefined) this.#free.set(local.type, [local]);
      else free.push(local);
    }
  }

  /** Releases the locals that `body` allocates when it returns. */
  scope<Value>(body: () => Value): Value {
    const scope: Local[] = [];
    this.#scopes.push(scope);
    try {
      return body();
    } finally {
      this.#scopes.pop();
      this.release(...scope.reverse());
    }
  }

  get(local: Local): void {
    this.#withIndex(core.localGet, 'local.get', local.index, [], [local.type]);
  }

  set(local: Local): void {
    this.#withIndex(core.localSet, 'local.set', local.index, [local.type], []);
  }

  tee(local: Local): void {
    this.#withIndex(core.localTee, 'local.tee', local.index, [local.type], [local.type]);
  }

  globalGet(global: GlobalRef): void {
    this.#opcode(core.globalGet, 'global.get', [], [global.type]);
    this.#relocate(global);
  }

  globalSet(global: GlobalRef): void {
    if (!global.mutable) this.#stack.fail(`global.set of ${global.name}, which is constant`);
    this.#opcode(core.globalSet, 'global.set', [global.type], []);
    this.#relocate(global);
  }

  // Constants

  /** Accepts unsigned values too: 0xffff_ffff is -1. */
  i32Const(value: number): void {
    this.#opcode(core.i32Const, 'i32.const', [], ['i32']);
    this.#code.s32(value);
  }

  i64Const(value: number | bigint): void {
    this.#opcode(core.i64Const, 'i64.const', [], ['i64']);
    this.#code.s64(BigInt(value));
  }

  f32Const(value: number): void {
    this.#opcode(core.f32Const, 'f32.const', [], ['f32']);
    this.#code.f32(value);
  }

  f64Const(value: number): void {
    this.#opcode(core.f64Const, 'f64.const', [], ['f64']);
    this.#code.f64(value);
  }

  /** 16 bytes. */
  v128Const(bytes: ArrayLike<number>): void {
    if (bytes.length !== 16) this.#stack.fail(`v128.const needs 16 bytes, not ${bytes.length}`);
    this.#opcode(core.v128Const, 'v128.const', [], ['v128']);
    this.#code.bytes(bytes);
  }

  /** A vector constant by lanes; a single value goes to all lanes. */
  lanesConst(shape: LaneShape, value: number | bigint | readonly (number | bigint)[]): void {
    const count = Number(shape.slice(shape.indexOf('x') + 1));
    const lanes = typeof value === 'object' ? value : Array.from({ length: count }, () => value);
    if (lanes.length !== count) this.#stack.fail(`${shape} has ${count} lanes, not ${lanes.length}`);
    this.v128Const(new Uint8Array(laneArray(shape, lanes).buffer));
  }

  push(operand: I32Operand): void {
    if (typeof operand === 'number') this.i32Const(operand);
    else if (typeof operand === 'function') operand();
    else this.get(operand);
  }

  // Instructions of the opcode tables

  op(name: PlainOp): void {
    this.#tabled(plainOps[name]);
  }

  /** `align` in bytes is a hint; the default is the natural alignment. */
  load(name: LoadOp, offset = 0, align?: number): void {
    this.#access(loadOps[name], offset, align);
  }

  store(name: StoreOp, offset = 0, align?: number): void {
    this.#access(storeOps[name], offset, align);
  }

  /** The address must be a multiple of the access's size, or the instruction traps. */
  atomic(name: AtomicOp, offset = 0): void {
    this.#access(atomicOps[name], offset);
  }

  atomicFence(): void {
    this.#opcode(core.atomicFence, 'atomic.fence', [], []);
    this.#code.u8(0);
  }

  lane(name: LaneOp, lane: number): void {
    const opcode = laneOps[name];
    this.#tabled(opcode);
    this.#laneIndex(opcode.name, lane, opcode.extent);
  }

  loadLane(name: LaneLoadOp, lane: number, offset = 0, align?: number): void {
    this.#access(laneLoads[name], offset, align);
    this.#laneIndex(name, lane, 16 / laneLoads[name].extent);
  }

  storeLane(name: LaneStoreOp, lane: number, offset = 0, align?: number): void {
    this.#access(laneStores[name], offset, align);
    this.#laneIndex(name, lane, 16 / laneStores[name].extent);
  }

  /** Result byte i is byte `lanes[i]` of the 32 bytes of both operands. */
  shuffle(lanes: ArrayLike<number>): void {
    if (lanes.length !== 16) this.#stack.fail(`i8x16.shuffle needs 16 lanes, not ${lanes.length}`);
    this.#opcode(core.shuffle, 'i8x16.shuffle', ['v128', 'v128'], ['v128']);
    for (let position = 0; position < 16; position++) this.#laneIndex('i8x16.shuffle', lanes[position], 32);
  }

  // Memory as a whole

  /** Operands: destination, source, bytes. The ranges may overlap. */
  memoryCopy(): void {
    this.#opcode(core.memoryCopy, 'memory.copy', ['i32', 'i32', 'i32'], []);
    this.#code.bytes([0, 0]);
  }

  /** Operands: destination, byte value, bytes. */
  memoryFill(): void {
    this.#opcode(core.memoryFill, 'memory.fill', ['i32', 'i32', 'i32'], []);
    this.#code.u8(0);
  }

  memorySize(): void {
    this.#opcode(core.memorySize, 'memory.size', [], ['i32']);
    this.#code.u8(0);
  }

  memoryGrow(): void {
    this.#opcode(core.memoryGrow, 'memory.grow', ['i32'], ['i32']);
    this.#code.u8(0);
  }

  // Control

  drop(): void {
    this.#stack.pop('drop');
    this.#code.u8(core.drop);
  }

  /** Operands: value if true, value if false, i32 condition. */
  select(): void {
    this.#stack.pop('select', 'i32');
    const second = this.#stack.pop('select');
    const first = this.#stack.pop('select', second === 'any' ? undefined : second);
    this.#stack.push(first === 'any' ? second : first);
    this.#code.u8(core.select);
  }

  unreachable(): void {
    this.#code.u8(core.unreachable);
    this.#stack.markUnreachable();
  }

  /** A branch to `exit` leaves the block. */
  block(body: (exit: Label) => void, result?: ValueType): void {
    this.#structured('block', core.block, result, body);
  }

  /** A branch to `again` starts the next iteration; falling off the end leaves the loop. */
  loop(body: (again: Label) => void, result?: ValueType): void {
    this.#structured('loop', core.loop, result, body);
  }

  /** Takes the condition from the stack. A branch to `exit` leaves the if. */
  if(then: (exit: Label) => void, otherwise?: (exit: Label) => void): void;
  if(result: ValueType, then: (exit: Label) => void, otherwise: (exit: Label) => void): void;
  if(first: ValueType | ((exit: Label) => void), second?: (exit: Label) => void, third?: (exit: Label) => void): void {
    const typed = typeof first === 'string';
    const then = typed ? second! : first;
    const otherwise = typed ? third : second;
    this.#stack.pop('if', 'i32');
    this.#structured('if', core.if, typed ? first : undefined, (exit) => {
      then(exit);
      if (otherwise === undefined) return;
      this.#stack.alternative();
      this.#code.u8(core.else);
      otherwise(exit);
    });
  }

  br(label: Label): void {
    const depth = this.#stack.branch('br', label, false);
    this.#code.u8(core.br);
    this.#code.u32(depth);
    this.#stack.markUnreachable();
  }

  brIf(label: Label): void {
    this.#stack.pop('br_if', 'i32');
    const depth = this.#stack.branch('br_if', label, true);
    this.#code.u8(core.brIf);
    this.#code.u32(depth);
  }

  /** Takes an index; `otherwise` is for an index past the end of `labels`. */
  brTable(labels: readonly Label[], otherwise: Label): void {
    this.#stack.pop('br_table', 'i32');
    const depths = [...labels, otherwise].map((label) => this.#stack.branch('br_table', label, true));
    this.#code.u8(core.brTable);
    this.#code.u32(labels.length);
    for (const depth of depths) this.#code.u32(depth);
    this.#stack.markUnreachable();
  }

  return(): void {
    this.#stack.branch('return', this.#body, false);
    this.#code.u8(core.return);
    this.#stack.markUnreachable();
  }

  call(target: FunctionRef): void {
    this.#opcode(core.call, `call of ${target.name}`, target.type.params, target.type.results);
    this.#relocate(target);
  }

  /** Operands: arguments, then the index in the module's table. */
  callIndirect(type: FunctionType): void {
    this.#stack.pop('call_indirect', 'i32');
    this.#opcode(core.callIndirect, 'call_indirect', type.params, type.results);
    this.#relocate(type);
    this.#code.u8(0);
  }

  /** `for (counter = begin; counter < end; counter += step) body`. A branch to `exit` leaves the loop. */
  forRange(range: Range, body: (counter: Local, exit: Label) => void): void {
    const { begin, end, step = 1, unsigned = false, atLeastOnce = false } = range;
    const counter = range.counter ?? this.#unscopedLocal('i32');
    const less = unsigned ? 'i32.lt_u' : 'i32.lt_s';
    this.push(begin);
    this.set(counter);
    this.block((exit) => {
      if (!atLeastOnce) {
        this.get(counter);
        this.push(end);
        this.op(unsigned ? 'i32.ge_u' : 'i32.ge_s');
        this.brIf(exit);
      }
      this.loop((again) => {
        body(counter, exit);
        this.get(counter);
        this.push(step);
        this.op('i32.add');
        this.tee(counter);
        this.push(end);
        this.op(less);
        this.brIf(again);
      });
    });
    if (range.counter === undefined) this.release(counter);
  }

  /** Closes the body; nothing can be appended afterwards. */
  finish(): FunctionCode {
    this.#stack.close();
    this.#code.u8(core.end);
    const { name, type, params } = this;
    return { name, type, params, locals: this.#locals, bytes: this.#code.toBytes(), relocations: this.#relocations };
  }

  /** A local that the caller releases itself, whatever scope is open. */
  #unscopedLocal(type: ValueType): Local {
    const local = this.local(type);
    this.#scopes[this.#scopes.length - 1]?.pop();
    return local;
  }

  #structured(
    kind: 'block' | 'loop' | 'if',
    code: number,
    result: ValueType | undefined,
    body: (label: Label) => void,
  ): void {
    this.#code.u8(code);
    this.#code.u8(result === undefined ? 0x40 : valueTypeCodes[result]);
    const label = this.#stack.open(kind, result === undefined ? [] : [result]);
    body(label);
    this.#stack.close();
    this.#code.u8(core.end);
  }

  #opcode(code: number, name: string, params: readonly ValueType[], results: readonly ValueType[]): void {
    this.#stack.apply(name, params, results);
    if (code > 0xff) {
      this.#code.u8(code >>> 16);
      this.#code.u32(code & 0xffff);
    } else this.#code.u8(code);
  }

  #tabled(opcode: Opcode): void {
    this.#opcode(opcode.code, opcode.name, opcode.params, opcode.results);
  }

  #withIndex(
    code: number,
    name: string,
    index: number,
    params: readonly ValueType[],
    results: readonly ValueType[],
  ): void {
    this.#opcode(code, name, params, results);
    this.#code.u32(index);
  }

  #access(opcode: Opcode, offset: number, align = opcode.extent): void {
    const exponent = Math.log2(align);
    if (!Number.isInteger(exponent) || align > opcode.extent)
      this.#stack.fail(`${opcode.name} cannot have alignment ${align}`);
    this.#tabled(opcode);
    this.#code.u32(exponent);
    this.#code.u32(offset);
  }

  #laneIndex(name: string, lane: number, count: number): void {
    if (!Number.isInteger(lane) || lane < 0 || lane >= count) this.#stack.fail(`${name} has no lane ${lane}`);
    this.#code.u8(lane);
  }

  #relocate(target: Relocation['target']): void {
    this.#relocations.push({ at: this.#code.length, target });
  }
}

function laneArray(shape: LaneShape, lanes: readonly (number | bigint)[]): ArrayBufferView {
  switch (shape) {
    case 'i8x16':
      return Int8Array.from(lanes, Number);
    case 'i16x8':
      return Int16Array.from(lanes, Number);
    case 'i32x4':
      return Int32Array.from(lanes, Number);
    case 'i64x2':
      return BigInt64Array.from(lanes, BigInt);
    case 'f32x4':
      return Float32Array.from(lanes, Number);
    case 'f64x2':
      return Float64Array.from(lanes, Number);
  }
}
