// The program of a worker, as text: it must start without fetching a file, in Node and in browsers.

import { abortReason, control, GATE_OPEN, RESERVED_BYTES, TRAP_TEXT_BYTES } from './control-block.ts';

/** What the host sends. Each message counts as one mail; see `control.mail`. */
export type HostMessage =
  | {
      readonly kind: 'start';
      readonly memory: WebAssembly.Memory;
      readonly thread: number;
      /** Whether the end of a job is also told by a message, for hosts that cannot wait for a word. */
      readonly doneByMessage: boolean;
    }
  | { readonly kind: 'add'; readonly id: number; readonly module: WebAssembly.Module }
  | { readonly kind: 'remove'; readonly id: number };

/** What a worker sends: `mail` counts the messages it has handled, this one included. */
export type WorkerMessage =
  | { readonly kind: 'handled'; readonly mail: number; readonly error?: string }
  | { readonly kind: 'done' };

const words = Object.fromEntries(Object.entries(control).map(([name, address]) => [name, address >>> 2]));

/**
 * A worker is either in its event loop, where it gets messages, or parked: asleep on `wake`. When woken it first looks
 * for mail, then whether there is a job to join. Joining is optional: whoever comes late finds the gate closed, and
 * whoever comes twice finds no tiles left. Only thread 0, which leads, runs each job exactly once.
 */
export const workerSource = `
const at = ${JSON.stringify(words)};
const node = globalThis.process?.getBuiltinModule?.('node:worker_threads');
const port = node ? node.parentPort : globalThis;
const now = () => performance.now();
const runs = new Map();
let memory, words, thread, doneByMessage;
let handled = 0, seen = 0, led = 0;

function receive(message) {
  let error;
  try {
    if (message.kind === 'start') {
      ({ memory, thread, doneByMessage } = message);
      words = new Int32Array(memory.buffer, 0, ${RESERVED_BYTES / 4});
    } else if (message.kind === 'add') {
      runs.set(message.id, new WebAssembly.Instance(message.module, { env: { memory, now } }).exports.run);
    } else runs.delete(message.id);
  } catch (reason) {
    error = String(reason);
  }
  handled++;
  port.postMessage({ kind: 'handled', mail: handled, error });
  park();
}

function park() {
  for (;;) {
    for (let spin = words[at.spin]; spin > 0 && Atomics.load(words, at.wake) === seen; spin--);
    while (Atomics.load(words, at.wake) === seen && Atomics.load(words, at.mail) === handled) {
      Atomics.wait(words, at.wake, seen);
    }
    if (Atomics.load(words, at.mail) !== handled) return;
    seen = Atomics.load(words, at.wake);
    if (thread !== 0) join();
    else if (Atomics.load(words, at.job) !== led) lead();
  }
}

function join() {
  if (Atomics.add(words, at.gate, 1) & ${GATE_OPEN}) {
    seen = Atomics.load(words, at.wake);
    if (thread < words[at.threads] && runs.has(words[at.module])) execute();
  }
  if (Atomics.sub(words, at.gate, 1) === 1) Atomics.notify(words, at.gate);
}

function lead() {
  led = words[at.job];
  execute();
  Atomics.and(words, at.gate, ${~GATE_OPEN});
  for (let spin = words[at.spin]; spin > 0 && Atomics.load(words, at.gate) !== 0; spin--);
  for (let inside; (inside = Atomics.load(words, at.gate)) !== 0; ) Atomics.wait(words, at.gate, inside);
  Atomics.store(words, at.done, led);
  Atomics.notify(words, at.done);
  if (doneByMessage) port.postMessage({ kind: 'done' });
}

function execute() {
  try {
    const run = runs.get(words[at.module]);
    if (run === undefined) throw new Error('the module was not added');
    run(words[at.program], words[at.first], words[at.last], thread, words[at.threads]);
  } catch (error) {
    if (Atomics.compareExchange(words, at.trappedThread, 0, thread + 1) === 0) {
      const text = new TextEncoder().encode(String(error)).subarray(0, ${TRAP_TEXT_BYTES});
      new Uint8Array(memory.buffer).set(text, ${control.trapText});
      words[at.trapLength] = text.length;
    }
    Atomics.store(words, at.abort, ${abortReason.trapped});
    Atomics.add(words, at.signal, 1);
    Atomics.notify(words, at.signal);
  }
}

if (node) port.on('message', receive);
else port.onmessage = (event) => receive(event.data);
`;
