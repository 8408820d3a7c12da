/** How long a worker sleeps between two looks; the system adds about a tenth of a millisecond of its own. */
const WORKER_NAP_MS = 0.05;
/** A page may not sleep; its timers come every 4 ms at most. */
const PAGE_NAP_MS = 4;

/** A page has a document, a worker has none; only a worker may block. */
export const mayBlock = typeof document === 'undefined' && typeof SharedArrayBuffer === 'function';
let cell: Int32Array | null = null;
let channel: MessageChannel | null = null;

/** Sleeps a moment, and lets nobody have a turn; false where a thread may not. */
export function doze(): boolean {
  if (!mayBlock) return false;
  cell ??= new Int32Array(new SharedArrayBuffer(4));
  // Nobody ever notifies the cell: waiting on it is sleeping, without giving up the turn to a 4 ms timer.
  Atomics.wait(cell, 0, 0, WORKER_NAP_MS);
  return true;
}

/** Lets other messages have their turn, and a moment pass. */
export function nap(): Promise<void> {
  if (!doze()) return new Promise((wake) => setTimeout(wake, PAGE_NAP_MS));
  const { port1, port2 } = (channel ??= new MessageChannel());
  return new Promise((wake) => {
    port1.addEventListener('message', () => wake(), { once: true });
    port1.start();
    port2.postMessage(0);
  });
}
