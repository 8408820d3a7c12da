/**
 * The machine's own floor: looks at one word as often as the control worker polls, asleep in between in the same way, and
 * marks each quantum that it sees. A mark stands for all quanta up to it.
 */
import { POLL_MS, QUANTUM, SLEEP } from './protocol.ts';

self.onmessage = ({ data: words }: MessageEvent<Int32Array>) => {
  let seen = 0;
  for (;;) {
    const quantum = Atomics.load(words, QUANTUM);
    if (quantum !== seen) console.timeStamp(`floor ${quantum}`);
    seen = quantum;
    Atomics.wait(words, SLEEP, 0, POLL_MS);
  }
};
