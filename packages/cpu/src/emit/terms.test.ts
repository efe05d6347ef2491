import { describe, expect, it } from 'vitest';
import { FunctionBuilder } from '../wasm/function.ts';
import { ModuleBuilder } from '../wasm/module.ts';
import { HelperFunctions } from './context.ts';
import { type FloatShape, Terms } from './terms.ts';

function evaluate(shape: 'f64' | 'f32', write: (t: Terms<FloatShape>) => void, x: number): number {
  const module = new ModuleBuilder();
  const f = new FunctionBuilder('run', { x: shape }, [shape]);
  write(new Terms({ f, lanes: 4, helpers: new HelperFunctions(module) }, shape));
  module.export('run', module.define(f));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()));
  return (instance.exports.run as (x: number) => number)(x);
}

describe('Terms', () => {
  it.each([1, 2, 3, 4, 5, 6])('evaluates polynomials of %s coefficients both ways', (count) => {
    const coefficients = [3, -1, 4, 1, -5, 9].slice(0, count);
    const expected = coefficients.reduce((sum, c, i) => sum + c * 2 ** i, 0);
    const byHorner = (t: Terms): void => t.horner(t.read(t.c.f.params[0]), coefficients)();
    const byPairs = (t: Terms): void => {
      const x = t.read(t.c.f.params[0]);
      t.polynomial(x, t.keep(t.mul(x, x)), coefficients)();
    };
    expect(evaluate('f64', byHorner, 2)).toBe(expected);
    expect(evaluate('f64', byPairs, 2)).toBe(expected);
  });

  it('selects between scalars', () => {
    const write = (t: Terms): void => {
      const x = t.read(t.c.f.params[0]);
      t.select(t.const(1), t.neg(x), t.gt(x, t.const(0)))();
    };
    expect(evaluate('f32', write, 5)).toBe(1);
    expect(evaluate('f32', write, -5)).toBe(5);
  });

  it('refuses to write a computed term twice', () => {
    const write = (t: Terms): void => {
      const square = t.mul(t.read(t.c.f.params[0]), t.const(2));
      t.add(square, square)();
    };
    expect(() => evaluate('f64', write, 1)).toThrow('keep it');
  });
});
