// Sequences, optionals and maps: fed to the model, made in it, changed, taken apart and given back.

import { type HostValue, Tensor } from '@onnx-ts/core';
import { codeOfDType } from '@onnx-ts/core/internal';
import type { MessageInput, TypeProto } from '@onnx-ts/onnx-proto';
import type { DType } from '@onnx-ts/tensor-ir';
import type { Family } from '../case.ts';
import type { CaseBuilder } from '../case-builder.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { drawShape } from '../random.ts';
import { encodeTensor, type ValueKind } from '../values.ts';
import { signedAxis } from './movement.ts';

const kinds: readonly ValueKind[] = ['small', 'unit', 'special'];

/** What sequences may hold. */
const elements: readonly DType[] = [
  ...(['float32', 'int64', 'int32', 'bool', 'float64', 'uint8', 'int8', 'float16', 'uint32', 'uint64'] as const),
  ...(['int16', 'uint16', 'string', 'complex64', 'complex128'] as const),
];

type Shape = readonly number[];

/** A sequence in a graph, with what is known of its items. */
interface List {
  readonly name: string;
  readonly dtype: DType;
  readonly items: readonly Shape[];
}

const tensorType = (dtype: DType): MessageInput<TypeProto> => ({ tensorType: { elemType: codeOfDType(dtype) } });
const sequenceType = (dtype: DType): MessageInput<TypeProto> => ({ sequenceType: { elemType: tensorType(dtype) } });

/** Shapes of items: all alike, alike along all axes but one, or of any ranks. */
function drawItems(b: CaseBuilder, least = 1): Shape[] {
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 3, budget: 30 });
  const style = b.draws.below(3);
  return Array.from({ length: b.draws.between(least, 4) }, () => {
    if (style === 0) return shape;
    if (style === 1) return shape.with(b.draws.below(shape.length), b.draws.between(0, 4));
    return drawShape(b.draws, { maxRank: 3, budget: 20 });
  });
}

function fed(b: CaseBuilder, dtype: DType, items: readonly Shape[]): List {
  const tensors = items.map((dims) => b.values(dtype, dims, kinds));
  const name = b.hostInput({ kind: 'sequence', items: tensors }, sequenceType(dtype));
  return { name, dtype, items };
}

function made(b: CaseBuilder, dtype: DType, items: readonly Shape[]): List {
  const name = b.op(
    'SequenceConstruct',
    items.map((dims) => b.random(dtype, dims, kinds)),
  );
  return { name, dtype, items };
}

/** An empty one, as an operator or as a feed. */
function empty(b: CaseBuilder, dtype: DType): List {
  if (b.draws.oneIn(3)) return fed(b, dtype, []);
  const isDefault = dtype === 'float32' && b.draws.coin();
  return { name: b.op('SequenceEmpty', [], isDefault ? {} : { dtype: codeOfDType(dtype) }), dtype, items: [] };
}

function position(b: CaseBuilder, low: number, high: number): string | undefined {
  return b.draws.maybe(() =>
    b.operand(
      encodeTensor(b.draws.pick(['int64', 'int32'] as const), b.draws.oneIn(4) ? [1] : [], [
        b.draws.between(low, high),
      ]),
    ),
  );
}

/** A position that the generator knows, and the operand for it; none means the end. */
function place(b: CaseBuilder, length: number, most: number): { readonly at: number; readonly operand?: string } {
  if (!b.draws.coin()) return { at: most };
  const given = b.draws.between(-length, most);
  const dtype = b.draws.pick(['int64', 'int32'] as const);
  return { at: given < 0 ? given + length : given, operand: b.operand(encodeTensor(dtype, [], [given])) };
}

function insert(b: CaseBuilder, list: List): List {
  const { at, operand } = place(b, list.items.length, list.items.length);
  const dims = b.draws.coin() && list.items.length > 0 ? list.items[0] : drawShape(b.draws, { maxRank: 3, budget: 20 });
  const name = b.op('SequenceInsert', [list.name, b.random(list.dtype, dims, kinds), operand]);
  return { ...list, name, items: list.items.toSpliced(at, 0, dims) };
}

function erase(b: CaseBuilder, list: List): List {
  if (list.items.length === 0) return insert(b, list);
  const { at, operand } = place(b, list.items.length, list.items.length - 1);
  const name = b.op('SequenceErase', [list.name, operand]);
  return { ...list, name, items: list.items.toSpliced(at, 1) };
}

function drawList(b: CaseBuilder, dtype: DType): List {
  const start = b.draws.below(4);
  let list =
    start === 0 ? made(b, dtype, drawItems(b)) : start === 1 ? fed(b, dtype, drawItems(b, 0)) : empty(b, dtype);
  if (start === 3) list = made(b, dtype, drawItems(b));
  for (let left = b.draws.below(5); left > 0; left--) list = b.draws.coin() ? insert(b, list) : erase(b, list);
  return list;
}

