// Kernels that only move elements: small floats and bools are moved as the bits they are, instead of being converted.

import {
  bitsOf,
  constant,
  type DType,
  type Expr,
  encodeFloat,
  isSmallFloat,
  newTensorRef,
  type Stage,
  type TensorRef,
} from '@onnx-ts/tensor-ir';

export interface RawCopy {
  readonly stage: Stage;
  /** The output, as integers. */
  readonly tensor: TensorRef;
  /** Tensors seen as integers → the tensors themselves. */
  readonly aliases: ReadonlyMap<TensorRef, TensorRef>;
}

/** The stage in terms of integers of the same width; undefined when it computes with the values or gains nothing. */
export function asRawCopy(stage: Stage, tensor: TensorRef): RawCopy | undefined {
  const { dtype } = stage;
  if (bitsOf(dtype) < 8 || !(isSmallFloat(dtype) || dtype === 'bool')) return undefined;
  const raw: DType = bitsOf(dtype) === 16 ? 'uint16' : 'uint8';
  const aliases = new Map<TensorRef, TensorRef>();
  const byTensor = new Map<TensorRef, TensorRef>();
  const aliasOf = (original: TensorRef): TensorRef => {
    let alias = byTensor.get(original);
    if (!alias) {
      // A tensor of its own: a condition may read the same element as a number.
      const { name, shape, order, room, isConstant } = original;
      alias = newTensorRef(name, raw, shape, { isConstant, ...(order && { order }), ...(room && { room }) });
      byTensor.set(original, alias);
      aliases.set(alias, original);
    }
    return alias;
  };
  const of = (e: Expr): Expr => {
    switch (e.kind) {
      case 'const':
        return constant(raw, dtype === 'bool' ? Number(e.value !== 0) : bitsOfConstant(dtype, Number(e.value)));
      case 'load':
        if (e.source.kind !== 'tensor') throw new NotRaw();
        return { ...e, type: raw, source: aliasOf(e.source), ...(e.fill && { fill: of(e.fill) }) };
      case 'select':
        return { ...e, type: raw, whenTrue: of(e.whenTrue), whenFalse: of(e.whenFalse) };
      default:
        throw new NotRaw();
    }
  };
  try {
    const moved = moveStage(stage, raw, of);
    return moved && { stage: moved, tensor: aliasOf(tensor), aliases };
  } catch (error) {
    if (error instanceof NotRaw) return undefined;
    throw error;
  }
}

/** The value is not just moved. */
class NotRaw extends Error {}

function bitsOfConstant(dtype: DType, value: number): number {
  if (!isSmallFloat(dtype)) throw new NotRaw();
  return encodeFloat(dtype, value);
}

function moveStage(stage: Stage, raw: DType, of: (e: Expr) => Expr): Stage | undefined {
  switch (stage.kind) {
    case 'map':
      return { ...stage, dtype: raw, body: of(stage.body) };
    case 'segments':
      return {
        ...stage,
        dtype: raw,
        segments: stage.segments.map((segment) => ({ ...segment, body: of(segment.body) })),
      };
    case 'scatter':
      return stage.combine === 'set'
        ? { ...stage, dtype: raw, initial: of(stage.initial), body: of(stage.body) }
        : undefined;
    default:
      return undefined;
  }
}
