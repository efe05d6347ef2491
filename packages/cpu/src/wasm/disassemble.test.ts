import { expect, test } from 'vitest';
import { disassemble } from './disassemble.ts';
import { FunctionBuilder } from './function.ts';
import { ModuleBuilder } from './module.ts';
import { functionType } from './types.ts';

test('a loop over vectors', () => {
  const f = new FunctionBuilder('scale', { pointer: 'i32', count: 'i32' });
  const [pointer, count] = f.params;
  const end = f.local('i32', 'end');
  f.get(pointer);
  f.get(count);
  f.op('i32.add');
  f.set(end);
  f.forRange({ begin: pointer, end, step: 16, unsigned: true }, (at) => {
    f.get(at);
    f.get(at);
    f.load('v128.load', 32, 4);
    f.f32Const(0.5);
    f.op('f32x4.splat');
    f.op('f32x4.mul');
    f.store('v128.store');
  });
  expect(disassemble(f)).toMatchInlineSnapshot(`
    "(func $scale (param $pointer i32) (param $count i32)
      (local $end i32) (local $3 i32)
      local.get $pointer
      local.get $count
      i32.add
      local.set $end
      local.get $pointer
      local.set $3
      block $b0
        local.get $3
        local.get $end
        i32.ge_u
        br_if $b0
        loop $l1
          local.get $3
          local.get $3
          v128.load offset=32 align=4
          f32.const 0.5
          f32x4.splat
          f32x4.mul
          v128.store
          local.get $3
          i32.const 16
          i32.add
          local.tee $3
          local.get $end
          i32.lt_u
          br_if $l1
        end
      end
    )"
  `);
});

test('every form of immediates', () => {
  const module = new ModuleBuilder();
  const host = module.importFunction('env', 'host', functionType(['i32']));
  const level = module.global('level', 'i32', 0);
  const f = new FunctionBuilder('forms', { x: 'i32' }, ['i32']);
  const [x] = f.params;
  const [sum, other] = [f.local('f64', 'sum'), f.local('f64', 'sum')];
  f.f64Const(-1.5);
  f.tee(sum);
  f.set(other);
  f.i64Const(-(2n ** 62n));
  f.op('i32.wrap_i64');
  f.call(host);
  f.globalGet(level);
  f.globalSet(level);
  f.get(x);
  f.lanesConst('i32x4', [1, -1, 256, 0]);
  f.loadLane('v128.load32_lane', 2, 8);
  f.lanesConst('i8x16', 7);
  f.shuffle([0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31]);
  f.lane('i16x8.extract_lane_u', 3);
  f.i32Const(0xffff_ffff);
  f.callIndirect(functionType(['i32'], ['f32']));
  f.drop();
  f.block((outer) => {
    f.get(x);
    f.if(
      () => {
        f.loop((again) => {
          f.get(x);
          f.brTable([again, outer], outer);
        });
      },
      () => {
        f.memorySize();
        f.memoryGrow();
        f.drop();
      },
    );
  });
  for (let operand = 0; operand < 3; operand++) f.get(x);
  f.memoryCopy();
  f.get(x);
  f.get(x);
  f.atomic('i32.atomic.rmw.add', 4);
  f.atomicFence();
  expect(disassemble(f)).toMatchInlineSnapshot(`
    "(func $forms (param $x i32) (result i32)
      (local $sum f64) (local $sum.2 f64)
      f64.const -1.5
      local.tee $sum
      local.set $sum.2
      i64.const -4611686018427387904
      i32.wrap_i64
      call $env.host
      global.get $level
      global.set $level
      local.get $x
      v128.const i32x4 0x00000001 0xffffffff 0x00000100 0x00000000
      v128.load32_lane offset=8 2
      v128.const i32x4 0x07070707 0x07070707 0x07070707 0x07070707
      i8x16.shuffle 0 1 2 3 4 5 6 7 24 25 26 27 28 29 30 31
      i16x8.extract_lane_u 3
      i32.const -1
      call_indirect (param i32) (result f32)
      drop
      block $b0
        local.get $x
        if $i1
          loop $l2
            local.get $x
            br_table $l2 $b0 $b0
          end
        else
          memory.size
          memory.grow
          drop
        end
      end
      local.get $x
      local.get $x
      local.get $x
      memory.copy
      local.get $x
      local.get $x
      i32.atomic.rmw.add offset=4
      atomic.fence
    )"
  `);
});