/** What becomes of a sequence. */
function finish(b: CaseBuilder, list: List): void {
  const { name, items } = list;
  if (b.draws.oneIn(3)) b.output(b.op('SequenceLength', [name]));
  const [first] = items;
  const isEven = first !== undefined && items.every((dims) => dims.join() === first.join());
  switch (b.draws.below(5)) {
    case 0:
      return b.output(b.opset >= 14 && b.draws.coin() ? b.op('Identity', [name]) : name);
    case 1: {
      if (items.length === 0) return b.output(name);
      const at = b.draws.between(-items.length, items.length - 1);
      const item = b.op('SequenceAt', [name, position(b, at, at) ?? b.scalar('int64', at)]);
      return b.output(b.draws.coin() ? b.op('Shape', [item]) : item);
    }
    case 2: {
      if (!isEven) return b.output(name);
      const axis = b.draws.below(first.length + 1);
      return b.output(b.op('ConcatFromSequence', [name], { axis: signedAxis(b, axis, first.length + 1), new_axis: 1 }));
    }
    case 3: {
      if (first === undefined || first.length === 0) return b.output(name);
      const axis = b.draws.below(first.length);
      const fits = items.every(
        (dims) => dims.length === first.length && dims.every((size, at) => at === axis || size === first[at]),
      );
      if (!fits) return b.output(name);
      const attributes = { axis: signedAxis(b, axis, first.length), new_axis: b.draws.maybe(() => 0) };
      return b.output(b.op('ConcatFromSequence', [name], attributes));
    }
    default: {
      // Each with the last: the sequence is walked twice.
      if (items.length === 0) return b.output(name);
      const last = b.op('SequenceAt', [name, b.scalar('int64', -1)]);
      b.output(last);
      return b.output(b.op('SequenceErase', [name]));
    }
  }
}

function sequenceEmpty(b: CaseBuilder): void {
  const list = empty(b, b.dtype(elements));
  finish(b, b.draws.coin() ? insert(b, list) : list);
}

function splitToSequence(b: CaseBuilder): void {
  const dtype = b.dtype();
  const shape = drawShape(b.draws, { minRank: 1, maxRank: 4, budget: 200 });
  const axis = b.draws.below(shape.length);
  const size = shape[axis];
  const style = b.draws.below(3);
  const piece = b.draws.between(1, size + 1);
  const sizes: number[] = [];
  for (let rest = size; rest > 0; rest -= sizes.at(-1)!) sizes.push(b.draws.between(sizes.length === 0 ? 0 : 1, rest));
  const indexType = b.dtype('I');
  const split =
    style === 0
      ? undefined
      : style === 1
        ? b.operand(encodeTensor(indexType, [], [piece]))
        : b.operand(encodeTensor(indexType, [sizes.length], sizes));
  const attributes = {
    axis: axis === 0 && b.draws.coin() ? undefined : signedAxis(b, axis, shape.length),
    keepdims: b.draws.maybe(() => b.draws.below(2)),
  };
  const name = b.op('SplitToSequence', [b.random(dtype, shape, kinds), split], attributes);
  const lengths =
    style === 0
      ? Array<number>(size).fill(1)
      : style === 1
        ? Array.from({ length: Math.ceil(size / piece) }, (_, at) => Math.min(piece, size - at * piece))
        : sizes;
  const dropsAxis = style === 0 && attributes.keepdims === 0;
  const items = lengths.map((length) => (dropsAxis ? shape.toSpliced(axis, 1) : shape.with(axis, length)));
  finish(b, { name, dtype, items });
}

/** A body that takes an item, or an item of each of two sequences, or an item and a tensor. */
function sequenceMap(b: CaseBuilder): void {
  const dtype = b.draws.pick(['float32', 'int64'] as const);
  const items = drawItems(b, b.draws.oneIn(8) ? 0 : 1);
  const list = items.length > 0 && b.draws.coin() ? made(b, dtype, items) : fed(b, dtype, items);
  const style = b.draws.below(3);
  const captured = b.random(dtype, [], ['small']);
  const body = b.graph.subgraph();
  const item = body.input(dtype, undefined);
  const inputs = [list.name];
  let result = body.op(b.draws.pick(['Neg', 'Abs', 'Identity']), [item]);
  if (style === 1) {
    const other = fed(b, dtype, items);
    inputs.push(other.name);
    result = body.op('Add', [result, body.input(dtype, undefined)]);
  } else if (style === 2) {
    inputs.push(b.random(dtype, [], ['small']));
    result = body.op('Mul', [result, body.input(dtype, undefined)]);
  } else {
    result = body.op('Sub', [result, captured]);
  }
  body.output(result, dtype);
  const extra = b.draws.coin();
  if (extra) body.output(body.op('Shape', [item]), 'int64');
  const [first, shapes] = b.ops('SequenceMap', inputs, { body: { graph: body.message() } }, { outputs: extra ? 2 : 1 });
  if (extra) b.output(b.op('SequenceLength', [shapes]));
  finish(b, { name: first, dtype, items });
}

