/**
 * Shared mode: how a reader that may not block is woken. The audio thread wakes no thread, because that is a system call, and the timers
 * of a hidden page fire once a second. So the reader sets a flag in shared memory while it waits, and the control worker, which polls
 * anyway, posts it a message: messages are never throttled. See
 * `docs/decisions/0036-waiting-for-the-audio-thread.md`.
 */

/** Indices of the words: 1 while the reader waits; the number of windows that it has taken so far. */
const WAITING = 0;
const TAKEN = 1;
const WORDS = 2;

/** The reader's end, or the control worker's. */
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

/** The reader's side. */
export class Sleeper {
  private readonly lane: WakeLane;
  private resolve: () => void = () => {};

  constructor(lane: WakeLane) {
    this.lane = lane;
    lane.port.onmessage = () => this.resolve();
  }

  /** From now on a new window wakes the reader. Poll once more before sleeping: a window may have arrived just before. */
  arm(taken: number): void {
    // In this order: a thread that reads the flag also reads the count.
    Atomics.store(this.lane.words, TAKEN, taken | 0);
    Atomics.store(this.lane.words, WAITING, 1);
  }

  disarm(): void {
    Atomics.store(this.lane.words, WAITING, 0);
  }

  /** Settles at the next message, which may be a late one for a window that was taken meanwhile. */
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

/** The control worker's side: the readers by stream. */
export class Wakers {
  private readonly lanes = new Map<number, WakeLane>();

  add(stream: number, lane: WakeLane): void {
    this.lanes.set(stream, lane);
  }

  delete(stream: number): void {
    this.lanes.get(stream)?.port.close();
    this.lanes.delete(stream);
  }

  /** Wakes every reader that waits and has not taken all delivered windows. Both counts wrap around. */
  poll(windowsDelivered: (stream: number) => number): void {
    for (const [stream, { words, port }] of this.lanes) {
      if (Atomics.load(words, WAITING) === 0) continue;
      if (((windowsDelivered(stream) - Atomics.load(words, TAKEN)) | 0) <= 0) continue;
      // Cleared before the message: if the reader has armed it again meanwhile, the message makes it poll and arm once more.
      Atomics.store(words, WAITING, 0);
      port.postMessage(null);
    }
  }
}
