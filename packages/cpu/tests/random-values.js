// Random tensors and random expressions over given axes.
import { add, allocateBuffer, and, binary, boundedIndex, cast, compare, constant, Dim, dimension, div, elementAt, encodeFloat, ge, isBigInteger, isFloat, isInteger, isSmallFloat, isUnsigned, lt, mod, mul, newTensorRef, select, sub, toIndex, unary, } from '@onnx-ts/tensor-ir';
const sizes = [1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 33, 70];
/** Makes the parts of one kernel and remembers its params, their data and the values of its symbols. */
export class ValueMaker {
    random;
    binding = new Map();
    inputs = new Map();
    /** Largest size of an axis. */
    limit = 70;
    /** Whether floats may be NaN or infinite, and often equal. */
    hasSpecials = false;
    /** Whether indices from data may be out of range. */
    allowErrors = true;
    /** Whether sizes may be 0. */
    allowEmpty = true;
    constructor(random) {
        this.random = random;
    }
    get params() {
        return [...this.inputs.keys()];
    }
    valueOf(dim) {
        return dim.evaluate(this.binding);
    }
    size(limit = this.limit) {
        const { random } = this;
        const value = this.allowEmpty && random.chance(0.03) ? 0 : random.pick(sizes.filter((size) => size <= limit));
        return random.chance(0.4) ? this.symbol(value) : Dim.constant(value);
    }
    symbol(value) {
        const name = `N${this.binding.size}`;
        this.binding.set(name, value);
        return Dim.symbol(name);
    }
    shape(rank, limit) {
        return Array.from({ length: rank }, () => this.size(limit));
    }
    order(rank) {
        if (rank < 2 || this.random.chance(0.6))
            return {};
        return { order: this.random.shuffled(Array.from({ length: rank }, (_, at) => at)) };
    }
    tensor(dtype, shape, values) {
        const tensor = newTensorRef(`t${this.inputs.size}`, dtype, shape, this.order(shape.length));
        const buffer = allocateBuffer(dtype, shape.map((dim) => this.valueOf(dim)));
        const { data } = buffer;
        for (let i = 0; i < data.length; i++)
            data[i] = this.#element(dtype, values);
        this.inputs.set(tensor, buffer);
        return tensor;
    }
    #element(dtype, values) {
        const { random } = this;
        if (values)
            return isBigInteger(dtype) ? BigInt(values()) : values();
        if (isSmallFloat(dtype))
            return encodeFloat(dtype, this.#float());
        if (isFloat(dtype))
            return this.#float();
        if (dtype === 'bool')
            return random.int(2);
        if (random.chance(0.7)) {
            const small = random.int(9) - (isUnsigned(dtype) ? 0 : 4);
            return isBigInteger(dtype) ? BigInt(small) : small;
        }
        if (isBigInteger(dtype))
            return (BigInt(random.int(2 ** 31)) << 33n) + BigInt(random.int(2 ** 31));
        return random.int(2 ** 32);
    }
    #float() {
        if (this.hasSpecials)
            return this.random.pick([0, -0, 1, 1, -1, 0.5, Infinity, -Infinity, this.random.chance(0.3) ? NaN : 2]);
        return Math.fround(this.random.next() * 4 - 2);
    }
    /** An element of a new tensor of `dtype` at a place that depends on the axes. */
    access(dtype, axes) {
        const { random } = this;
        if (random.chance(0.1)) {
            const reshaped = this.#reshaped(dtype, axes);
            if (reshaped)
                return reshaped;
        }
        const chosen = axes.filter(() => random.chance(0.8));
        const order = random.chance(0.3) ? random.shuffled(chosen) : chosen;
        const shape = [];
        const index = [];
        let guard;
        for (const axis of order) {
            const dim = this.#dimension(axis);
            shape.push(dim.size);
            index.push(dim.index);
            if (dim.guard)
                guard = guard ? and(guard, dim.guard) : dim.guard;
        }
        if (random.chance(0.1)) {
            const at = random.int(index.length + 1);
            const size = 1 + random.int(3);
            shape.splice(at, 0, Dim.constant(size));
            index.splice(at, 0, dimension(random.int(size)));
        }
        const tensor = this.tensor(dtype, shape);
        const otherwise = isInteger(dtype) || dtype === 'bool' ? 1 : 0.5;
        return elementAt(tensor, index, guard && { when: guard, otherwise: constant(dtype, otherwise) });
    }
    #dimension(axis) {
        const { random } = this;
        const i = toIndex(axis);
        const value = this.valueOf(axis.size);
        switch (random.int(14)) {
            case 0:
                return { size: axis.size, index: sub(dimension(axis.size.sub(1)), i) };
            case 1: {
                const offset = random.int(3);
                return { size: axis.size.add(offset + random.int(3)), index: add(i, offset) };
            }
            case 2: {
                const offset = random.int(2);
                return { size: axis.size.mul(2).add(offset), index: add(mul(i, 2), offset) };
            }
            case 3: {
                const pad = random.int(4);
                const size = this.random.chance(0.5)
                    ? this.symbol(Math.max(0, value - random.int(5)))
                    : Dim.constant(Math.max(1, value - 2));
                const index = sub(i, pad);
                return { size, index, guard: and(ge(index, 0), lt(index, dimension(size))) };
            }
            case 4:
                return { size: axis.size.add(1).floorDiv(2), index: div(i, 2) };
            case 5:
                return { size: Dim.constant(3), index: mod(i, 3) };
            case 6: {
                const size = Dim.constant(1 + random.int(6));
                const count = Number(size.constant);
                const type = random.pick(['int32', 'int64']);
                const far = this.allowErrors && random.chance(0.05) ? 3 : 0;
                const places = this.tensor(type, [axis.size], () => random.int(2 * count + far) - count);
                return { size, index: boundedIndex(cast('index', elementAt(places, [i])), size) };
            }
            default:
                return { size: axis.size, index: i };
        }
    }
    /** The elements of all axes, seen through another shape. */
    #reshaped(dtype, axes) {
        const total = axes.reduce((count, axis) => count.mul(axis.size), Dim.constant(1)).constant;
        if (total === undefined || total < 2)
            return undefined;
        let flat = dimension(0);
        for (const axis of axes)
            flat = add(mul(flat, dimension(axis.size)), toIndex(axis));
        const shape = [];
        let rest = total;
        for (const factor of [2, 3, 5, 7, 4, 8]) {
            if (rest % factor === 0 && this.random.chance(0.5)) {
                shape.push(factor);
                rest /= factor;
            }
        }
        const dims = this.random.shuffled([...shape, rest]);
        const index = [];
        let inner = 1;
        for (const size of [...dims].reverse()) {
            index.unshift(mod(div(flat, inner), size));
            inner *= size;
        }
        const order = this.random.shuffled(dims.map((_, at) => at));
        const tensor = this.tensor(dtype, order.map((at) => Dim.constant(dims[at])));
        return elementAt(tensor, order.map((at) => index[at]));
    }
    /** A random value of `dtype` at each point of the axes. `leaf` may supply some of the elements. */
    expression(dtype, axes, depth, leaf) {
        const { random } = this;
        const of = (type) => this.expression(type, axes, depth - 1, leaf);
        if (depth <= 0)
            return this.#leaf(dtype, axes, leaf);
        switch (random.int(9)) {
            case 0: {
                const type = random.pick(['float32', 'int32', 'int64', dtype]);
                return select(this.#condition(type, of), of(dtype), of(dtype));
            }
            case 1:
                return this.#converted(dtype, axes, of);
            case 2:
                return unary(random.pick(unaryOps(dtype)), of(dtype));
            case 3:
                return binary(random.pick(binaryOps(dtype)), of(dtype), this.#literal(dtype));
            case 4:
                return this.#leaf(dtype, axes, leaf);
            default:
                return binary(random.pick(binaryOps(dtype)), of(dtype), of(dtype));
        }
    }
    #leaf(dtype, axes, leaf) {
        const given = this.random.chance(0.6) ? leaf?.(dtype) : undefined;
        return (given ?? (this.random.chance(0.1) ? constant(dtype, this.#literal(dtype)) : this.access(dtype, axes)));
    }
    #literal(dtype) {
        if (dtype === 'bool')
            return this.random.chance(0.5);
        if (isFloat(dtype))
            return this.random.pick([0.5, 1, -0.25, 2]);
        const value = 1 + this.random.int(5);
        return isBigInteger(dtype) ? BigInt(value) : value;
    }
    #condition(type, of) {
        // Floats come from inputs alone, so that rounding cannot turn a comparison around.
        const op = this.random.pick(['lt', 'le', 'gt', 'ge', 'eq', 'ne']);
        if (isFloat(type))
            return compare('lt', this.access('float32', []), 0.25);
        if (type === 'bool')
            return of('bool');
        return compare(op, of(type), of(type));
    }
    #converted(dtype, axes, of) {
        const { random } = this;
        if (isFloat(dtype)) {
            if (random.chance(0.4) && axes.length > 0)
                return cast(dtype, mul(toIndex(random.pick(axes)), 2));
            return cast(dtype, of(random.pick(['int8', 'uint8', 'bool'])));
        }
        if (random.chance(0.3) && axes.length > 0)
            return cast(dtype, add(toIndex(random.pick(axes)), 1));
        return cast(dtype, of(random.pick(['int32', 'int64', 'uint8', 'int16', 'bool'])));
    }
}
function unaryOps(dtype) {
    if (dtype === 'bool')
        return ['not'];
    if (isFloat(dtype))
        return ['neg', 'abs', 'tanh', 'sigmoid', 'sin'];
    return isUnsigned(dtype) ? ['not', 'abs'] : ['neg', 'abs', 'not', 'sign'];
}
function binaryOps(dtype) {
    if (dtype === 'bool')
        return ['and', 'or', 'xor'];
    if (isFloat(dtype))
        return ['add', 'sub', 'mul', 'min', 'max'];
    return ['add', 'sub', 'mul', 'min', 'max', 'and', 'or', 'xor', 'div', 'rem', 'mod'];
}
//# sourceMappingURL=random-values.js.map