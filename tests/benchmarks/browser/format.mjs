// What every implementation is given and has to deliver.

export const channels = 2;
export const window = 2048;
export const quantum = 128;
export const sampleRate = 48_000;

/** The left channel counts frames up to this and begins again, the right one is its negative: every sample is known. */
export const period = 65_536;

/** Where counts are in the memory that page and consumer share. */
export const cells = { windows: 0, wrong: 1, stop: 2 };

/** The same for the proof that a window is not copied; and what is written where. */
export const proof = { samples: 0, quanta: 1, address: 2, seen: 3, sample: 17, mark: 12_345 };

/** Windows that can wait for the consumer. */
export const slots = 16;

/** Memory for windows that wait: two counts, written and read, then the slots. */
export const lane = () => new SharedArrayBuffer(8 + slots * channels * window * 4);
export const laneViews = (memory) =>
  Array.from({ length: slots * channels }, (_, i) => new Float32Array(memory, 8 + i * window * 4, window));
