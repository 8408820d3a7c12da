/**
 * Shared mode: how a reader that may not block learns of windows. The audio thread wakes nobody, which would be a system call,
 * and a page's timers come once a second while it is hidden. So the reader says in shared memory that it waits, and the
 * control worker, which polls anyway, posts it a message: messages are never throttled. See
 * `docs/decisions/0036-waiting-for-the-audio-thread.md`.
 */

/** Words: 1 while the reader waits; windows that it has taken so far. */
const WAITING = 0;
const TAKEN = 1;
const WORDS = 2;

/** A reader's end, or the control worker's. */
export interface WakeLane {
  readonly port: MessagePort;
  readonly words: Int32Array;
}

/** Both ends: the first for the reader, the second for the control worker. */
export function newWakeLanes(): readonly [WakeLane, WakeLane] {
  const { port1, port2 } = new MessageChannel();
  const words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  return [{ port: port1, words }, { port: port2, words }];
}

/** Of the reader. */
export class Sleeper {
  private readonly lane: WakeLane;
  private resolve: () => void = () => {};

  constructor(lane: WakeLane) {
    this.lane = lane;
    lane.port.onmessage = () => this.resolve();
  }

  /** From now on a further window wakes it. Look for one once more before sleeping: it may have come just before. */
  arm(taken: number): void {
    // In this order: who sees that it waits sees for what.
    Atomics.store(this.lane.words, TAKEN, taken | 0);
    Atomics.store(this.lane.words, WAITING, 1);
  }

  disarm(): void {
    Atomics.store(this.lane.words, WAITING, 0);
  }

  /** Settles at the next message, which may also be a late one for a window that was found meanwhile. */
  sleep(): Promise<void> {
    return new Promise((resolve) => (this.resolve = resolve));
  }

  wake(): void {
    this.resolve();
  }

  close(): void {
    this.wake();
    this.lane.port.close();
  }
}

/** Of the control worker: whom it is to wake, by stream. */
export class Wakers {
  private readonly lanes = new Map<number, WakeLane>();

  add(stream: number, lane: WakeLane): void {
    this.lanes.set(stream, lane);
  }

  delete(stream: number): void {
    this.lanes.get(stream)?.port.close();
    this.lanes.delete(stream);
  }

  /** Wakes every reader that waits and has not taken all the windows there are. Both counts wrap around. */
  poll(windowsDelivered: (stream: number) => number): void {
    for (const [stream, { words, port }] of this.lanes) {
      if (Atomics.load(words, WAITING) === 0) continue;
      if (((windowsDelivered(stream) - Atomics.load(words, TAKEN)) | 0) <= 0) continue;
      // Cleared before the message: should the reader meanwhile have armed it again, the message makes it look and arm anew.
      Atomics.store(words, WAITING, 0);
      port.postMessage(null);
    }
  }
}
