// Prints a function as text close to WAT, for snapshot tests and for people.

import type { FunctionBuilder, FunctionCode, Local, Relocation } from './function.ts';
import type { Opcode } from './opcode.ts';
import { allOpcodes, core } from './opcodes.ts';
import type { FunctionRef, FunctionType, GlobalRef } from './types.ts';

const byCode: ReadonlyMap<number, Opcode> = new Map(allOpcodes.map((opcode) => [opcode.code, opcode]));

/** Instructions followed only by reserved zero bytes. */
const otherForms: ReadonlyMap<number, { name: string; zeroBytes: number }> = new Map([
  [core.unreachable, { name: 'unreachable', zeroBytes: 0 }],
  [core.return, { name: 'return', zeroBytes: 0 }],
  [core.drop, { name: 'drop', zeroBytes: 0 }],
  [core.select, { name: 'select', zeroBytes: 0 }],
  [core.memorySize, { name: 'memory.size', zeroBytes: 1 }],
  [core.memoryGrow, { name: 'memory.grow', zeroBytes: 1 }],
  [core.memoryFill, { name: 'memory.fill', zeroBytes: 1 }],
  [core.memoryCopy, { name: 'memory.copy', zeroBytes: 2 }],
  [core.atomicFence, { name: 'atomic.fence', zeroBytes: 1 }],
]);

const blockTypes: Readonly<Record<number, string>> = {
  64: '',
  127: ' (result i32)',
  126: ' (result i64)',
  125: ' (result f32)',
  124: ' (result f64)',
  123: ' (result v128)',
};

/**
 * One instruction a line, indented by block. Labels are `$b0`, `$l1`, `$i2` (block, loop, if) in order of appearance,
 * locals `$name` or `$index`. A memory access shows its offset, and its alignment unless natural.
 * A builder that is passed is finished by this.
 */
export function disassemble(source: FunctionBuilder | FunctionCode): string {
  const code = 'finish' in source ? source.finish() : source;
  const locals = [...code.params, ...code.locals];
  const names = localNames(locals);
  const declare = (keyword: string, list: readonly Local[]) =>
    list.map((local) => ` (${keyword} ${names[local.index]} ${local.type})`).join('');
  const results = code.type.results.map((type) => ` (result ${type})`).join('');
  const lines = [`(func $${code.name}${declare('param', code.params)}${results}`];
  if (code.locals.length > 0) lines.push(` ${declare('local', code.locals)}`);
  lines.push(...new BodyPrinter(code, names).print(), ')');
  return lines.join('\n');
}

/** Names may repeat (a local is reused under its first name only); then the index tells them apart. */
function localNames(locals: readonly Local[]): string[] {
  const seen = new Set<string>();
  return locals.map(({ name, index }) => {
    const unique = name === '' ? `${index}` : seen.has(name) ? `${name}.${index}` : name;
    seen.add(unique);
    return `$${unique}`;
  });
}

class BodyPrinter {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #relocations: Map<number, Relocation['target']>;
  readonly #locals: readonly string[];
  readonly #labels: string[] = ['$function'];
  readonly #lines: string[] = [];
  #at = 0;
  #blocks = 0;

  constructor(code: FunctionCode, locals: readonly string[]) {
    this.#bytes = code.bytes;
    this.#view = new DataView(code.bytes.buffer, code.bytes.byteOffset, code.bytes.byteLength);
    this.#relocations = new Map(code.relocations.map(({ at, target }) => [at, target]));
    this.#locals = locals;
  }