/** A loop that carries a sequence, and an If between sequences. */
function carried(b: CaseBuilder): void {
  if (b.opset < 11) return b.output(b.op('Neg', [b.random('float32', [2])]));
  if (b.opset < 16) return finish(b, drawList(b, 'int64'));
  const dtype = b.draws.pick(['float32', 'int64', 'string'] as const);
  const list = drawList(b, dtype);
  const shape = drawShape(b.draws, { maxRank: 2, budget: 10 });
  const item = b.random(dtype, shape, kinds);
  const trips = b.draws.between(0, 4);
  const body = b.graph.subgraph();
  body.input('int64', []);
  const going = body.input('bool', []);
  const state = body.typedInput(sequenceType(dtype));
  const grown = body.op('SequenceInsert', [state, item]);
  body.output(body.op('Identity', [going]), 'bool');
  typedOutput(body, grown, sequenceType(dtype));
  const name = b.op('Loop', [b.scalar('int64', trips), undefined, list.name], { body: { graph: body.message() } });
  const grownList: List = { ...list, name, items: [...list.items, ...Array<Shape>(trips).fill(shape)] };
  if (b.draws.coin()) return finish(b, grownList);
  const bodies = [grownList, list].map((side) => {
    const branch = b.graph.subgraph();
    const isLonger = b.draws.coin();
    const value = isLonger ? branch.op('SequenceInsert', [side.name, item]) : branch.op('Identity', [side.name]);
    typedOutput(branch, value, sequenceType(dtype));
    return { graph: branch.message(), items: isLonger ? [...side.items, shape] : side.items };
  });
  const takesFirst = b.draws.below(2);
  const condition = b.operand(encodeTensor('bool', [], [takesFirst]));
  const chosen = b.op('If', [condition], {
    then_branch: { graph: bodies[0].graph },
    else_branch: { graph: bodies[1].graph },
  });
  finish(b, { name: chosen, dtype, items: bodies[takesFirst ? 0 : 1].items });
}

function typedOutput(graph: GraphBuilder, name: string, type: MessageInput<TypeProto>): void {
  graph.outputs.push({ name, type });
}

/** Optionals of tensors and sequences, full and empty; since 18 other values stand for themselves. */
function optional(b: CaseBuilder): void {
  const dtype = b.dtype(b.opset >= 28 ? [...elements, 'bfloat16', 'float8e4m3fn', 'int4', 'uint2'] : elements);
  const isSequence = b.draws.coin();
  const type = isSequence ? sequenceType(dtype) : tensorType(dtype);
  const shape = drawShape(b.draws, { maxRank: 3, budget: 20 });
  const isEmpty = b.draws.oneIn(3);
  const isFed = b.draws.coin();
  const tensor = b.values(dtype, shape, kinds);
  const content: HostValue = isSequence ? { kind: 'sequence', items: [tensor, tensor] } : tensor;
  const direct = (): string => (Tensor.is(content) ? b.operand(content) : b.hostInput(content, type));
  let name: string;
  if (isFed) {
    name = b.hostInput(
      { kind: 'optional', value: isEmpty ? undefined : content },
      { optionalType: { elemType: type } },
    );
  } else if (isEmpty) {
    name = b.op('Optional', [], { type: { type } });
  } else {
    name = b.opset >= 18 && b.draws.oneIn(3) ? direct() : b.op('Optional', [direct()]);
  }
  b.output(b.op('OptionalHasElement', [b.opset >= 16 && b.draws.coin() ? b.op('Identity', [name]) : name]));
  if (!isEmpty) {
    const inside = b.op('OptionalGetElement', [name]);
    b.output(isSequence && b.draws.coin() ? b.op('SequenceAt', [inside, b.scalar('int64', 1)]) : inside);
  } else if (b.opset >= 18 && b.draws.coin()) {
    b.output(b.op('OptionalHasElement', [undefined]));
  }
}

