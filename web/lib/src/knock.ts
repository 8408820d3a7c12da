/**
 * How a thread that sleeps within its turn learns that messages wait: whoever posts one knocks. The number of knocks stands in
 * shared memory, and is compared with the number of messages that came.
 */

/** Where to knock: of the thread that posts. */
export function newKnocks(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
}

/** Wakes the sleeper. After a message was posted, or to say that none will come any more. */
export function knock(knocks: Int32Array): void {
  Atomics.add(knocks, 0, 1);
  Atomics.notify(knocks, 0);
}

/** Of the thread that sleeps. */
export class Door {
  private readonly knocks: Int32Array;
  /** Wraps around as the number of knocks does. */
  private heard = 0;

  constructor(knocks: Int32Array) {
    this.knocks = knocks;
    // The message that brought it, whose knock may still come.
    this.hear();
  }

  /** A message came, which was or will be knocked for. */
  hear(): void {
    this.heard = (this.heard + 1) | 0;
  }

  /**
   * Sleeps, until somebody knocks if that comes first; whether no message waits. Counts that differ, by whatever mistake, cost
   * the long turns, no message and no sleep.
   */
  quietFor(ms: number): boolean {
    const knocks = Atomics.load(this.knocks, 0);
    Atomics.wait(this.knocks, 0, knocks, ms);
    return Atomics.load(this.knocks, 0) === this.heard;
  }
}
