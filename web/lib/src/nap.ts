/** How long a worker sleeps between two looks: within the half millisecond that critical events may take. */
const WORKER_NAP_MS = 0.2;
/** A page may not sleep; its timers come every 4 ms at most. */
const PAGE_NAP_MS = 4;

/** A page has a document, a worker has none; only a worker may block. */
const mayBlock = typeof document === 'undefined' && typeof SharedArrayBuffer === 'function';
let turn: { readonly cell: Int32Array; readonly channel: MessageChannel } | null = null;

/** Lets other messages have their turn, and a moment pass. */
export function nap(): Promise<void> {
  if (!mayBlock) return new Promise((wake) => setTimeout(wake, PAGE_NAP_MS));
  turn ??= { cell: new Int32Array(new SharedArrayBuffer(4)), channel: new MessageChannel() };
  const { cell, channel } = turn;
  // Nobody ever notifies the cell: waiting on it is sleeping, without giving up the turn to a 4 ms timer.
  Atomics.wait(cell, 0, 0, WORKER_NAP_MS);
  return new Promise((wake) => {
    channel.port1.addEventListener('message', () => wake(), { once: true });
    channel.port1.start();
    channel.port2.postMessage(0);
  });
}
