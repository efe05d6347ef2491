// Combinators that turn one formula on scalars into the definition of an operator: type checks, broadcasting, symbolic
// contents. Families such as math.ts and activations.ts are lists of formulas.

import { allDTypes, Dim, type DType, dimsEqual, type Expr, shapeText } from '@onnx-ts/tensor-ir';
import { tensorType, typeText } from '../graph/types.ts';
import {
  type AttributeSpecs,
  type AttributesOf,
  defineOperator,
  type InferContext,
  int,
  type LowerContext,
  type NodeContext,
  type OperatorDefinition,
} from './define.ts';
import { mapContents } from './symbolic.ts';

export const floats = ['float16', 'bfloat16', 'float32', 'float64'] as const satisfies readonly DType[];
export const float8s = [
  'float8e4m3fn',
  'float8e4m3fnuz',
  'float8e5m2',
  'float8e5m2fnuz',
] as const satisfies readonly DType[];
export const signedIntegers = ['int8', 'int16', 'int32', 'int64'] as const satisfies readonly DType[];
export const integers = [...signedIntegers, 'uint8', 'uint16', 'uint32', 'uint64'] as const satisfies readonly DType[];
export const numbers = [...floats, ...integers] as const satisfies readonly DType[];
export const anything: readonly DType[] = allDTypes;

/**
 * Element type of an input.
 * @throws OnnxTsError when it is none of `allowed`
 */
export function requireDType(ctx: NodeContext, index: number, allowed: readonly DType[]): DType {
  const dtype = ctx.dtype(index);
  if (allowed.includes(dtype)) return dtype;
  return ctx.fail(`input ${index} is ${dtype}, but this operator takes ${allowed.join(', ')}.`, 'Insert a Cast.');
}

/** The element type that several inputs must share. */
export function requireSameDType(
  ctx: NodeContext,
  indices: readonly number[],
  allowed: readonly DType[] = anything,
): DType {
  const dtype = requireDType(ctx, indices[0], allowed);
  for (const index of indices) {
    const other = ctx.dtype(index);
    if (other === dtype) continue;
    ctx.fail(`inputs ${indices[0]} and ${index} must have the same type, not ${dtype} and ${other}.`, 'Insert a Cast.');
  }
  return dtype;
}

/** Type of a tensor with the shape of an input, which need not be known. */
export function likeInput(ctx: NodeContext, index: number, dtype: DType = ctx.dtype(index)) {
  const type = ctx.type(index);
  if (type.kind !== 'tensor') return ctx.fail(`input ${index} must be a tensor, not a ${typeText(type)}.`);
  return tensorType(dtype, type.shape);
}

interface PointwiseOptions<S> {
  readonly domain?: string;
  readonly since: number;
  readonly attributes?: S;
  /** Element types that the operands may have, all the same; absent means the float types. */
  readonly dtypes?: readonly DType[];
  /** Element type of the result; absent means that of the operands. */
  readonly result?: DType;
  /** The texts that an attribute may be. */
  readonly choices?: Readonly<Record<string, readonly string[]>>;
}

function requireChoices(ctx: NodeContext, choices: PointwiseOptions<unknown>['choices'] = {}): void {
  for (const [name, allowed] of Object.entries(choices)) {
    const given = (ctx.attributes as Readonly<Record<string, string>>)[name];
    if (!allowed.includes(given)) ctx.fail(`${name} "${given}" is not one of ${allowed.join(', ')}.`);
  }
}

interface UnaryOptions<S> extends PointwiseOptions<S> {
  /** The formula on symbolic integers. */
  readonly symbolic?: (x: Dim) => Dim | undefined;
}

interface PairOptions<S> extends PointwiseOptions<S> {
  /** The formula on symbolic integers. `dtype` is that of the operands. */
  readonly symbolic?: (a: Dim, b: Dim, attributes: AttributesOf<S>, dtype: DType) => Dim | undefined;
}

type NoAttributes = Record<never, never>;

/** y = formula(x) for every element. */
export function pointwise<const S extends AttributeSpecs = NoAttributes>(
  name: string,
  options: UnaryOptions<S>,
  formula: (x: Expr, attributes: AttributesOf<S>) => Expr,
): OperatorDefinition {
  const { domain, since, attributes, dtypes = floats, result, choices, symbolic } = options;
  return defineOperator<S>({
    name,
    since,
    ...(domain && { domain }),
    ...(attributes && { attributes }),
    infer(ctx) {
      const dtype = requireDType(ctx, 0, dtypes);
      requireChoices(ctx, choices);
      return [likeInput(ctx, 0, result ?? dtype)];
    },
    ...(symbolic && {
      contents: (ctx: NodeContext<S>) => mapContents(ctx, [0], result ?? ctx.dtype(0), symbolic),
    }),
    lower: (ctx) =>
      ctx.map(ctx.outputDType(0), ctx.outputShape(0), (index) => formula(ctx.at(0, index), ctx.attributes)),
  });
}

/** c = formula(a, b) for every element of the broadcast of two tensors. */
export function pair<const S extends AttributeSpecs = NoAttributes>(
  name: string,
  options: PairOptions<S>,
  formula: (a: Expr, b: Expr, attributes: AttributesOf<S>) => Expr,
): OperatorDefinition {
  const { domain, since, attributes, dtypes = numbers, result, choices, symbolic } = options;
  return defineOperator<S>({
    name,
    since,
    ...(domain && { domain }),
    ...(attributes && { attributes }),
    infer(ctx) {
      const dtype = requireSameDType(ctx, [0, 1], dtypes);
      requireChoices(ctx, choices);
      return [tensorType(result ?? dtype, ctx.broadcast(ctx.shape(0), ctx.shape(1)))];
    },
    ...(symbolic && {
      contents(ctx: NodeContext<S>) {
        const dtype = ctx.dtype(0);
        return mapContents(ctx, [0, 1], result ?? dtype, (a, b) => symbolic(a, b, ctx.attributes, dtype));
      },
    }),
    lower: (ctx) => broadcastMap(ctx, ([a, b]) => formula(a, b, ctx.attributes)),
  });
}

