import type { HelperDefinition } from './context.ts';
import type { MathOp } from './math-f32.ts';
const stub = (name: string): HelperDefinition => ({ name, params: { x: 'f64' }, result: 'f64', body: (c, [x]) => c.f.get(x) });
export const mathF64 = Object.fromEntries(['exp','expm1','sigmoid','tanh','erf','sinh','cosh','log','log1p','asinh','acosh','atanh','sin','cos','tan','asin','acos','atan'].map((n) => [n, stub(n)])) as unknown as Record<MathOp, HelperDefinition>;
export const powF64: HelperDefinition = { name: 'pow', params: { x: 'f64', y: 'f64' }, result: 'f64', body: (c, [x]) => c.f.get(x) };
