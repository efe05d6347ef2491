import { expect, test } from 'vitest';
import { FunctionBuilder } from './function.ts';
import { ModuleBuilder } from './module.ts';
import { type FunctionRef, functionType } from './types.ts';

const unary = functionType(['i32'], ['i32']);

function addConstant(name: string, value: number): FunctionBuilder {
  const f = new FunctionBuilder(name, { x: 'i32' }, ['i32']);
  f.get(f.params[0]);
  f.i32Const(value);
  f.op('i32.add');
  return f;
}

function caller(name: string, target: FunctionRef): FunctionBuilder {
  const f = new FunctionBuilder(name, { x: 'i32' }, ['i32']);
  f.get(f.params[0]);
  f.call(target);
  return f;
}

function instantiate(module: ModuleBuilder, imports: WebAssembly.Imports = {}): WebAssembly.Exports {
  return new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), imports).exports;
}

test('an empty module is valid', () => {
  expect(Array.from(new ModuleBuilder().toBytes())).toEqual([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
});

test('equal functions become one, whatever they are called', () => {
  const module = new ModuleBuilder();
  const one = module.define(addConstant('one', 1));
  expect(module.define(addConstant('uno', 1))).toBe(one);
  expect(module.define(addConstant('two', 2))).not.toBe(one);
  expect(module.functionCount).toBe(2);
});

test('the same bytes with another type, other locals or another callee are not equal', () => {
  const module = new ModuleBuilder();
  const one = module.define(addConstant('one', 1));
  const two = module.define(addConstant('two', 2));
  const callsOne = module.define(caller('callsOne', one));
  expect(module.define(caller('again', one))).toBe(callsOne);
  expect(module.define(caller('callsTwo', two))).not.toBe(callsOne);

  const empty = module.define(new FunctionBuilder('empty', {}));
  expect(module.define(new FunctionBuilder('takes', { x: 'i32' }))).not.toBe(empty);
  const withLocal = new FunctionBuilder('withLocal', {});
  withLocal.local('f32');
  expect(module.define(withLocal)).not.toBe(empty);
  expect(WebAssembly.validate(module.toBytes())).toBe(true);
});

test('functions can be imported after others were defined', () => {
  const module = new ModuleBuilder();
  const one = module.define(addConstant('one', 1));
  const double = module.importFunction('env', 'double', unary);
  const f = new FunctionBuilder('both', { x: 'i32' }, ['i32']);
  f.get(f.params[0]);
  f.call(one);
  f.call(double);
  module.export('both', module.define(f));
  const { both } = instantiate(module, { env: { double: (x: number) => x * 2 } });
  expect((both as (x: number) => number)(4)).toBe(10);
});

test('indirect calls go through the table; slot 0 traps', () => {
  const module = new ModuleBuilder();
  const slots = [1, 2, 3].map((value) => module.tableIndex(module.define(addConstant(`add${value}`, value))));
  expect(slots).toEqual([1, 2, 3]);
  expect(module.tableIndex(module.define(addConstant('again', 2)))).toBe(2);
  const f = new FunctionBuilder('dispatch', { slot: 'i32', x: 'i32' }, ['i32']);
  f.get(f.params[1]);
  f.get(f.params[0]);
  f.callIndirect(unary);
  module.export('dispatch', module.define(f));
  module.export('table', 'table');
  const exports = instantiate(module);
  const dispatch = exports.dispatch as (slot: number, x: number) => number;
  expect([1, 2, 3].map((slot) => dispatch(slot, 10))).toEqual([11, 12, 13]);
  expect(() => dispatch(0, 10)).toThrow(WebAssembly.RuntimeError);
  expect((exports.table as WebAssembly.Table).length).toBe(4);
});

test('globals of every scalar type, constant and variable', () => {
  const module = new ModuleBuilder();
  const counter = module.global('counter', 'i32', -5);
  const scale = module.global('scale', 'f64', 0.5, false);
  const big = module.global('big', 'i64', 1n << 40n);
  const half = module.global('half', 'f32', 0.25);
  const f = new FunctionBuilder('next', {}, ['i32']);
  f.globalGet(counter);
  f.i32Const(1);
  f.op('i32.add');
  f.globalSet(counter);
  f.globalGet(counter);
  expect(() => f.globalSet(scale)).toThrow('constant');
  module.export('next', module.define(f));
  for (const ref of [counter, scale, big, half]) module.export(ref.name, ref);
  const exports = instantiate(module) as Record<string, WebAssembly.Global> & { next: () => number };
  expect([exports.next(), exports.next()]).toEqual([-4, -3]);
  expect([exports.scale.value, exports.big.value, exports.half.value]).toEqual([0.5, 1n << 40n, 0.25]);
});

test('an imported memory, plain and shared', () => {
  for (const shared of [false, true]) {
    const module = new ModuleBuilder();
    module.importMemory('env', 'memory', { initial: 1, maximum: 65536, shared });
    const f = new FunctionBuilder('first', {}, ['i32']);
    f.i32Const(0);
    f.load('i32.load');
    module.export('first', module.define(f));
    module.export('memory', 'memory');
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 4, shared });
    new Int32Array(memory.buffer)[0] = 77;
    const exports = instantiate(module, { env: { memory } });
    expect((exports.first as () => number)()).toBe(77);
    expect(exports.memory).toBe(memory);
  }
});

test('names are written on request and show in stack traces', () => {
  const trapping = (names: boolean) => {
    const module = new ModuleBuilder({ names });
    const f = new FunctionBuilder('softmax_rows', {});
    f.unreachable();
    module.export('run', module.define(f));
    try {
      (instantiate(module).run as () => void)();
    } catch (error) {
      return (error as Error).stack!;
    }
    return '';
  };
  expect(trapping(true)).toContain('softmax_rows');
  expect(trapping(false)).not.toContain('softmax_rows');
});

test('what cannot be written is refused', () => {
  const module = new ModuleBuilder();
  const stranger = new ModuleBuilder().define(addConstant('stranger', 1));
  module.define(caller('caller', stranger));
  expect(() => module.toBytes()).toThrow("'caller' uses 'stranger', which belongs to another module");

  const other = new ModuleBuilder();
  other.export('f', other.define(addConstant('f', 1)));
  expect(() => other.export('f', 'table')).toThrow("already exports 'f'");
  expect(() => other.importMemory('env', 'memory', { initial: 1, shared: true })).toThrow('maximum');
  other.importMemory('env', 'memory', { initial: 1 });
  expect(() => other.importMemory('env', 'more', { initial: 1 })).toThrow('one memory');
});
