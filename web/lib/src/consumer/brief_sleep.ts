/** The time between two polls of a worker; the system adds about a tenth of a millisecond. */
const WORKER_SLEEP_MS = 0.05;
/** The time between two polls of a page, which may not block. Its timers fire every 4 ms at most. */
const PAGE_SLEEP_MS = 4;

/** Whether this thread is a worker, which may block. A page has a document. */
export const mayBlock = typeof document === 'undefined' && typeof SharedArrayBuffer === 'function';
let cell: Int32Array | null = null;
let channel: MessageChannel | null = null;

/** Blocks for {@link WORKER_SLEEP_MS}, without returning to the event loop. Returns false if this thread may not block. */
export function sleepBriefly(): boolean {
  if (!mayBlock) return false;
  // No thread notifies this cell: the wait is a sleep that needs no timer of 4 ms.
  cell ??= new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(cell, 0, 0, WORKER_SLEEP_MS);
  return true;
}

/** Sleeps, and lets the event loop deliver other messages. */
export function yieldAndSleep(): Promise<void> {
  if (!sleepBriefly()) return new Promise((wake) => setTimeout(wake, PAGE_SLEEP_MS));
  const { port1, port2 } = (channel ??= new MessageChannel());
  return new Promise((wake) => {
    port1.addEventListener('message', () => wake(), { once: true });
    port1.start();
    port2.postMessage(0);
  });
}