/** Taken out only where there is something inside. */
function guarded(b: CaseBuilder): void {
  if (b.opset < 18) return optional(b);
  const dims = drawShape(b.draws, { maxRank: 3, budget: 20 });
  const value = b.values('float32', dims);
  const isEmpty = b.draws.coin();
  const elemType = tensorType('float32');
  const name = b.hostInput({ kind: 'optional', value: isEmpty ? undefined : value }, { optionalType: { elemType } });
  const other = b.random('float32', dims);
  const full = b.graph.subgraph();
  full.output(full.op('Neg', [full.op('OptionalGetElement', [name])]), 'float32');
  const none = b.graph.subgraph();
  none.output(none.op('Identity', [other]), 'float32');
  const attributes = { then_branch: { graph: full.message() }, else_branch: { graph: none.message() } };
  b.output(b.op('If', [b.op('OptionalHasElement', [name])], attributes));
}

const ml = 'ai.onnx.ml';

function zipMap(b: CaseBuilder): void {
  const classes = b.draws.between(1, 4);
  const shape = b.draws.coin() ? [classes] : [b.draws.between(1, 4), classes];
  const keys = b.draws.coin()
    ? { classlabels_strings: Array.from({ length: classes }, (_, at) => `class ${at}`) }
    : { classlabels_int64s: Array.from({ length: classes }, (_, at) => 3 - at) };
  b.output(b.op('ZipMap', [b.random('float32', shape, kinds)], keys, ml));
}

const words = ['cat', 'dog', 'owl', 'bee', ''];

/** A map with some of the keys of a vocabulary, and now and then one that is not in it. */
function dictVectorizer(b: CaseBuilder): void {
  const isText = b.draws.coin();
  const value = b.draws.pick(['float32', 'int64', 'float64', 'string'] as const);
  // A map from numbers to numbers of the same type, or from text to text, is none of the allowed ones.
  const itemType: DType = isText ? (value === 'string' ? 'int64' : value) : value === 'int64' ? 'float32' : value;
  const keys = isText ? words : [7, 1, 2, -3, 0].map(BigInt);
  const generator = b.draws.generator();
  const picked = [...keys].filter(() => generator.below(2) === 1);
  const entry = (): number | bigint | string => {
    if (itemType === 'string') return generator.pick(words);
    return itemType === 'int64' ? BigInt(generator.between(-5, 5)) : generator.between(-8, 8) / 4;
  };
  const entries = new Map([...picked].map((key) => [key, entry()] as const));
  const type = {
    mapType: { keyType: codeOfDType(isText ? 'string' : 'int64'), valueType: tensorType(itemType) },
  };
  const attributes = isText ? { string_vocabulary: words } : { int64_vocabulary: [7, 1, 2, -3, 0] };
  b.output(b.op('DictVectorizer', [b.hostInput({ kind: 'map', entries }, type)], attributes, ml));
}

function castMap(b: CaseBuilder): void {
  const itemType = b.draws.pick(['float32', 'string'] as const);
  const generator = b.draws.generator();
  const picked = [0, 1, 2, 5, 9].filter(() => generator.below(2) === 1);
  const numbers = ['1', '-2.5', '0', '1e3'];
  const entries = new Map(
    picked.map((key) => [BigInt(key), itemType === 'string' ? generator.pick(numbers) : generator.between(-8, 8) / 4]),
  );
  const type = { mapType: { keyType: codeOfDType('int64'), valueType: tensorType(itemType) } };
  const isSparse = b.draws.coin();
  const attributes = {
    cast_to: b.draws.pick(itemType === 'string' ? ['TO_FLOAT', 'TO_STRING'] : [undefined, 'TO_FLOAT', 'TO_INT64']),
    map_form: isSparse ? 'SPARSE' : b.draws.pick([undefined, 'DENSE']),
    max_map: isSparse ? b.draws.between(10, 12) : undefined,
  };
  b.output(b.op('CastMap', [b.hostInput({ kind: 'map', entries }, type)], attributes, ml));
}

export const containers: Family = {
  name: 'containers',
  cases: {
    SequenceConstruct: (b) => finish(b, made(b, b.dtype(), drawItems(b))),
    SequenceInsert: (b) => finish(b, insert(b, drawList(b, b.dtype()))),
    SequenceErase: (b) => finish(b, erase(b, drawList(b, b.draws.pick(['float32', 'string', 'int64'] as const)))),
    SequenceAt: (b) => finish(b, fed(b, b.draws.pick(['float32', 'bool', 'string'] as const), drawItems(b))),
    SequenceLength: (b) => b.output(b.op('SequenceLength', [drawList(b, 'float32').name])),
    ConcatFromSequence: (b) => finish(b, drawList(b, b.dtype(elements))),
    SequenceEmpty: sequenceEmpty,
    SplitToSequence: splitToSequence,
    SequenceMap: sequenceMap,
    'Loop#sequence': carried,
    Optional: optional,
    OptionalGetElement: optional,
    OptionalHasElement: guarded,
    [`${ml}:ZipMap`]: zipMap,
    [`${ml}:DictVectorizer`]: dictVectorizer,
    [`${ml}:CastMap`]: castMap,
  },
};
