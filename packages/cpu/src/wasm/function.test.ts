import { expect, test } from 'vitest';
import { FunctionBuilder } from './function.ts';
import { ModuleBuilder } from './module.ts';
import { functionType, type ValueType } from './types.ts';

type Callable = (...values: (number | bigint)[]) => number;

/** Compiles a function whose body `write` appends. */
function compile(
  params: Record<string, ValueType>,
  results: readonly ValueType[],
  write: (f: FunctionBuilder) => void,
): Callable {
  const f = new FunctionBuilder('test', params, results);
  write(f);
  const module = new ModuleBuilder();
  module.export('test', module.define(f));
  return new WebAssembly.Instance(new WebAssembly.Module(module.toBytes())).exports.test as Callable;
}

/** The message of the error that writing a body throws. */
function mistake(write: (f: FunctionBuilder) => void, results: readonly ValueType[] = []): string {
  const f = new FunctionBuilder('wrong', { x: 'i32', y: 'f32' }, results);
  try {
    write(f);
    f.finish();
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
}

test('blocks, loops and branches: a sum with a condition to leave', () => {
  const sum = compile({ n: 'i32' }, ['i32'], (f) => {
    const [n] = f.params;
    const total = f.local('i32', 'total');
    f.block((exit) => {
      f.loop((again) => {
        f.get(n);
        f.op('i32.eqz');
        f.brIf(exit);
        f.get(total);
        f.get(n);
        f.op('i32.add');
        f.set(total);
        f.get(n);
        f.i32Const(1);
        f.op('i32.sub');
        f.set(n);
        f.br(again);
      });
    });
    f.get(total);
  });
  expect(sum(100)).toBe(5050);
});

test('if with a result, without else, and nested branches out of both arms', () => {
  const pick = compile({ x: 'i32' }, ['i32'], (f) => {
    const [x] = f.params;
    f.block((exit) => {
      f.get(x);
      f.if(
        'i32',
        () => f.i32Const(10),
        () => {
          f.i32Const(20);
          f.br(exit);
        },
      );
      f.get(x);
      f.i32Const(5);
      f.op('i32.eq');
      f.if(() => {
        f.i32Const(50);
        f.return();
      });
    }, 'i32');
  });
  expect([pick(0), pick(1), pick(5)]).toEqual([20, 10, 50]);
});

test('br_table chooses a block by index', () => {
  const choose = compile({ index: 'i32' }, ['i32'], (f) => {
    f.block((two) => {
      f.block((one) => {
        f.block((zero) => {
          f.get(f.params[0]);
          f.brTable([zero, one], two);
        });
        f.i32Const(100);
        f.return();
      });
      f.i32Const(101);
      f.return();
    });
    f.i32Const(102);
  });
  expect([0, 1, 2, -1].map((value) => choose(value))).toEqual([100, 101, 102, 102]);
});

test('forRange counts up, runs zero times when empty, and can be left', () => {
  const sum = compile({ begin: 'i32', end: 'i32' }, ['i32'], (f) => {
    const [begin, end] = f.params;
    const total = f.local('i32');
    f.forRange({ begin, end, step: 3 }, (counter, exit) => {
      f.get(counter);
      f.i32Const(100);
      f.op('i32.gt_s');
      f.brIf(exit);
      f.get(total);
      f.get(counter);
      f.op('i32.add');
      f.set(total);
    });
    f.get(total);
  });
  expect(sum(0, 10)).toBe(0 + 3 + 6 + 9);
  expect(sum(5, 5)).toBe(0);
  expect(sum(-4, 0)).toBe(-4 - 1);
  expect(sum(98, 1000)).toBe(98);
});

test('an unsigned forRange passes 2 GiB', () => {
  const count = compile({}, ['i32'], (f) => {
    const steps = f.local('i32');
    f.forRange({ begin: 0x7fff_fff0, end: 0x8000_0010, step: 16, unsigned: true, atLeastOnce: true }, () => {
      f.get(steps);
      f.i32Const(1);
      f.op('i32.add');
      f.set(steps);
    });
    f.get(steps);
  });
  expect(count()).toBe(2);
});

test('select and drop take any type', () => {
  const lesser = compile({ x: 'f64', y: 'f64' }, ['f64'], (f) => {
    const [x, y] = f.params;
    f.get(x);
    f.get(y);
    f.get(x);
    f.get(y);
    f.op('f64.lt');
    f.select();
    f.lanesConst('f32x4', [1, 2, 3, 4]);
    f.drop();
  });
  expect([lesser(1, 2), lesser(4, 3)]).toEqual([1, 3]);
});

test('shuffles and lane constants', () => {
  const lane = compile({}, ['i32'], (f) => {
    f.lanesConst('i16x8', [1, 2, 3, 4, 5, 6, 7, 8]);
    f.lanesConst('i16x8', -1);
    f.shuffle([16, 17, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    f.op('i16x8.bitmask');
    f.lanesConst('i64x2', [1n << 40n, 2]);
    f.lane('i32x4.extract_lane', 1);
    f.op('i32.add');
  });
  expect(lane()).toBe(1 + 256);
});

test('code after a branch may pop anything, and is valid', () => {
  const run = compile({}, ['i32'], (f) => {
    f.i32Const(3);
    f.return();
    f.op('i32.add');
    f.select();
    f.drop();
    f.unreachable();
  });
  expect(run()).toBe(3);
});

test('released locals are reused by type, scopes release theirs', () => {
  const f = new FunctionBuilder('test', { x: 'i32' });
  const first = f.local('i32');
  const other = f.local('f32');
  expect([first.index, other.index]).toEqual([1, 2]);
  f.release(first);
  expect(f.local('f32').index).toBe(3);
  expect(f.local('i32').index).toBe(1);
  const inner = f.scope(() => f.locals(2, 'v128').map(({ index }) => index));
  expect(inner).toEqual([4, 5]);
  expect(f.locals(3, 'v128').map(({ index }) => index)).toEqual([4, 5, 6]);
  expect(f.finish().locals.length).toBe(6);
});

test('a counter inside a scope is released once', () => {
  const f = new FunctionBuilder('test', {});
  f.scope(() => f.forRange({ begin: 0, end: 4 }, () => {}));
  const [one, two] = f.locals(2, 'i32');
  expect(one.index).not.toBe(two.index);
});

test('mistakes are reported where they are made', () => {
  const x = { index: 0, type: 'i32', name: 'x' } as const;
  expect(mistake((f) => f.op('i32.add'))).toBe('in wrong: i32.add needs i32 but the stack of this function is empty');
  expect(
    mistake((f) => {
      f.get(f.params[1]);
      f.get(x);
      f.op('f32.add');
    }),
  ).toBe('in wrong: f32.add needs f32 but finds i32');
  expect(mistake((f) => f.get(x))).toMatch('the function leaves 1 more values than it should: i32');
  expect(mistake(() => {}, ['i32'])).toMatch('the end of the function needs i32');
  expect(
    mistake((f) => {
      f.get(x);
      f.if(
        'f32',
        () => f.f32Const(1),
        () => f.get(x),
      );
    }),
  ).toMatch('the end of the if needs f32 but finds i32');
  expect(
    mistake((f) => {
      let escaped: Parameters<Parameters<FunctionBuilder['block']>[0]>[0] | undefined;
      f.block((exit) => {
        escaped = exit;
      });
      f.br(escaped!);
    }),
  ).toMatch('br to a block that is not open here');
  expect(
    mistake((f) => {
      f.get(x);
      f.block(() => f.drop());
    }),
  ).toMatch('drop needs a value but the stack of this block is empty');
  expect(
    mistake((f) => {
      f.get(x);
      f.load('i32.load', 0, 8);
    }),
  ).toMatch('alignment 8');
  expect(
    mistake((f) => {
      f.lanesConst('f32x4', 0);
      f.lane('f32x4.extract_lane', 4);
    }),
  ).toMatch('no lane 4');
  expect(mistake((f) => f.lanesConst('f32x4', [1, 2]))).toMatch('4 lanes, not 2');
});

test('a finished builder takes no more', () => {
  const f = new FunctionBuilder('test', {});
  f.finish();
  expect(() => f.i32Const(1)).toThrow('after the end');
});

test('calls check the types of their targets', () => {
  const module = new ModuleBuilder();
  const target = module.importFunction('env', 'work', functionType(['f32'], ['i64']));
  const f = new FunctionBuilder('caller', {});
  expect(() => f.call(target)).toThrow('call of env.work needs f32');
});
