// The ways of having Rust negate samples. Each takes JavaScript's samples and answers with an array that holds the
// result until the next call. Runs in Node and in an AudioWorklet.

/** `exports` are the instance's own, past the glue. */
export function shapes(glue, exports) {
  return {
    ours: pooled(exports),
    'wasm-bindgen-slice': (samples) => glue.slice(samples),
    'wasm-bindgen-mut-slice': (samples) => {
      // In place, and back again before the next call.
      glue.mutSlice(samples);
      return samples;
    },
    'wasm-bindgen-vec': (samples) => glue.vec(samples),
    'wasm-bindgen-float32array': (samples) => glue.float32Array(samples),
  };
}

/** A buffer of the pool, written and read in place through a view that is made once per buffer. */
function pooled(exports) {
  const { memory, pooled_open, pooled_view, pooled_acquire, pooled_negate, pooled_release } = exports;
  const pool = pooled_open();
  const at = pooled_view(pool) >> 2;
  const views = [];
  let words = new Uint32Array(memory.buffer);
  let last = 0;
  return (samples) => {
    // The result was looked at until now.
    if (last !== 0) pooled_release(pool, last);
    last = pooled_acquire(pool, samples.length);
    if (words.length === 0) words = new Uint32Array(memory.buffer);
    const slot = words[at];
    if (words[at + 3] !== 0) views[slot] = new Float32Array(memory.buffer, words[at + 1], words[at + 2]);
    const view = views[slot];
    view.set(samples);
    pooled_negate(pool, last);
    return view;
  };
}
