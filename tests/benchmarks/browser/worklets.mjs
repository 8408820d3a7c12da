// The rivals' audio sides. Each is given stereo and delivers windows of 2048 frames.
import './text_coders.mjs';
import * as glue from '/target/boundary/shapes.js';
import { RingBuffer, AudioWriter, interleave } from '/node_modules/ringbuf.js/dist/index.mjs';
import { shapes } from '../boundary/shapes.mjs';
import { channels, laneViews, quantum, slots, window } from './format.mjs';
import { FreeQueue } from './free_queue.mjs';

/** Nothing but being called. */
class Baseline extends AudioWorkletProcessor {
  process() {
    return true;
  }
}

/** Rust negates each quantum in one of wasm-bindgen's shapes; the windows go through plain shared memory. */
class Shape extends AudioWorkletProcessor {
  constructor({ processorOptions: { module, shape, memory } }) {
    super();
    this.work = shapes(glue, glue.initSync({ module }))[shape];
    this.counts = new Int32Array(memory, 0, 2);
    this.views = laneViews(memory);
    this.at = 0;
  }

  process(inputs) {
    const input = inputs[0];
    if (input.length === 0) return true;
    const written = this.counts[0];
    if (this.at === 0 && written - Atomics.load(this.counts, 1) === slots) return true;
    for (let channel = 0; channel < channels; channel++) {
      this.views[(written % slots) * channels + channel].set(this.work(input[channel]), this.at);
    }
    this.at += quantum;
    if (this.at === window) {
      this.at = 0;
      Atomics.store(this.counts, 0, written + 1);
    }
    return true;
  }
}

class RingbufJs extends AudioWorkletProcessor {
  constructor({ processorOptions: { memory } }) {
    super();
    this.writer = new AudioWriter(new RingBuffer(memory, Float32Array));
    this.interleaved = new Float32Array(channels * quantum);
  }

  process(inputs) {
    if (inputs[0].length === 0) return true;
    interleave(inputs[0], this.interleaved);
    this.writer.enqueue(this.interleaved);
    return true;
  }
}

class FreeQueueWriter extends AudioWorkletProcessor {
  constructor({ processorOptions: { memory } }) {
    super();
    this.queue = new FreeQueue(memory);
  }

  process(inputs) {
    if (inputs[0].length > 0) this.queue.push(inputs[0], quantum);
    return true;
  }
}

/** Windows leave as messages: copied by the browser, or made for the message and given away. */
class Poster extends AudioWorkletProcessor {
  constructor({ processorOptions: { transferred } }) {
    super();
    this.out = null;
    this.port.onmessage = ({ data }) => {
      this.out = data;
      this.port.postMessage('taken');
    };
    this.transferred = transferred;
    this.next();
    this.at = 0;
  }

  next() {
    this.window = new Float32Array(channels * window);
  }

  process(inputs) {
    const input = inputs[0];
    if (input.length === 0) return true;
    for (let channel = 0; channel < channels; channel++) this.window.set(input[channel], channel * window + this.at);
    this.at += quantum;
    if (this.at === window) {
      this.at = 0;
      if (this.transferred) {
        this.out.postMessage(this.window.buffer, [this.window.buffer]);
        this.next();
      } else {
        this.out.postMessage(this.window.buffer);
      }
    }
    return true;
  }
}

/** Eight windows through Rust in every quantum: what a heavy graph does. */
class Stress extends AudioWorkletProcessor {
  constructor({ processorOptions: { module, shape } }) {
    super();
    this.work = shapes(glue, glue.initSync({ module }))[shape];
    this.samples = Float32Array.from({ length: window }, (_, i) => i + 1);
  }

  process() {
    for (let i = 0; i < 8; i++) {
      const result = this.work(this.samples);
      if (result[window - 1] !== -window) throw new Error('the result is wrong');
    }
    return true;
  }
}

/** Makes eight objects of one kind a quantum: what they weigh. */
class Cost extends AudioWorkletProcessor {
  constructor({ processorOptions: { kind } }) {
    super();
    const memory = new WebAssembly.Memory({ initial: 1 });
    this.kept = null;
    this.make = {
      nothing: () => {},
      view: () => (this.kept = new Float32Array(memory.buffer, 0, 128)),
      array: () => (this.kept = new Float32Array(64)),
    }[kind];
  }

  process() {
    for (let i = 0; i < 8; i++) this.make();
    return true;
  }
}

/** Eight buffers a quantum leave by message and come back: what a message weighs with its buffer's way home. */
class MessageCost extends AudioWorkletProcessor {
  constructor({ processorOptions: { blocks, counts } }) {
    super();
    this.free = Array.from({ length: blocks }, () => new ArrayBuffer(16));
    this.transfer = [];
    this.counts = new Int32Array(counts);
    this.port.onmessage = ({ data }) => {
      this.free.push(data);
      Atomics.add(this.counts, 0, 1);
    };
  }

  process() {
    for (let i = 0; i < 8; i++) {
      const block = this.free.pop();
      if (block === undefined) throw new Error('the buffers did not come back');
      this.transfer[0] = block;
      this.port.postMessage(block, this.transfer);
      Atomics.add(this.counts, 1, 1);
    }
    return true;
  }
}

const processors = { Baseline, Shape, RingbufJs, FreeQueueWriter, Poster, Stress, Cost, MessageCost };
for (const [name, processor] of Object.entries(processors)) registerProcessor(name, processor);
