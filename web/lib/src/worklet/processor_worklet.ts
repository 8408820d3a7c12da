/** Runs a processor written in Rust, a module that `wavepool::export_processor!` has made. */
import { messageOf } from '../shared/errors.ts';
import { keepInstance, takeInstance } from './idle_instances.ts';
import { faultMessage } from '../shared/instance.ts';
import { PROCESSOR_PARAMETERS, type FromProcessor, type ProcessorExports, type ProcessorOptions } from '../shared/processor_protocol.ts';

/** The most frames of a processor's block; a longer quantum is processed in several blocks. */
const MOST_FRAMES = 4096;

export class RustProcessor extends AudioWorkletProcessor {
  /** Null after the close or a failure, so that nothing refers to the instance's memory. */
  private running: Running | null = null;

  /** Declares the most parameters that a processor can have: the processor is known only later. */
  static get parameterDescriptors(): object[] {
    return PROCESSOR_PARAMETERS.map((name) => ({ name, automationRate: 'k-rate' }));
  }

  constructor(options: { processorOptions: ProcessorOptions }) {
    super();
    this.port.onmessage = () => this.close();
    try {
      this.running = new Running(options.processorOptions);
    } catch (thrown) {
      this.report(`the processor could not be started: ${messageOf(thrown)}`);
    }
  }

  process(inputs: Float32Array[][], outputs: Float32Array[][], parameters: Record<string, Float32Array>): boolean {
    if (this.running === null) return false;
    try {
      this.running.quantum(inputs[0]!, outputs[0]!, parameters);
    } catch (thrown) {
      // The outputs are zeros unless written. An exception that leaves process() would not be reported.
      const message = this.running.explain(thrown);
      this.running = null;
      this.report(message);
    }
    return true;
  }

  private close(): void {
    const { running } = this;
    this.running = null;
    try {
      running?.close();
    } catch (thrown) {
      this.report(running!.explain(thrown));
    }
    this.port.postMessage({ ended: true } satisfies FromProcessor);
  }

  private report(fault: string): void {
    this.port.postMessage({ fault } satisfies FromProcessor);
  }
}

/** One processor, with an instance of its own while it is open. */
class Running {
  private readonly key: string;
  private readonly exports: ProcessorExports;
  private readonly processor: number;
  private readonly channels: number;
  /** Number of the declared parameters that the processor has. */
  private readonly used: number;
  /** The last value of each parameter that was passed to the processor; NaN before the first. */
  private readonly values: Float32Array;
  /** One view per channel of the block, on `buffer`. */
  private views: Float32Array[] = [];
  private buffer: ArrayBufferLike | null = null;
  private frames = 0;

  constructor({ module, key, channels }: ProcessorOptions) {
    this.key = key;
    this.exports = (takeInstance(key) ?? new WebAssembly.Instance(module, {}).exports) as unknown as ProcessorExports;
    this.channels = channels;
    try {
      this.processor = this.exports.processor_open(sampleRate, channels);
    } catch (thrown) {
      throw new Error(this.explain(thrown));
    }
    if (this.processor === 0) throw new Error(`it refused ${channels} channels at ${sampleRate} Hz`);
    this.used = this.exports.processor_parameters();
    this.values = new Float32Array(this.used).fill(Number.NaN);
  }

  quantum(input: Float32Array[], output: Float32Array[], parameters: Record<string, Float32Array>): void {
    const { exports, processor, values } = this;
    for (let i = 0; i < this.used; i++) {
      const value = parameters[PROCESSOR_PARAMETERS[i]!]![0]!;
      if (value !== values[i]) {
        values[i] = value;
        exports.processor_set(processor, i, value);
      }
    }
    const frames = output[0]!.length;
    for (let from = 0; from < frames; from += this.frames) this.block(input, output, from, Math.min(frames - from, MOST_FRAMES));
  }

  private block(input: Float32Array[], output: Float32Array[], from: number, frames: number): void {
    const { exports } = this;
    if (frames !== this.frames) this.resize(frames);
    // Any call may have grown the memory, which detaches its views.
    if (exports.memory.buffer !== this.buffer) this.view();
    for (let channel = 0; channel < this.channels; channel++) {
      if (channel < input.length) this.views[channel]!.set(part(input[channel]!, from, frames));
      else this.views[channel]!.fill(0);
    }
    exports.processor_process(this.processor);
    if (exports.memory.buffer !== this.buffer) this.view();
    for (let channel = 0; channel < output.length; channel++) part(output[channel]!, from, frames).set(this.views[channel]!);
  }

  /** Ends the processor; its instance is kept for another one. */
  close(): void {
    // A module of version 0.1.0 cannot close: its memory is freed when this thread's garbage is collected.
    if (!this.exports.processor_close) return;
    this.exports.processor_close(this.processor);
    keepInstance(this.key, this.exports as unknown as WebAssembly.Exports);
  }

  /** The message of the panic, if there was one. */
  explain(thrown: unknown): string {
    return faultMessage(thrown, this.exports, this.exports.memory);
  }

  /** Has the processor make a block of another length. */
  private resize(frames: number): void {
    if (this.exports.processor_resize(this.processor, frames) === 0) throw new Error(`the processor has no block of ${frames} frames`);
    this.frames = frames;
    this.buffer = null;
  }

  private view(): void {
    const { exports, processor, frames } = this;
    this.buffer = exports.memory.buffer;
    this.views = [];
    for (let channel = 0; channel < this.channels; channel++) {
      this.views.push(new Float32Array(this.buffer, exports.processor_channel(processor, channel), frames));
    }
  }
}

/** A part of a channel; the channel itself if it is all of it, because another array would be garbage. */
function part(samples: Float32Array, from: number, frames: number): Float32Array {
  return frames === samples.length ? samples : samples.subarray(from, from + frames);
}
