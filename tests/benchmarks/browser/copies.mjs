// How often the shipped worklet copies a sample: told by its own calls of `set`, watched from within its global scope.
// That nothing copies afterwards is shown by a write: what a worker writes into its window is seen by the audio thread
// at the address to which it had copied that window.
import { proof } from './format.mjs';

const set = Float32Array.prototype.set;
let memory = null;
let copied = 0;
/** Where samples were copied to, as indices into the shared memory. */
const starts = new Set();

Float32Array.prototype.set = function (from, at = 0) {
  if (this.buffer instanceof SharedArrayBuffer) {
    memory = this;
    copied += from.length;
    starts.add(at);
  }
  return set.call(this, from, at);
};

class Watch extends AudioWorkletProcessor {
  constructor({ processorOptions: { counts } }) {
    super();
    this.counts = new Int32Array(counts);
  }

  process() {
    this.counts[proof.samples] = copied;
    Atomics.add(this.counts, proof.quanta, 1);
    const start = Atomics.load(this.counts, proof.address) / 4;
    if (start !== 0 && starts.has(start) && memory[start + proof.sample] === proof.mark) Atomics.store(this.counts, proof.seen, 1);
    return true;
  }
}

registerProcessor('Watch', Watch);
