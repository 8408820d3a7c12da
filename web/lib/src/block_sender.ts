import { BLOCKS_IN_FLIGHT, type StreamConfig } from './protocol.ts';
import type { TapExports } from './tap_exports.ts';

/**
 * Transfer mode: finished windows leave in a fixed set of `ArrayBuffer`s that come back and are used again.
 * When all of them are out, the window is skipped and counted; audio never waits.
 */
export class BlockSender {
  private readonly exports: TapExports;
  private readonly tap: number;
  private readonly config: StreamConfig;
  private readonly port: MessagePort;
  private readonly free: ArrayBuffer[] = [];
  private readonly headerFloats: number;
  private readonly header: Float32Array;
  private readonly memory: WebAssembly.Memory;
  /** One view per buffer, exactly a window long, by address: there are no more than the pool has buffers. */
  private readonly windows = new Map<number, Float32Array>();
  /** Objects made so far: the header's view, the whole memory's two, and what each send makes. */
  private objects = 3;
  /** Kept, so that a send makes no array of its own. */
  private readonly transfer: ArrayBuffer[] = [];

  constructor(
    exports: TapExports,
    tap: number,
    memory: WebAssembly.Memory,
    config: StreamConfig,
    port: MessagePort,
  ) {
    this.exports = exports;
    this.tap = tap;
    this.config = config;
    this.port = port;
    const headerBytes = exports.tap_header_bytes();
    this.headerFloats = headerBytes / 4;
    this.header = new Float32Array(memory.buffer, exports.tap_header(tap), this.headerFloats);
    this.memory = memory;
    for (let i = 0; i < BLOCKS_IN_FLIGHT; i++) {
      this.free.push(new ArrayBuffer(headerBytes + config.channels * config.window * 4));
    }
    port.onmessage = (event: MessageEvent<ArrayBuffer>) => this.free.push(event.data);
  }

  /** Sends every finished window. */
  send(): void {
    while (this.exports.tap_take(this.tap) !== 0) {
      const block = this.free.pop();
      if (block === undefined) {
        this.exports.tap_give_back(this.tap, 0);
        continue;
      }
      // This view, and the message.
      this.objects += 2;
      this.writeHeader();
      const floats = new Float32Array(block);
      floats.set(this.header);
      for (let channel = 0; channel < this.config.channels; channel++) {
        floats.set(this.window(channel), this.headerFloats + channel * this.config.window);
      }
      this.exports.tap_give_back(this.tap, 1);
      this.transfer[0] = block;
      this.port.postMessage(block, this.transfer);
    }
  }

  /** The last block is a header alone: the final counts, and the end of the stream. */
  close(): void {
    this.exports.tap_close(this.tap);
    this.send();
    this.writeHeader();
    this.port.postMessage(this.header.slice().buffer);
  }

  private writeHeader(): void {
    this.exports.tap_objects(this.tap, this.objects);
    this.exports.tap_write_header(this.tap, Date.now());
  }

  private window(channel: number): Float32Array {
    const address = this.exports.tap_window_address(this.tap, channel);
    let view = this.windows.get(address);
    if (view === undefined) {
      view = new Float32Array(this.memory.buffer, address, this.config.window);
      this.windows.set(address, view);
      this.objects += 1;
    }
    return view;
  }
}
