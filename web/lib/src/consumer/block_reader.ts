import { Block } from './block.ts';
import { WavepoolError } from '../shared/errors.ts';
import { join } from './join.ts';
import type { Leave, StreamConfig, TapTicket } from '../shared/protocol.ts';
import type { ReaderExports } from '../generated/exports.ts';
import { SharedWindows } from './shared_windows.ts';
import { TransferWindows } from './transfer_windows.ts';
import type { WindowSource } from './window_source.ts';

/** Reads a tap's windows on this thread, the page or a worker, until the tap is closed. */
export class BlockReader {
  /** In Hz. */
  readonly sampleRate: number;
  readonly channelCount: number;
  /** Samples per channel and block. */
  readonly frames: number;
  /** Frames between the starts of two blocks. */
  readonly hop: number;
  private readonly source: WindowSource;
  /** The one block object that iterations and callbacks get. */
  private readonly current: Block;
  private reading = false;
  /** The loop waits for a window. */
  private waiting = false;
  /** Called when the loop begins to wait for a window, or has ended. */
  private idle: () => void = () => {};

  private constructor(source: WindowSource, config: StreamConfig) {
    this.sampleRate = config.sample_rate;
    this.channelCount = config.channels;
    this.frames = config.window;
    this.hop = config.hop;
    this.source = source;
    this.current = new Block(source, config.channels);
  }

  /** @internal Opens a ticket on this thread. */
  static open(ticket: TapTicket): Promise<BlockReader> {
    const { config, lane } = ticket;
    const shared = lane.mode === 'shared' ? lane : null;
    return join(ticket, shared && shared.wasm, shared ? shared.thread : 0, (exports) => {
      const source =
        lane.mode === 'shared'
          ? new SharedWindows(exports as unknown as ReaderExports, lane.reader, lane.wasm.memory, lane.wake)
          : new TransferWindows(lane.windows, lane.host, lane.headerBytes, config.channels, config.window);
      return new BlockReader(source, config);
    });
  }

  /** @internal */
  leave(how: Leave): Promise<void> {
    return this.source.leave(how);
  }

  /** @internal */
  async catchUp(windows: number): Promise<number> {
    const { source } = this;
    while (this.reading && !source.ended && ((windows - source.taken) | 0) > 0) {
      await new Promise<void>((resolve) => (this.idle = resolve));
    }
    // The last of them is being read; the loop releases it when it requests the next one.
    if (this.reading && !this.waiting) await new Promise<void>((resolve) => (this.idle = resolve));
    return source.released;
  }

  /** @internal */
  get held(): boolean {
    return this.source.held;
  }

  /**
   * The tap's windows, until the tap is closed. Each block is valid until the next one is requested, unless it was kept.
   *
   * @throws {@link WavepoolError} `tap-taken` while another loop reads this tap.
   */
  async *blocks(): AsyncGenerator<Block, void, undefined> {
    this.begin();
    try {
      while (await this.arrival()) yield this.current;
    } finally {
      this.finish();
    }
  }

  /**
   * Calls `read` with each window; settles when the tap is closed, or rejects with what `read` threw. The block is valid until `read`
   * returns, unless it was kept. Makes less garbage than {@link blocks}: none per block.
   *
   * @throws {@link WavepoolError} `tap-taken` while another loop reads this tap.
   */
  async forEach(read: (block: Block) => void): Promise<void> {
    this.begin();
    try {
      while (await this.arrival()) read(this.current);
    } finally {
      this.finish();
    }
  }

  private begin(): void {
    if (this.reading) throw new WavepoolError('tap-taken', 'Another loop reads this tap already. End it first, or open a second tap.');
    this.reading = true;
  }

  private finish(): void {
    this.reading = false;
    this.current[Symbol.dispose]();
    this.idle();
    // No loop reads the remaining windows.
    if (this.source.ended) void this.source.leave('leave');
  }

  /** Makes the next window the current block; returns false when the tap is closed. */
  private async arrival(): Promise<boolean> {
    while (!this.source.closed) {
      this.current[Symbol.dispose]();
      const lease = this.source.take();
      if (lease !== 0) {
        this.current.begin(lease);
        return true;
      }
      if (this.source.ended) return false;
      this.waiting = true;
      this.idle();
      await this.source.arrival();
      this.waiting = false;
    }
    return false;
  }
}
