import { Block } from './block.ts';
import { WavepoolError } from './errors.ts';
import { instantiateBareLater, threadOf } from './instance.ts';
import type { FromConsumer, StreamConfig, TapTicket, ToConsumer } from './protocol.ts';
import type { ReaderExports } from './reader_exports.ts';
import { SharedWindows } from './shared_windows.ts';
import { TransferWindows } from './transfer_windows.ts';
import type { WindowSource } from './window_source.ts';

/** Reads a tap's windows on this thread, page or worker. It ends when the tap is closed. */
export class BlockReader {
  /** Hertz. */
  readonly sampleRate: number;
  readonly channelCount: number;
  /** Samples per channel and block. */
  readonly frames: number;
  /** Frames between the starts of two blocks. */
  readonly hop: number;
  private readonly source: WindowSource;
  /** The one block object that iterations and callbacks see. */
  private readonly current: Block;
  private reading = false;

  private constructor(source: WindowSource, config: StreamConfig) {
    this.sampleRate = config.sample_rate;
    this.channelCount = config.channels;
    this.frames = config.window;
    this.hop = config.hop;
    this.source = source;
    this.current = new Block(source, config.channels, config.window);
  }

  /** @internal Takes a ticket's windows over to this thread. */
  static async open({ config, lane, control }: TapTicket): Promise<BlockReader> {
    const say = (message: FromConsumer): void => control.postMessage(message);
    let source: WindowSource;
    if (lane.mode === 'shared') {
      const exports = await instantiateBareLater(lane.module, lane.memory);
      source = new SharedWindows(exports as unknown as ReaderExports, lane.reader, lane.memory, config.window);
      say({ kind: 'opened', thread: threadOf(exports) });
    } else {
      source = new TransferWindows(lane.windows, lane.host, lane.headerBytes, config.channels, config.window);
      say({ kind: 'opened', thread: null });
    }
    const reader = new BlockReader(source, config);
    control.onmessage = async (_: MessageEvent<ToConsumer>) => {
      await source.close();
      say({ kind: 'closed' });
    };
    return reader;
  }

  /**
   * The tap's windows as they come, until the tap is closed. Each block is valid until the next is asked for, unless kept.
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
   * Calls `read` with each window as it comes; settles when the tap is closed, or rejects with what `read` threw. The
   * block is valid until `read` returns, unless kept. Makes less garbage than {@link blocks}: none per block.
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
  }

  /** The next window becomes the current block; false when the tap is closed. */
  private async arrival(): Promise<boolean> {
    while (!this.source.closed) {
      this.current[Symbol.dispose]();
      const lease = this.source.take();
      if (lease !== 0) {
        this.current.begin(lease);
        return true;
      }
      await this.source.arrival();
    }
    return false;
  }

}
