// One worker, the same for Node and browsers.

import { type NodeWorker, nodeModule } from './host-modules.ts';
import { type HostMessage, type WorkerMessage, workerSource } from './worker-source.ts';

export interface WorkerEvents {
  message(message: WorkerMessage): void;
  /** The worker is gone, or never came to be. At most once. */
  lost(reason: unknown): void;
}

/** Does not keep the process alive, except between `hold` and `release`. */
export interface WorkerHandle {
  post(message: HostMessage): void;
  hold(): void;
  release(): void;
  terminate(): Promise<void>;
}

/** Throws if the host refuses to create workers; some hosts tell only later, through `lost`. */
export function startWorker(name: string, events: WorkerEvents): WorkerHandle {
  const threads = nodeModule('node:worker_threads');
  if (threads === undefined) return startWebWorker(name, events);
  // Without `execArgv` the worker would run the host's preloaded modules too.
  return nodeHandle(new threads.Worker(workerSource, { eval: true, execArgv: [], name }), events);
}

function nodeHandle(worker: NodeWorker, events: WorkerEvents): WorkerHandle {
  let over = false;
  const lost = (reason: unknown) => {
    if (over) return;
    over = true;
    events.lost(reason);
  };
  worker.on('message', (message) => events.message(message as WorkerMessage));
  worker.on('error', lost);
  worker.on('exit', (code) => lost(new Error(`the worker exited with code ${code}`)));
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    hold: () => worker.ref(),
    release: () => {
      if (!over) worker.unref();
    },
    terminate: async () => {
      over = true;
      // Whoever awaits the end must get to see it, even when nothing else keeps the process alive.
      worker.ref();
      await worker.terminate();
    },
  };
}

function startWebWorker(name: string, events: WorkerEvents): WorkerHandle {
  const url = URL.createObjectURL(new Blob([workerSource], { type: 'text/javascript' }));
  const worker = new Worker(url, { type: 'module', name });
  let over = false;
  const lost = (reason: unknown) => {
    if (over) return;
    over = true;
    URL.revokeObjectURL(url);
    events.lost(reason);
  };
  worker.onmessage = (event: MessageEvent<WorkerMessage>) => events.message(event.data);
  // A content security policy that forbids workers from blobs ends here, without a message.
  worker.onerror = (event) => lost(new Error(event.message || 'the browser refused to start a worker from a blob'));
  worker.onmessageerror = () => lost(new Error('a message could not be passed to or from the worker'));
  return {
    post: (message) => worker.postMessage(message),
    hold: () => {},
    release: () => {},
    terminate: async () => {
      over = true;
      URL.revokeObjectURL(url);
      worker.terminate();
    },
  };
}
