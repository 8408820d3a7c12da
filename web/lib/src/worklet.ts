/**
 * The audio side: copies each quantum into the open windows' buffers, once, and hands finished windows on.
 * `process` makes no garbage: no closure, no iterator, no new view; numbers go straight to the instance's exports.
 * In transfer mode a finished window costs a view and a message: see `BlockSender`.
 */
import { faultMessage, instantiateBare } from './instance.ts';
import { SPAN_FIELDS, TAP_PROCESSOR, type FromTap, type TapOptions, type ToTap } from './protocol.ts';
import { BlockSender } from './block_sender.ts';
import type { TapExports } from './tap_exports.ts';
import { FEED_PROCESSOR } from './feed_protocol.ts';
import { FeedProcessor } from './feed_worklet.ts';
import { PROCESSOR } from './processor_protocol.ts';
import { RustProcessor } from './processor_worklet.ts';

/** Made on this side of the boundary: the two views of the whole memory. */
const VIEWS = 2;

class TapProcessor extends AudioWorkletProcessor {
  private readonly exports: TapExports;
  private readonly tap: number;
  private readonly memory: WebAssembly.Memory;
  /** The whole memory, twice: it never grows here, so these views last, and no others are needed. */
  private readonly floats: Float32Array;
  private readonly words: Uint32Array;
  private readonly mostFrames: number;
  private readonly flush: boolean;
  private sender: BlockSender | null = null;
  private alive = true;
  private faulted = false;

  constructor(options: { processorOptions: TapOptions }) {
    super();
    const { module, memory, stream, number, thread, config } = options.processorOptions;
    this.exports = instantiateBare(module, memory, thread) as unknown as TapExports;
    this.memory = memory ?? this.exports.memory;
    this.tap = memory
      ? number
      : this.exports.tap_open(stream, config.sample_rate, config.channels, config.window, config.hop);
    if (this.tap === 0) throw new Error('the stream could not be opened inside the worklet');
    this.floats = new Float32Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
    this.exports.tap_objects(this.tap, VIEWS, 0, 0);
    this.mostFrames = this.exports.tap_most_frames();
    this.flush = config.flush;
    this.port.onmessage = (event: MessageEvent<ToTap>) => {
      if (event.data.kind === 'blocks') {
        this.sender = new BlockSender(this.exports, this.tap, this.memory, config, event.data.ports);
        // Windows may have come before the blocks to send them in.
        this.sender.send();
      } else if (event.data.kind === 'report') {
        this.report();
      } else {
        this.close();
      }
    };
    this.say({ kind: 'ready' });
  }

  process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    if (!this.alive) return false;
    if (this.faulted) return true;
    try {
      this.quantum(inputs[0]!, outputs[0]![0]!.length);
    } catch (thrown) {
      // A throw out of process() would silence this node for ever and tell nobody.
      this.fault(thrown);
    }
    return true;
  }

  /** The instance is not called again. */
  private fault(thrown: unknown): void {
    this.faulted = true;
    this.say({ kind: 'fault', message: faultMessage(thrown, this.exports, this.memory) });
  }

  private quantum(input: Float32Array[], frames: number): void {
    const exports = this.exports;
    // A memory that grew has taken its views along, or left them looking at less than all of it.
    if (this.floats.byteLength !== this.memory.buffer.byteLength) throw new Error('the audio memory has grown');
    if (input.length === 0) {
      if (exports.tap_silence(this.tap, frames) < 0) throw notOpen();
      if (this.sender !== null) this.sender.send();
      return;
    }
    // A quantum can be longer than what one plan covers: then it takes several, each of which may complete windows.
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

  /** For a context that is suspended until what it has rendered was read. */
  private report(): void {
    const windows = this.faulted ? 0 : this.exports.tap_windows(this.tap);
    this.say({ kind: 'progress', windows, out: this.sender?.out ?? 0 });
  }

  private close(): void {
    this.alive = false;
    try {
      if (!this.faulted) {
        if (this.flush) this.exports.tap_flush(this.tap);
        this.sender?.finish();
      }
    } catch (thrown) {
      this.fault(thrown);
    }
    this.sender?.close();
    this.exports.tap_leave(this.tap);
    this.say({ kind: 'closed' });
  }

  private say(message: FromTap): void {
    this.port.postMessage(message);
  }
}

function notOpen(): Error {
  return new Error('the stream is not open any more');
}

/** A whole quantum goes in one call; a part of one sample by sample, because `subarray` would make garbage. */
function copy(from: Float32Array, start: number, count: number, to: Float32Array, at: number): void {
  if (count === from.length) to.set(from, at);
  else for (let i = 0; i < count; i++) to[at + i] = from[start + i]!;
}

/** A name that is taken already is this build's, loaded from another address: names carry the build. */
function register(name: string, processor: Parameters<typeof registerProcessor>[1]): void {
  try {
    registerProcessor(name, processor);
  } catch (thrown) {
    if ((thrown as { name?: unknown }).name !== 'NotSupportedError') throw thrown;
  }
}

register(TAP_PROCESSOR, TapProcessor);
register(PROCESSOR, RustProcessor);
register(FEED_PROCESSOR, FeedProcessor);
