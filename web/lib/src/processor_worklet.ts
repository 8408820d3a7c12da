/** The audio side of a processor written in Rust: `wavepool::export_processor!` made the module that runs here. */
import { messageOf } from './errors.ts';
import { panicNote } from './instance.ts';
import { PROCESSOR_PARAMETERS, type FromProcessor, type ProcessorExports, type ProcessorOptions } from './processor_protocol.ts';

export class RustProcessor extends AudioWorkletProcessor {
  private readonly exports: ProcessorExports;
  private readonly processor: number;
  private readonly channels: number;
  /** How many of the declared parameters are the processor's. */
  private readonly used: number;
  /** What the processor was last told of each; it begins with its own defaults. */
  private readonly values: Float32Array;
  /** One view per channel of the block: the memory does not grow here, and a block stays where it is. */
  private views: Float32Array[] = [];
  private frames = 0;
  private alive = true;
  private faulted = false;

  /** Ordinary parameters, automation and all. Which of them a processor has is known only when it is made. */
  static get parameterDescriptors(): object[] {
    return PROCESSOR_PARAMETERS.map((name) => ({ name, automationRate: 'k-rate' }));
  }

  constructor(options: { processorOptions: ProcessorOptions }) {
    super();
    const { module, channels } = options.processorOptions;
    this.exports = new WebAssembly.Instance(module, {}).exports as unknown as ProcessorExports;
    this.channels = channels;
    this.processor = this.exports.processor_open(sampleRate, channels);
    if (this.processor === 0) throw new Error('the processor could not be opened');
    this.used = this.exports.processor_parameters();
    this.values = new Float32Array(this.used).fill(Number.NaN);
    this.port.onmessage = () => (this.alive = false);
  }

  process(inputs: Float32Array[][], outputs: Float32Array[][], parameters: Record<string, Float32Array>): boolean {
    if (!this.alive) return false;
    if (this.faulted) return true;
    try {
      this.quantum(inputs[0]!, outputs[0]!, parameters);
    } catch (thrown) {
      // The outputs are silence unless written. A throw out of process() would tell nobody.
      this.faulted = true;
      this.port.postMessage({ fault: panicNote(this.exports, this.exports.memory) ?? messageOf(thrown) } satisfies FromProcessor);
    }
    return true;
  }

  private quantum(input: Float32Array[], output: Float32Array[], parameters: Record<string, Float32Array>): void {
    const frames = output[0]!.length;
    if (frames !== this.frames) this.resize(frames);
    const { exports, processor, views, values } = this;
    for (let i = 0; i < this.used; i++) {
      const value = parameters[PROCESSOR_PARAMETERS[i]!]![0]!;
      if (value !== values[i]) {
        values[i] = value;
        exports.processor_set(processor, i, value);
      }
    }
    for (let channel = 0; channel < views.length; channel++) {
      if (channel < input.length) views[channel]!.set(input[channel]!);
      else views[channel]!.fill(0);
    }
    exports.processor_process(processor);
    for (let channel = 0; channel < output.length; channel++) output[channel]!.set(views[channel]!);
  }

  /** The quantum has another length than the last: another block, other views. */
  private resize(frames: number): void {
    const { exports, processor } = this;
    if (exports.processor_resize(processor, frames) === 0) throw new Error(`the processor has no block of ${frames} frames`);
    this.frames = frames;
    this.views = [];
    for (let channel = 0; channel < this.channels; channel++) {
      this.views.push(new Float32Array(exports.memory.buffer, exports.processor_channel(processor, channel), frames));
    }
  }
}
