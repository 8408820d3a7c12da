// The audio thread of the unpooled tuner: each quantum goes to Rust as a vector, and each window leaves as a posted array.
import '../../../tests/benchmarks/browser/text_coders.mjs';
import { initSync, Windows } from './wasm/wavepool.js';

class UnpooledTuner extends AudioWorkletProcessor {
  constructor({ processorOptions: { module, window, hop } }) {
    super();
    initSync({ module });
    this.windows = new Windows(window, hop);
    this.worker = null;
    this.port.onmessage = ({ data }) => (this.worker = data);
  }

  process(inputs) {
    const channel = inputs[0][0];
    if (channel === undefined) return true;
    const window = this.windows.push(channel);
    if (window !== undefined) this.worker?.postMessage(window);
    return true;
  }
}

registerProcessor('unpooled-tuner', UnpooledTuner);
