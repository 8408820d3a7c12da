// The free-queue pattern: one ring of frames per channel in shared memory, filled and emptied sample by sample.

export const memory = (channels, frames) => ({
  counts: new SharedArrayBuffer(8),
  rings: Array.from({ length: channels }, () => new SharedArrayBuffer(frames * 4)),
});

export class FreeQueue {
  constructor({ counts, rings }) {
    this.counts = new Uint32Array(counts);
    this.rings = rings.map((ring) => new Float32Array(ring));
    this.frames = this.rings[0].length;
  }

  push(input, frames) {
    const read = Atomics.load(this.counts, 0);
    const written = Atomics.load(this.counts, 1);
    if (((written - read) >>> 0) + frames > this.frames) return false;
    for (let i = 0; i < frames; i++) {
      const at = (written + i) % this.frames;
      for (let channel = 0; channel < this.rings.length; channel++) this.rings[channel][at] = input[channel][i];
    }
    Atomics.store(this.counts, 1, written + frames);
    return true;
  }

  pull(output, frames) {
    const read = Atomics.load(this.counts, 0);
    const written = Atomics.load(this.counts, 1);
    if (((written - read) >>> 0) < frames) return false;
    for (let i = 0; i < frames; i++) {
      const at = (read + i) % this.frames;
      for (let channel = 0; channel < this.rings.length; channel++) output[channel][i] = this.rings[channel][at];
    }
    Atomics.store(this.counts, 0, read + frames);
    return true;
  }
}
