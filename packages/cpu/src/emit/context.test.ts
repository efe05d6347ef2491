import { describe, expect, it } from 'vitest';
import { FunctionBuilder } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { type EmitContext, type HelperDefinition, HelperFunctions, HoistedConstants } from './context.ts';
import { emitBinary, emitConst, emitUnary } from './vector-ops.ts';

describe('HelperFunctions', () => {
  it('defines a helper once, with the helpers it calls', () => {
    const module = new ModuleBuilder();
    const helpers = new HelperFunctions(module);
    const inner: HelperDefinition = {
      name: 'inner',
      params: { x: 'f64' },
      result: 'f64',
      body: (c, [x]) => c.f.get(x),
    };
    const outer: HelperDefinition = {
      name: 'outer',
      params: { x: 'f64' },
      result: 'f64',
      body: (c, [x]) => {
        c.f.get(x);
        c.helpers.call(c.f, inner);
        c.f.op('f64.neg');
      },
    };
    const first = helpers.reference(outer);
    expect(helpers.reference(outer)).toBe(first);
    expect(module.functionCount).toBe(2);
    expect(helpers.reference(inner).name).toBe('inner');
    expect(module.functionCount).toBe(2);
  });

  it('shares the functions of float64 between kernels of a module', () => {
    const module = new ModuleBuilder();
    const helpers = new HelperFunctions(module);
    for (const name of ['a', 'b']) {
      const f = new FunctionBuilder(name, { x: 'v128' }, ['v128']);
      f.get(f.params[0]);
      emitUnary({ f, lanes: 2, helpers }, 'exp', 'float64');
      if (name === 'b') emitUnary({ f, lanes: 2, helpers }, 'exp', 'float64');
      module.define(f);
    }
    expect(module.functionCount).toBe(3);
  });
});

describe('HoistedConstants', () => {
  const helpers = new HelperFunctions(new ModuleBuilder());

  function write(pool: HoistedConstants): FunctionBuilder {
    const f = new FunctionBuilder('body', { x: 'v128' }, ['v128']);
    const c: EmitContext = { f, lanes: 4, helpers, constantLocal: pool.constantLocal };
    pool.emit(f);
    f.get(f.params[0]);
    for (const value of [1.5, 2.5, 1.5]) {
      emitConst(c, 'float32', value);
      emitBinary(c, 'mul', 'float32');
    }
    return f;
  }

  it('reads a constant that was noted before from a local', () => {
    const pool = new HoistedConstants();
    write(pool);
    const code = write(pool).finish();
    expect(code.locals.map((local) => local.name)).toEqual(['const 1.5', 'const 2.5']);
  });

  it('keeps no more than its limit', () => {
    const pool = new HoistedConstants(1);
    write(pool);
    expect(write(pool).finish().locals).toHaveLength(1);
  });

  it('tells zeros and shapes apart', () => {
    const pool = new HoistedConstants();
    for (const value of [-0, 1]) pool.constantLocal('f32x4', value);
    pool.constantLocal('i32x4', 1);
    const f = new FunctionBuilder('constants', {});
    pool.emit(f);
    expect(f.finish().locals).toHaveLength(3);
  });
});
