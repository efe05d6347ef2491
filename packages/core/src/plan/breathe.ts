// Long work on one thread lets others have a turn: without it no timer fires, no AbortSignal is heard, no page is drawn.

/** Milliseconds of work after which others get a turn. */
const longest = 20;

let lastBreath = 0;

/** Waits for the event loop to go round once, if it has not done so for a while. */
export async function breathe(): Promise<void> {
  if (performance.now() - lastBreath < longest) return;
  await pause();
  lastBreath = performance.now();
}

/** Waits for the event loop to go round once. */
export function pause(): Promise<void> {
  return new Promise<void>((resolve) => {
    const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void };
    if (setImmediate) setImmediate(resolve);
    else {
      // Unlike a timeout it is not held back by the browser.
      const { port1, port2 } = new MessageChannel();
      port2.onmessage = () => {
        port2.close();
        resolve();
      };
      port1.postMessage(undefined);
    }
  });
}
