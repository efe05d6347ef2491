// Derivatives of operators that treat each element by itself.

import type { Value } from '../../graph/graph.ts';
import { codeOfDType } from '../../onnx/import-tensor.ts';
import { float, type OperatorDefinition, string } from '../define.ts';
import { type Derivation, rule } from './rule.ts';

type Slope = (d: Derivation) => Value;

/** x̄ = ȳ · slope */
const unary = (name: string, slope: Slope): OperatorDefinition => rule(name, {}, (d) => d.mul(d.g, slope(d)));

const one = (d: Derivation): Value => d.number(1, d.x());
const square = (d: Derivation, x: Value): Value => d.mul(x, x);
/** 1 where the condition holds, else 0. */
const indicator = (d: Derivation, condition: Value): Value =>
  d.ctx.op('Cast', [condition], { to: codeOfDType(d.ctx.typeOf(d.x()).dtype) });

export const Abs = unary('Abs', (d) => d.op('Sign', d.x()));
export const Acos = unary('Acos', (d) =>
  d.op('Neg', d.op('Reciprocal', d.op('Sqrt', d.sub(one(d), square(d, d.x()))))),
);
export const Asin = unary('Asin', (d) => d.op('Reciprocal', d.op('Sqrt', d.sub(one(d), square(d, d.x())))));
export const Atan = unary('Atan', (d) => d.op('Reciprocal', d.add(one(d), square(d, d.x()))));
export const Cos = unary('Cos', (d) => d.op('Neg', d.op('Sin', d.x())));
export const Cosh = unary('Cosh', (d) => d.op('Sinh', d.x()));
export const Erf = unary('Erf', (d) =>
  d.mul(d.op('Exp', d.op('Neg', square(d, d.x()))), d.number(2 / Math.sqrt(Math.PI), d.x())),
);
export const Exp = unary('Exp', (d) => d.y());
export const Identity = rule('Identity', {}, (d) => d.op('Identity', d.g));
export const Log = rule('Log', {}, (d) => d.div(d.g, d.x()));
export const Neg = rule('Neg', {}, (d) => d.op('Neg', d.g));
export const Reciprocal = unary('Reciprocal', (d) => d.op('Neg', square(d, d.y())));
export const Relu = unary('Relu', (d) => indicator(d, d.op('Greater', d.x(), d.number(0, d.x()))));
export const Sigmoid = unary('Sigmoid', (d) => d.mul(d.y(), d.sub(one(d), d.y())));
export const Sin = unary('Sin', (d) => d.op('Cos', d.x()));
export const Sinh = unary('Sinh', (d) => d.op('Cosh', d.x()));
export const Softplus = unary('Softplus', (d) => d.op('Sigmoid', d.x()));
export const Softsign = unary('Softsign', (d) => d.op('Reciprocal', square(d, d.add(one(d), d.op('Abs', d.x())))));
export const Sqrt = unary('Sqrt', (d) => d.op('Reciprocal', d.mul(d.y(), d.number(2, d.x()))));
export const Tan = unary('Tan', (d) => d.add(one(d), square(d, d.y())));
export const Tanh = unary('Tanh', (d) => d.sub(one(d), square(d, d.y())));

/** Steps, whose slope is 0 wherever there is one. */
export const flat = ['Ceil', 'Floor', 'Round', 'Sign'].map((name) => rule(name, {}, () => []));

export const LeakyRelu = rule('LeakyRelu', { alpha: float(0.01) }, (d) => {
  const negative = d.op('Less', d.x(), d.number(0, d.x()));
  return d.op('Where', negative, d.mul(d.g, d.number(d.ctx.attributes.alpha, d.x())), d.g);
});

/** y = α (eˣ − 1) below 0, where the slope is y + α. */
export const Elu = rule('Elu', { alpha: float(1) }, (d) => {
  const negative = d.op('Less', d.x(), d.number(0, d.x()));
  const slope = d.add(d.y(), d.number(d.ctx.attributes.alpha, d.x()));
  return d.op('Where', negative, d.mul(d.g, slope), d.g);
});

