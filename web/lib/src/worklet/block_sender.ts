import { KeptViews } from '../shared/kept_views.ts';
import { blocksInFlight, type BlockPorts, type StreamConfig } from '../shared/protocol.ts';
import type { TapExports } from '../generated/exports.ts';

/** Views that are kept: one of the header, two of the whole memory. */
const KEPT_VIEWS = 3;

/**
 * Transfer mode: complete windows are sent in a fixed set of `ArrayBuffer`s, which are returned and reused. While all of them are in
 * transit, windows are skipped and counted; the audio thread never waits. `afterMessage` is called after each message with blocks.
 */
export class BlockSender {
  private readonly exports: TapExports;
  private readonly tap: number;
  private readonly config: StreamConfig;
  private readonly ports: BlockPorts;
  /** The first `idle` of these are free. The array's length stays the same, so that sending and returning make no garbage. */
  private readonly blocks: ArrayBuffer[];
  private idle = 0;
  private readonly headerFloats: number;
  private readonly header: Float32Array;
  private readonly windows: KeptViews;
  /** A block without samples, which carries the counts of skipped windows; `null` while it is in transit. */
  private counts: ArrayBuffer | null;
  /** Blocks that were sent, each with a view and a message, and blocks that were returned, each a new object. */
  private sent = 0;
  private arrived = 0;
  /** Reused, so that sending makes no array. */
  private readonly transfer: ArrayBuffer[] = [];

  constructor(
    exports: TapExports,
    tap: number,
    memory: WebAssembly.Memory,
    config: StreamConfig,
    ports: BlockPorts,
    afterMessage: () => void,
  ) {
    this.exports = exports;
    this.tap = tap;
    this.config = config;
    this.ports = ports;
    const headerBytes = exports.tap_header_bytes();
    this.headerFloats = headerBytes / 4;
    this.header = new Float32Array(memory.buffer, exports.tap_header(tap), this.headerFloats);
    this.windows = new KeptViews(memory);
    this.counts = new ArrayBuffer(headerBytes);
    this.idle = blocksInFlight(config);
    const bytes = headerBytes + config.channels * config.window * 4;
    this.blocks = Array.from({ length: this.idle }, () => new ArrayBuffer(bytes));
    ports.counts.onmessage = ({ data: returned }: MessageEvent<ArrayBuffer[]>) => {
      for (let i = 0; i < returned.length; i++) {
        const block = returned[i]!;
        this.arrived += 1;
        if (block.byteLength === headerBytes) this.counts = block;
        else this.blocks[this.idle++] = block;
      }
      afterMessage();
    };
  }

  /** Number of blocks with samples that are in transit. */
  get out(): number {
    return this.blocks.length - this.idle;
  }

  /** Sends every complete window. */
  send(): void {
    while (this.exports.tap_take(this.tap) !== 0) {
      if (this.idle === 0) this.skip();
      else this.sendWindow(this.blocks[--this.idle]!);
    }
  }

  /** Sends the remaining windows, then a header alone, with the final counts. Not to be called after a trap. */
  finish(): void {
    this.exports.tap_close(this.tap);
    this.send();
    this.writeHeader();
    this.ports.counts.postMessage(this.header.slice().buffer);
  }

  /** Sends the final messages. Blocks that are returned later are ignored, so that nothing refers to the instance. */
  close(): void {
    this.ports.counts.onmessage = null;
    this.ports.counts.postMessage(null);
    if (this.ports.windows !== this.ports.counts) this.ports.windows.postMessage(null);
  }

  private sendWindow(block: ArrayBuffer): void {
    this.writeHeader();
    const floats = this.fill(block);
    for (let channel = 0; channel < this.config.channels; channel++) {
      const address = this.exports.tap_window_address(this.tap, channel);
      floats.set(this.windows.at(address, this.config.window), this.headerFloats + channel * this.config.window);
    }
    this.exports.tap_give_back(this.tap, 1);
    this.post(block, this.ports.windows);
  }

  /** Skips a window, because all blocks are in transit, and reports that. */
  private skip(): void {
    this.exports.tap_give_back(this.tap, 0);
    if (this.counts === null) return;
    this.writeHeader();
    this.fill(this.counts);
    this.post(this.counts, this.ports.counts);
    this.counts = null;
  }

  private fill(block: ArrayBuffer): Float32Array {
    const floats = new Float32Array(block);
    floats.set(this.header);
    return floats;
  }

  private post(block: ArrayBuffer, port: MessagePort): void {
    this.sent += 1;
    this.transfer[0] = block;
    port.postMessage(block, this.transfer);
  }

  private writeHeader(): void {
    this.exports.tap_objects(this.tap, KEPT_VIEWS + this.windows.made + this.sent, this.sent, this.arrived);
    this.exports.tap_write_header(this.tap, Date.now());
  }
}
