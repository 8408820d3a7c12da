/**
 * The processor of a tap or a tuner: copies each quantum into the buffers of the open windows, once, and delivers complete windows.
 * `process` makes no garbage: no closure, no iterator, no new view; it passes numbers to the instance's exports.
 * In transfer mode a complete window costs a view and a message: see `BlockSender`.
 */
import { BlockSender } from './block_sender.ts';
import { keepInstance, takeInstance } from './idle_instances.ts';
import { faultMessage, instantiateBare } from '../shared/instance.ts';
import { SPAN_FIELDS, type BlockPorts, type FromTap, type Progress, type StreamConfig, type TapOptions, type ToTap } from '../shared/protocol.ts';
import type { TapExports } from '../generated/exports.ts';

/** Views that this side makes: two of the whole memory. */
const VIEWS = 2;

export class TapProcessor extends AudioWorkletProcessor {
  /** Null after the close, so that nothing refers to the instance's memory. */
  private running: RunningTap | null;
  /** The instance has failed and is not called again. */
  private faulted = false;

  constructor(options: { processorOptions: TapOptions }) {
    super();
    this.running = new RunningTap(options.processorOptions);
    this.port.onmessage = ({ data }: MessageEvent<ToTap>) => {
      if (this.running === null) return;
      if (data.kind === 'blocks') {
        const running = this.running;
        if (!this.faulted) running.startSending(data.ports, () => this.step(running));
      } else if (data.kind === 'report') {
        // For an offline context that is suspended until its windows were read.
        this.say({ kind: 'progress', ...this.running.progress(this.faulted) });
      } else {
        this.close(this.running);
      }
    };
    this.say({ kind: 'ready' });
  }

  process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    if (this.running === null) return false;
    if (this.faulted) return true;
    try {
      this.running.quantum(inputs[0]!, outputs[0]![0]!.length);
    } catch (thrown) {
      // An exception that leaves process() would make this node silent for ever, without a message.
      this.fault(this.running, thrown);
    }
    return true;
  }

  /** Transfer mode: one bounded control step of the worklet's pool, between quanta. */
  private step(running: RunningTap): void {
    if (this.running !== running || this.faulted) return;
    try {
      running.step();
    } catch (thrown) {
      this.fault(running, thrown);
    }
  }

  private fault(running: RunningTap, thrown: unknown): void {
    this.faulted = true;
    this.say({ kind: 'fault', message: running.explain(thrown) });
  }

  private close(running: RunningTap): void {
    this.running = null;
    try {
      if (!this.faulted) running.finish();
    } catch (thrown) {
      this.fault(running, thrown);
    }
    running.close(this.faulted);
    this.say({ kind: 'closed' });
  }

  private say(message: FromTap): void {
    this.port.postMessage(message);
  }
}

/** One tap in an instance: on the shared memory, or with a memory of its own while the tap is open. */
class RunningTap {
  private readonly exports: TapExports;
  private readonly tap: number;
  private readonly memory: WebAssembly.Memory;
  /** Transfer mode: the key under which the instance is kept. */
  private readonly key: string | null;
  private readonly config: StreamConfig;
  /** Two views of the whole memory, which does not grow while the tap is open, so that they stay valid. */
  private readonly floats: Float32Array;
  private readonly words: Uint32Array;
  private readonly mostFrames: number;
  private sender: BlockSender | null = null;

  constructor({ module, memory, key, stream, number, thread, config }: TapOptions) {
    const kept = memory ? undefined : takeInstance(key);
    this.exports = (kept ?? instantiateBare(module, memory, thread)) as unknown as TapExports;
    this.memory = memory ?? this.exports.memory;
    this.key = memory ? null : key;
    this.config = config;
    this.tap = memory
      ? number
      : this.exports.tap_open(stream, config.sample_rate, config.channels, config.window, config.hop);
    if (this.tap === 0) throw new Error('the stream could not be opened inside the worklet');
    this.floats = new Float32Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.exports.tap_objects(this.tap, VIEWS, 0, 0);
    this.mostFrames = this.exports.tap_most_frames();
  }

  startSending(ports: BlockPorts, afterMessage: () => void): void {
    this.sender = new BlockSender(this.exports, this.tap, this.memory, this.config, ports, afterMessage);
    // Windows may have been completed before the blocks were there.
    this.sender.send();
  }

  quantum(input: Float32Array[], frames: number): void {
    const exports = this.exports;
    // Growth detaches the views, or leaves them shorter than the memory.
    if (this.floats.byteLength !== this.memory.buffer.byteLength) throw new Error('the audio memory has grown');
    if (input.length === 0) {
      if (exports.tap_silence(this.tap, frames) < 0) throw notOpen();
      if (this.sender !== null) this.sender.send();
      return;
    }
    // A quantum can be longer than one plan covers. Then it needs several plans, each of which may complete windows.
    for (let from = 0; from < frames; from += this.mostFrames) {
      const count = exports.tap_begin(this.tap, frames, from);
      if (count < 0) throw notOpen();
      const words = this.words;
      for (let i = 0, at = exports.tap_spans(this.tap) / 4; i < count; i++, at += SPAN_FIELDS) {
        copy(input[words[at]!]!, words[at + 3]!, words[at + 4]!, this.floats, words[at + 5]! / 4);
      }
      if (exports.tap_commit(this.tap) < 0) throw notOpen();
      if (this.sender !== null) this.sender.send();
    }
  }

  step(): void {
    this.exports.tap_step(this.tap);
  }

  progress(faulted: boolean): Progress {
    return { windows: faulted ? 0 : this.exports.tap_windows(this.tap), out: this.sender?.out ?? 0 };
  }

  /** Delivers the remaining windows and the final counts. */
  finish(): void {
    if (this.config.flush) this.exports.tap_flush(this.tap);
    this.sender?.finish();
  }

  /** Leaves or frees the tap. An instance that has failed is neither called nor reused. */
  close(faulted: boolean): void {
    this.sender?.close();
    if (faulted) return;
    if (this.key === null) this.exports.tap_leave(this.tap);
    else if (this.exports.tap_free(this.tap) !== 0) keepInstance(this.key, this.exports as unknown as WebAssembly.Exports);
  }

  /** The message of the panic, if there was one. */
  explain(thrown: unknown): string {
    return faultMessage(thrown, this.exports, this.memory);
  }
}

function notOpen(): Error {
  return new Error('the stream is not open any more');
}

/** Copies a whole quantum by one call, and a part of one sample by sample, because `subarray` would make garbage. */
function copy(from: Float32Array, start: number, count: number, to: Float32Array, at: number): void {
  if (count === from.length) to.set(from, at);
  else for (let i = 0; i < count; i++) to[at + i] = from[start + i]!;
}
