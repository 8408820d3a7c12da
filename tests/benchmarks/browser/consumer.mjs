// The worker that windows are delivered to: looks at every sample, counts, and leaves a mark in the trace.
import { RingBuffer, AudioReader } from '/node_modules/ringbuf.js/dist/index.mjs';
import { cells, channels, laneViews, period, proof, slots, window } from './format.mjs';
import { FreeQueue } from './free_queue.mjs';

/** How often to look is each consumer's own choice; the library's reader sleeps 0.05 ms, its control worker as long as this. */
const pollMs = 0.2;
const sleepCell = new Int32Array(new SharedArrayBuffer(4));

let counts;
let expected = null;

/** Whether sample `i` of a channel is `at(i)` for the next window; the first one says where the count is. */
function deliver(at, sign = 1) {
  console.timeStamp('window');
  const start = sign * at(0, 0);
  let right = expected === null || start === expected;
  for (let i = 0; i < window; i++) {
    const frame = (start + i) % period;
    if (at(0, i) !== sign * frame || at(1, i) !== -sign * frame) right = false;
  }
  // Real time begins before the sound does.
  if (expected === null && !right) return;
  expected = (start + window) % period;
  if (!right) counts[cells.wrong]++;
  Atomics.add(counts, cells.windows, 1);
}

/** Calls `take` until it has nothing, sleeps, and again. */
function poll(take) {
  while (Atomics.load(counts, cells.stop) === 0) {
    while (take());
    Atomics.wait(sleepCell, 0, 0, pollMs);
  }
}

const kinds = {
  lane({ memory }) {
    const lane = new Int32Array(memory, 0, 2);
    const views = laneViews(memory);
    poll(() => {
      const read = lane[1];
      if (Atomics.load(lane, 0) === read) return false;
      const slot = (read % slots) * channels;
      // They come negated.
      deliver((channel, i) => views[slot + channel][i], -1);
      Atomics.store(lane, 1, read + 1);
      return true;
    });
  },

  ringbuf({ memory }) {
    const reader = new AudioReader(new RingBuffer(memory, Float32Array));
    const interleaved = new Float32Array(channels * window);
    poll(() => {
      if (reader.availableRead() < interleaved.length) return false;
      reader.dequeue(interleaved);
      deliver((channel, i) => interleaved[i * channels + channel]);
      return true;
    });
  },

  freeQueue({ memory }) {
    const queue = new FreeQueue(memory);
    const output = Array.from({ length: channels }, () => new Float32Array(window));
    poll(() => {
      if (!queue.pull(output, window)) return false;
      deliver((channel, i) => output[channel][i]);
      return true;
    });
  },

  messages({ port }) {
    port.onmessage = ({ data }) => {
      const samples = new Float32Array(data);
      deliver((channel, i) => samples[channel * window + i]);
    };
  },

  async ours({ ticket }) {
    const { openTap } = await import('/web/lib/dist/consumer.js');
    const reader = await openTap(ticket);
    await reader.forEach((block) => {
      const left = block.channel(0);
      const right = block.channel(1);
      deliver((channel, i) => (channel === 0 ? left[i] : right[i]));
    });
  },

  /** Writes into its ninth window, and keeps it until the audio thread has seen that. */
  async proof({ ticket, proofCounts }) {
    const found = new Int32Array(proofCounts);
    const { openTap } = await import('/web/lib/dist/consumer.js');
    const reader = await openTap(ticket);
    let blocks = 0;
    for await (const block of reader.blocks()) {
      if (++blocks !== 9) continue;
      const kept = block.keep();
      const samples = kept.channel(0);
      samples[proof.sample] = proof.mark;
      Atomics.store(found, proof.address, samples.byteOffset);
      for (let i = 0; i < 1000 && Atomics.load(found, proof.seen) === 0; i++) Atomics.wait(sleepCell, 0, 0, 1);
      kept.release();
    }
  },

  /** Keeps a core busy, and garbage coming. */
  busy() {
    let kept = [];
    poll(() => {
      kept = Array.from({ length: 1000 }, (_, i) => ({ i, kept: kept[i] === undefined }));
      return Atomics.load(counts, cells.stop) === 0;
    });
  },
};

self.onmessage = ({ data }) => {
  counts = new Int32Array(data.counts);
  self.postMessage('ready');
  kinds[data.kind](data);
};
