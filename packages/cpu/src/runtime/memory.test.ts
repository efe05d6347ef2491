import { expect, test } from 'vitest';
import { RESERVED_BYTES } from './control-block.ts';
import { FreeList } from './free-list.ts';
import { ALIGNMENT, LinearMemory, OutOfMemoryError, PAGE_BYTES } from './memory.ts';

test.each([false, true])('blocks are aligned, apart, and never in the control block (shared: %s)', (shared) => {
  const memory = new LinearMemory({ shared });
  const sizes = [0, 1, 63, 64, 65, 1000, 3 * PAGE_BYTES, 17];
  const blocks = sizes.map((size) => ({ size, address: memory.allocate(size) }));
  for (const { size, address } of blocks) {
    expect(address % ALIGNMENT).toBe(0);
    expect(address).toBeGreaterThanOrEqual(RESERVED_BYTES);
    memory.bytes.fill(size & 0xff, address, address + size);
  }
  for (const { size, address } of blocks) {
    expect(memory.bytes.subarray(address, address + size).every((byte) => byte === (size & 0xff))).toBe(true);
  }
  expect(new Set(blocks.map(({ address }) => address)).size).toBe(sizes.length);
});

test('views see the memory after growth, content stays', () => {
  for (const shared of [false, true]) {
    const memory = new LinearMemory({ shared });
    const address = memory.allocate(8);
    memory.view.setFloat64(address, 1.25, true);
    const before = memory.reservedBytes;
    const far = memory.allocate(5_000_000);
    expect(memory.reservedBytes).toBeGreaterThan(before);
    memory.words[far / 4 + 1_000_000] = 77;
    expect(memory.view.getInt32(far + 4_000_000, true)).toBe(77);
    expect(memory.view.getFloat64(address, true)).toBe(1.25);
    expect(memory.bytes.buffer).toBe(memory.memory.buffer);
  }
});

test('freed blocks are merged and reused; counts go back', () => {
  const memory = new LinearMemory({ shared: false });
  const addresses = Array.from({ length: 10 }, () => memory.allocate(4096));
  const last = memory.allocate(64);
  const size = memory.reservedBytes;
  expect(memory.bytesInUse).toBe(10 * 4096 + 64);
  // Every second one, then the others: what is left must be one range.
  for (const odd of [0, 1]) for (let index = odd; index < 10; index += 2) memory.free(addresses[index]);
  expect(memory.bytesInUse).toBe(64);
  expect(memory.allocate(40960)).toBe(addresses[0]);
  expect(memory.reservedBytes).toBe(size);
  expect(memory.peakBytes).toBe(10 * 4096 + 64);
  memory.free(last);
  memory.free(addresses[0]);
  expect(memory.bytesInUse).toBe(0);
});

test('the smallest range that fits is taken', () => {
  const memory = new LinearMemory({ shared: false });
  const [large, , small] = [4096, 64, 128, 64].map((size) => memory.allocate(size));
  memory.free(large);
  memory.free(small);
  expect(memory.allocate(100)).toBe(small);
  expect(memory.allocate(100)).toBe(large);
});

test('freeing what is not allocated is an error', () => {
  const memory = new LinearMemory({ shared: false });
  const address = memory.allocate(10);
  expect(() => memory.free(address + 64)).toThrow('no block');
  memory.free(address);
  expect(() => memory.free(address)).toThrow('no block');
  expect(() => memory.allocate(-1)).toThrow(RangeError);
  expect(() => memory.allocate(Number.NaN)).toThrow(RangeError);
});

test('a budget is kept, and passing it changes nothing', () => {
  const memory = new LinearMemory({ shared: true, budget: 1 << 20 });
  const block = memory.allocate(600_000);
  const before = memory.bytesInUse;
  try {
    memory.allocate(500_000);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(OutOfMemoryError);
    const { requested, inUse, limit, message } = error as OutOfMemoryError;
    expect({ requested, inUse, limit }).toEqual({ requested: 500_032, inUse: before, limit: 1 << 20 });
    expect(message).toMatch(/cannot allocate 500032 bytes .* of at most 1\.0 MB/);
  }
  expect(memory.bytesInUse).toBe(before);
  memory.free(block);
  memory.free(memory.allocate(1_000_000));
});

test('four gigabytes are refused before anything is allocated', () => {
  const memory = new LinearMemory({ shared: true });
  expect(() => memory.allocate(2 ** 32)).toThrow(OutOfMemoryError);
  expect(() => memory.allocate(2 ** 40)).toThrow(OutOfMemoryError);
  expect(memory.reservedBytes).toBe(PAGE_BYTES);
});

test('addresses above 2 GiB work', () => {
  const memory = new LinearMemory({ shared: true });
  const low = memory.allocate(3 * 2 ** 30);
  const high = memory.allocate(1000);
  expect(high).toBeGreaterThan(2 ** 31);
  memory.view.setUint8(high, 9);
  expect(memory.bytes[high]).toBe(9);
  memory.free(low);
  memory.free(high);
});

test('random allocation and release keeps the books', () => {
  const memory = new LinearMemory({ shared: false });
  const live = new Map<number, number>();
  let seed = 1;
  const random = (bound: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff;
    return (seed >>> 8) % bound;
  };
  for (let round = 0; round < 5000; round++) {
    if (live.size > 50 || (live.size > 0 && random(2) === 0)) {
      const address = Array.from(live.keys())[random(live.size)];
      memory.free(address);
      live.delete(address);
    } else {
      const size = 1 + random(5000);
      const address = memory.allocate(size);
      for (const [other, otherSize] of live) {
        expect(address + size <= other || other + otherSize <= address).toBe(true);
      }
      live.set(address, size);
    }
  }
  for (const address of live.keys()) memory.free(address);
  expect(memory.bytesInUse).toBe(0);
  const everything = memory.reservedBytes - RESERVED_BYTES;
  expect(memory.allocate(everything)).toBe(RESERVED_BYTES);
});

test('a free list merges on both sides', () => {
  const list = new FreeList();
  list.give(0, 10);
  list.give(20, 30);
  expect(list.rangeCount).toBe(2);
  list.give(10, 20);
  expect(list.rangeCount).toBe(1);
  expect(list.largest).toBe(30);
  expect(list.tail(30)).toBe(30);
  expect(list.tail(29)).toBe(0);
  expect(list.take(31)).toBeUndefined();
  expect(list.take(30)).toBe(0);
  expect(list.rangeCount).toBe(0);
});

test('memory that was reserved is there for blocks, without growth', () => {
  const memory = new LinearMemory({ shared: false, budget: 100 * PAGE_BYTES });
  const address = memory.allocate(8);
  memory.view.setFloat64(address, 1.25, true);
  memory.reserve(50 * PAGE_BYTES);
  const { buffer } = memory.memory;
  expect(memory.bytesInUse).toBe(ALIGNMENT);
  for (let count = 0; count < 50; count++) memory.allocate(PAGE_BYTES);
  expect(memory.memory.buffer).toBe(buffer);
  expect(memory.view.getFloat64(address, true)).toBe(1.25);
});

test('reserving what is there already, or more than can be, does nothing', () => {
  const memory = new LinearMemory({ shared: false, budget: 10 * PAGE_BYTES });
  memory.free(memory.allocate(5 * PAGE_BYTES));
  const before = memory.reservedBytes;
  memory.reserve(PAGE_BYTES);
  memory.reserve(11 * PAGE_BYTES);
  expect(memory.reservedBytes).toBe(before);
  expect(() => memory.allocate(11 * PAGE_BYTES)).toThrow(OutOfMemoryError);
});