/** Exact: Φ(x) + x φ(x). With the tanh formula: its derivative. */
export const Gelu = rule('Gelu', { approximate: string('none') }, (d) => {
  const x = d.x();
  const n = (value: number): Value => d.number(value, x);
  if (d.ctx.attributes.approximate === 'tanh') {
    const [c, k] = [Math.sqrt(2 / Math.PI), 0.044715];
    const squared = d.mul(x, x);
    const inner = d.mul(d.mul(x, n(c)), d.add(n(1), d.mul(squared, n(k))));
    const t = d.op('Tanh', inner);
    const innerSlope = d.mul(n(c), d.add(n(1), d.mul(squared, n(3 * k))));
    const bent = d.mul(d.mul(x, d.sub(n(1), d.mul(t, t))), innerSlope);
    return d.mul(d.g, d.mul(n(0.5), d.add(d.add(n(1), t), bent)));
  }
  const mass = d.mul(n(0.5), d.add(n(1), d.op('Erf', d.mul(x, n(Math.SQRT1_2)))));
  const density = d.mul(n(1 / Math.sqrt(2 * Math.PI)), d.op('Exp', d.mul(d.mul(x, x), n(-0.5))));
  return d.mul(d.g, d.add(mass, d.mul(x, density)));
});

/** Passes where the result is within the bounds. */
export const Clip = rule('Clip', { min: float(), max: float() }, (d) => {
  const { min, max } = d.ctx.attributes;
  const x = d.x();
  const least = d.hasInput(1) ? d.x(1) : min === undefined ? undefined : d.number(min, x);
  const greatest = d.hasInput(2) ? d.x(2) : max === undefined ? undefined : d.number(max, x);
  let result = d.g;
  if (least) result = d.mul(result, indicator(d, d.op('GreaterOrEqual', x, least)));
  if (greatest) result = d.mul(result, indicator(d, d.op('LessOrEqual', x, greatest)));
  return d.op('Identity', result);
});

export const Cast = rule('Cast', {}, (d) => d.ctx.op('Cast', [d.g], { to: codeOfDType(d.ctx.typeOf(d.x()).dtype) }));

/** Sums of the gradients over the axes along which an operand was broadcast. */
const pair = (name: string, gradients: (d: Derivation) => readonly [Value, Value]): OperatorDefinition =>
  rule(name, {}, (d) => gradients(d).map((gradient, at) => d.sumLike(gradient, d.x(at))));

export const Add = pair('Add', (d) => [d.g, d.g]);
export const Sub = pair('Sub', (d) => [d.g, d.op('Neg', d.g)]);
export const Mul = pair('Mul', (d) => [d.mul(d.g, d.x(1)), d.mul(d.g, d.x(0))]);
export const Div = pair('Div', (d) => {
  const scaled = d.div(d.g, d.x(1));
  return [scaled, d.op('Neg', d.mul(scaled, d.div(d.x(0), d.x(1))))];
});

/** y xʸ⁻¹ for the base, xʸ log x for the exponent, which at x ≤ 0 is taken as 0. */
export const Pow = rule('Pow', {}, (d) => {
  const { ctx } = d;
  const [x, given] = [d.x(0), d.x(1)];
  const exponent = ctx.op('Cast', [given], { to: codeOfDType(ctx.typeOf(x).dtype) });
  const ofBase = d.mul(d.g, d.mul(exponent, d.op('Pow', x, d.sub(exponent, d.number(1, x)))));
  const gradients: (Value | undefined)[] = [d.sumLike(ofBase, x)];
  if (ctx.hasOutput(1)) {
    const zero = d.number(0, x);
    const logarithm = d.op('Where', d.op('Greater', x, zero), d.op('Log', x), zero);
    const ofExponent = d.mul(d.g, d.mul(d.y(), logarithm));
    const own = ctx.op('Cast', [ofExponent], { to: codeOfDType(ctx.typeOf(given).dtype) });
    gradients.push(d.sumLike(own, given));
  }
  return gradients;
});

export const Where = rule('Where', {}, (d) => {
  const zero = d.number(0, d.g);
  const condition = d.x(0);
  return [
    undefined,
    d.sumLike(d.op('Where', condition, d.g, zero), d.x(1)),
    d.sumLike(d.op('Where', condition, zero, d.g), d.x(2)),
  ];
});

const operands = (d: Derivation): readonly Value[] => Array.from({ length: d.inputCount }, (_, at) => d.x(at));

export const Sum = rule('Sum', {}, (d) => operands(d).map((x) => d.sumLike(d.g, x)));
export const Mean = rule('Mean', {}, (d) =>
  operands(d).map((x) => d.sumLike(d.div(d.g, d.number(d.inputCount, d.g)), x)),
);

/** Operands that share the extreme value share its gradient. */
const extreme = (name: string): OperatorDefinition =>
  rule(name, {}, (d) => {
    const hits = operands(d).map((x) => indicator(d, d.op('Equal', x, d.y())));
    const share = d.div(d.g, d.op('Sum', ...hits));
    return operands(d).map((x, at) => d.sumLike(d.mul(share, hits[at]), x));
  });

export const Max = extreme('Max');
export const Min = extreme('Min');
