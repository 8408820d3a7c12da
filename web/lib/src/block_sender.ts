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
  /** Per slot a view of exactly one window. */
  private readonly windows: Float32Array[] = [];
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
    const slots = exports.tap_slots(tap);
    for (let slot = 0; slot < slots; slot++) {
      const samples = Math.min(exports.tap_slot_samples(tap, slot), config.window);
      this.windows.push(new Float32Array(memory.buffer, exports.tap_slot_address(tap, slot), samples));
    }
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
      this.exports.tap_write_header(this.tap);
      const floats = new Float32Array(block);
      floats.set(this.header);
      for (let channel = 0; channel < this.config.channels; channel++) {
        const slot = this.exports.tap_window_slot(this.tap, channel);
        floats.set(this.windows[slot]!, this.headerFloats + channel * this.config.window);
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
    this.exports.tap_write_header(this.tap);
    this.port.postMessage(this.header.slice().buffer);
  }
}