  print(): readonly string[] {
    while (this.#at < this.#bytes.length) this.#instruction();
    return this.#lines;
  }

  #instruction(): void {
    const code = this.#opcode();
    switch (code) {
      case core.block:
        this.#open('block', 'b');
        break;
      case core.loop:
        this.#open('loop', 'l');
        break;
      case core.if:
        this.#open('if', 'i');
        break;
      case core.else:
        this.#line('else', -1);
        break;
      case core.end:
        this.#labels.pop();
        // The end of the function is the closing parenthesis.
        if (this.#labels.length > 0) this.#line('end');
        break;
      default: {
        const opcode = byCode.get(code);
        this.#line(opcode === undefined ? this.#untabled(code) : opcode.name + this.#immediates(opcode));
      }
    }
  }

  #untabled(code: number): string {
    switch (code) {
      case core.br:
        return `br ${this.#label()}`;
      case core.brIf:
        return `br_if ${this.#label()}`;
      case core.brTable: {
        const count = this.#u32();
        return `br_table ${Array.from({ length: count + 1 }, () => this.#label()).join(' ')}`;
      }
      case core.call:
        return `call $${(this.#target() as FunctionRef).name}`;
      case core.callIndirect: {
        const { params, results } = this.#target() as FunctionType;
        this.#skip(1);
        const signature = [
          params.length && ` (param ${params.join(' ')})`,
          results.length && ` (result ${results.join(' ')})`,
        ];
        return `call_indirect${signature.filter(Boolean).join('')}`;
      }
      case core.localGet:
        return `local.get ${this.#locals[this.#u32()]}`;
      case core.localSet:
        return `local.set ${this.#locals[this.#u32()]}`;
      case core.localTee:
        return `local.tee ${this.#locals[this.#u32()]}`;
      case core.globalGet:
        return `global.get $${(this.#target() as GlobalRef).name}`;
      case core.globalSet:
        return `global.set $${(this.#target() as GlobalRef).name}`;
      case core.i32Const:
        return `i32.const ${BigInt.asIntN(32, this.#signed())}`;
      case core.i64Const:
        return `i64.const ${this.#signed()}`;
      case core.f32Const:
        return `f32.const ${this.#view.getFloat32(this.#skip(4), true)}`;
      case core.f64Const:
        return `f64.const ${this.#view.getFloat64(this.#skip(8), true)}`;
      case core.v128Const: {
        const from = this.#skip(16);
        const words = [0, 4, 8, 12].map((byte) => this.#view.getUint32(from + byte, true));
        return `v128.const i32x4 ${words.map((word) => `0x${word.toString(16).padStart(8, '0')}`).join(' ')}`;
      }
      case core.shuffle: {
        const from = this.#skip(16);
        return `i8x16.shuffle ${this.#bytes.subarray(from, from + 16).join(' ')}`;
      }
      default: {
        const form = otherForms.get(code);
        if (form === undefined) throw new Error(`no instruction has code 0x${code.toString(16)}`);
        this.#skip(form.zeroBytes);
        return form.name;
      }
    }
  }

  #immediates(opcode: Opcode): string {
    if (opcode.immediates === 'none') return '';
    if (opcode.immediates === 'lane') return ` ${this.#u32()}`;
    const align = 2 ** this.#u32();
    const offset = this.#u32();
    let text = offset === 0 ? '' : ` offset=${offset}`;
    if (align !== opcode.extent) text += ` align=${align}`;
    return opcode.immediates === 'memory-lane' ? `${text} ${this.#u32()}` : text;
  }

  #open(keyword: string, letter: string): void {
    const label = `$${letter}${this.#blocks++}`;
    this.#line(`${keyword} ${label}${blockTypes[this.#bytes[this.#skip(1)]]}`);
    this.#labels.push(label);
  }

  #label(): string {
    return this.#labels[this.#labels.length - 1 - this.#u32()];
  }

  /** The operand inserted here when the module is written; it has no bytes yet. */
  #target(): Relocation['target'] {
    return this.#relocations.get(this.#at)!;
  }

  #line(text: string, outdent = 0): void {
    this.#lines.push('  '.repeat(this.#labels.length + outdent) + text);
  }

  #opcode(): number {
    const first = this.#bytes[this.#at++];
    return first < 0xfc ? first : (first << 16) | this.#u32();
  }

  #u32(): number {
    return Number(this.#leb(false));
  }

  #signed(): bigint {
    return this.#leb(true);
  }

  #leb(signed: boolean): bigint {
    let value = 0n;
    let shift = 0n;
    let byte: number;
    do {
      byte = this.#bytes[this.#at++];
      value |= BigInt(byte & 0x7f) << shift;
      shift += 7n;
    } while (byte & 0x80);
    return signed ? BigInt.asIntN(Number(shift), value) : value;
  }

  /** Where an immediate of `count` bytes begins; moves past it. */
  #skip(count: number): number {
    this.#at += count;
    return this.#at - count;
  }
}
