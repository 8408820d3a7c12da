/**
 * How a thread that sleeps within its turn learns that messages are pending. Whoever posts a message to it also increments a
 * counter in shared memory and notifies the sleeper. The sleeper compares the counter with the number of messages it received.
 */

/** A counter for one thread that sleeps; the threads that post to it share the counter. */
export function newWakeCounter(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** Wakes the sleeping thread: called after each message that is posted to it, and once when no more messages follow. */
export function signal(wakeCounter: Int32Array): void {
  Atomics.add(wakeCounter, 0, 1);
  Atomics.notify(wakeCounter, 0);
}

/** The sleeping thread's side of the counter. */
export class Waiter {
  private readonly wakeCounter: Int32Array;
  /** Messages received. Wraps around as the counter does. */
  private received = 0;

  constructor(wakeCounter: Int32Array) {
    this.wakeCounter = wakeCounter;
    // The message with the counter is signalled too, perhaps only later.
    this.receive();
  }

  /** A message was received; its sender has signalled it, or will. */
  receive(): void {
    this.received = (this.received + 1) | 0;
  }

  /**
   * Blocks for `ms` or until `signal()`. Returns true if no message is pending. If the two counts differed by mistake, the thread would
   * return to its event loop more often than necessary; no message is lost.
   */
  sleep(ms: number): boolean {
    const signals = Atomics.load(this.wakeCounter, 0);
    Atomics.wait(this.wakeCounter, 0, signals, ms);
    return Atomics.load(this.wakeCounter, 0) === this.received;
  }
}
