/**
 * The machine's own floor: looks at one word as often as the control worker polls, asleep in between in the same way, and
 * marks each quantum that it sees as often as the three lanes do. A mark costs some µs, now and then milliseconds.
 */
import { POLL_MS, QUANTUM, SLEEP } from './protocol.ts';

self.onmessage = ({ data: words }: MessageEvent<Int32Array>) => {
  let seen = 0;
  for (;;) {
    const published = Atomics.load(words, QUANTUM);
    while (seen < published) {
      seen += 1;
      console.timeStamp(`floor ${seen}`);
      console.timeStamp(`beside ${seen}`);
      console.timeStamp(`beside ${seen}`);
    }
    Atomics.wait(words, SLEEP, 0, POLL_MS);
  }
};
