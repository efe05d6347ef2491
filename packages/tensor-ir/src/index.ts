export * from './dim.ts';
export * from './dtype.ts';
export * from './expr.ts';
export * from './kernel.ts';
export * from './stage.ts';
export * from './tensor-ref.ts';