/**
 * Both forms of the oldest binary operators: up to opset 6 with attributes that say how the second operand is broadcast,
 * from opset 7 on with NumPy's broadcasting.
 */
export function pairSinceOpset1(
  name: string,
  options: Omit<PairOptions<NoAttributes>, 'since'>,
  formula: (a: Expr, b: Expr) => Expr,
): readonly OperatorDefinition[] {
  return [legacyPair(name, options, formula), pair(name, { ...options, since: 7 }, formula)];
}

/**
 * Opsets 1 to 6: the shapes are equal, or with `broadcast=1` the second operand is stretched along the first, lined up
 * with its axes from `axis` on (absent: with its last ones).
 */
function legacyPair(
  name: string,
  options: Omit<PairOptions<NoAttributes>, 'since'>,
  formula: (a: Expr, b: Expr) => Expr,
): OperatorDefinition {
  const { dtypes = numbers, result } = options;
  return defineOperator({
    name,
    since: 1,
    attributes: { axis: int(), broadcast: int(0) },
    infer(ctx) {
      const dtype = requireSameDType(ctx, [0, 1], dtypes);
      const [left, right] = [ctx.shape(0), ctx.shape(1)];
      if (ctx.attributes.broadcast === 0 && bothKnown(left, right) && !dimsEqual(left, right)) {
        ctx.fail(`shapes ${shapeText(left)} and ${shapeText(right)} differ.`, 'Set the attribute broadcast to 1.');
      }
      const aligned = alignedShape(ctx, left, right, ctx.attributes.axis);
      requireStretchable(ctx, aligned, left);
      return [tensorType(result ?? dtype, left)];
    },
    lower(ctx) {
      const shape = ctx.outputShape(0);
      const right = alignedShape(ctx, ctx.shape(0), ctx.shape(1), ctx.attributes.axis);
      const b = right === ctx.shape(1) ? ctx.input(1) : ctx.view(ctx.input(1), right);
      return ctx.map(ctx.outputDType(0), shape, (index) => formula(ctx.at(0, index), ctx.broadcastAt(b, index, shape)));
    },
  });
}

/** Checks unidirectional broadcasting: the shape can be stretched to the target. */
export function requireStretchable(ctx: InferContext, shape: readonly Dim[], target: readonly Dim[]): void {
  const joint = ctx.broadcast(shape, target);
  if (joint.length === target.length && (!bothKnown(joint, target) || dimsEqual(joint, target))) return;
  ctx.fail(`shape ${shapeText(shape)} cannot be stretched to ${shapeText(target)}.`);
}

function bothKnown(a: readonly Dim[], b: readonly Dim[]): boolean {
  return [...a, ...b].every((size) => size.constant !== undefined);
}

/** The second operand's shape with sizes of 1 appended, so that its last axis lines up with the last of the first. */
function alignedShape(
  ctx: NodeContext,
  left: readonly Dim[],
  right: readonly Dim[],
  axis: number | undefined,
): readonly Dim[] {
  const first = axis === undefined ? left.length - right.length : ctx.axis(axis, left.length);
  const missing = left.length - first - right.length;
  if (first < 0 || missing < 0) {
    ctx.fail(`shape ${shapeText(right)} does not fit ${shapeText(left)} from axis ${axis ?? first} on.`);
  }
  return missing === 0 ? right : [...right, ...Array<Dim>(missing).fill(Dim.constant(1))];
}

interface VariadicOptions {
  readonly since: number;
  readonly dtypes: readonly DType[];
  readonly symbolic?: (a: Dim, b: Dim) => Dim;
}

/** y = formula of the broadcast elements of one or more tensors. */
export function variadic(
  name: string,
  options: VariadicOptions,
  formula: (operands: readonly Expr[]) => Expr,
): OperatorDefinition {
  const { since, dtypes, symbolic } = options;
  return defineOperator({
    name,
    since,
    infer(ctx) {
      const operands = allInputs(ctx);
      if (operands.length === 0) ctx.fail('at least one input is needed.');
      const dtype = requireSameDType(ctx, operands, dtypes);
      return [tensorType(dtype, ctx.broadcast(...operands.map((index) => ctx.shape(index))))];
    },
    ...(symbolic && {
      contents: (ctx: NodeContext) =>
        mapContents(ctx, allInputs(ctx), ctx.dtype(0), (...values) => values.reduce(symbolic)),
    }),
    lower: (ctx) => broadcastMap(ctx, formula),
  });
}

function allInputs(ctx: NodeContext): number[] {
  return Array.from({ length: ctx.inputCount }, (_, index) => index);
}

/** One map over output 0; the formula receives the broadcast element of every input. */
export function broadcastMap(ctx: LowerContext, formula: (operands: readonly Expr[]) => Expr) {
  const shape = ctx.outputShape(0);
  return ctx.map(ctx.outputDType(0), shape, (index) =>
    formula(allInputs(ctx).map((input) => ctx.broadcastAt(input, index, shape))),
  );
}
