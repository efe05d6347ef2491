// Whether the engine joins pairs of 128-bit operations into 256-bit ones, which V8 does on request. It is found out by
// timing the block shape that only pays with them.

import { nodeModule, v8Build } from '../runtime/host-modules.ts';
import { blockColumns, emitMicroKernel, panelWidth, turnRows, widePanelWidth } from '../templates/micro-kernel.ts';
import { ModuleBuilder } from '../wasm/module.ts';

const joinPairs = 'experimental-wasm-revectorize';

/** How much faster the wide shape must be: with 128-bit vectors its sums do not fit the registers, and it is slower. */
const leastGain = 1.15;

const rows = turnRows.float32;
const words = 256;
const samples = 30;
const callsOfSample = 4;

/** Addresses in the probe's memory. */
const places = { a: 0, panel: 8 << 10, narrow: 32 << 10, wide: 40 << 10, table: 48 << 10 };

let answer: boolean | undefined;

/**
 * Turns the engine's wide vectors on and tells whether they work; where they do not, everything is as before. Takes some
 * milliseconds the first time. What is on stays on for all modules of the process that are compiled later.
 */
export function probeWideVectors(relaxed: boolean): boolean {
  answer ??= turnOn(relaxed);
  return answer;
}

function turnOn(relaxed: boolean): boolean {
  const v8 = nodeModule('node:v8');
  const build = v8Build();
  // V8 prints a complaint about flags that it does not know, so it is only asked where it does.
  if (!v8 || !build || build.major < 13 || build.arch !== 'x64') return false;
  const setFlag = (name: string, value: boolean): void => v8.setFlagsFromString(`--${value ? '' : 'no-'}${name}`);
  try {
    setFlag(joinPairs, true);
  } catch {
    // Hosts that only resemble Node have no flags.
    return false;
  }
  // The quick compiler knows no pairs; the probe would have to wait for the other one.
  setFlag('liftoff', false);
  let works = false;
  try {
    works = gain(relaxed) > leastGain;
  } finally {
    setFlag('liftoff', true);
    if (!works) setFlag(joinPairs, false);
  }
  return works;
}

/** Rate of the wide block shape over the narrow one's; 0 when they disagree. */
function gain(relaxed: boolean): number {
  const module = new ModuleBuilder();
  module.importMemory('env', 'memory', { initial: 1, maximum: 1, shared: false });
  for (const width of [panelWidth, widePanelWidth]) {
    const micro = emitMicroKernel(rows, { arithmetic: 'float32', panel: 'float32', relaxed, width });
    module.export(`${width}`, module.define(micro));
  }
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
  const floats = new Float32Array(memory.buffer);
  // Small integers: their sums are exact in any order.
  for (let at = 0; at < places.narrow / 4; at++) floats[at] = (at % 13) - 6;
  new Int32Array(memory.buffer, places.table, rows).set(Array.from({ length: rows }, (_, row) => row * words));
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()), { env: { memory } });
  const kernel = (width: number, out: number) => () => {
    const micro = instance.exports[width] as (...args: number[]) => void;
    micro(places.a, places.table, 1, words, places.panel, out);
  };
  const narrow = kernel(panelWidth, places.narrow);
  const wide = kernel(widePanelWidth, places.wide);
  wide();
  if (!isExact(floats)) return 0;
  let [least, leastWide] = [Infinity, Infinity];
  for (let sample = 0; sample < samples; sample++) {
    least = Math.min(least, secondsOf(narrow));
    leastWide = Math.min(leastWide, secondsOf(wide));
  }
  return (widePanelWidth / panelWidth) * (least / leastWide);
}

/** Whether the wide kernel's block is the product. */
function isExact(floats: Float32Array): boolean {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < widePanelWidth; column++) {
      let sum = 0;
      for (let word = 0; word < words; word++) {
        sum += floats[places.a / 4 + row * words + word] * floats[places.panel / 4 + word * widePanelWidth + column];
      }
      if (floats[places.wide / 4 + row * blockColumns + column] !== sum) return false;
    }
  }
  return true;
}

function secondsOf(call: () => void): number {
  const start = performance.now();
  for (let count = 0; count < callsOfSample; count++) call();
  return performance.now() - start;
}
