import { WavepoolError } from '../shared/errors.ts';
import { openOutlet, type FeedOutlet } from './feed_outlet.ts';
import { ringBytes, type FeedFormat, type FeedTicket, type FromWriterControl, type ToWriterControl } from '../shared/feed_protocol.ts';
import { hold } from './join.ts';
import { NoSuchChannelError } from '../shared/refusal.ts';

/** A block to be written: `channelCount` × `frames` samples, -1 to 1 at full scale. Samples that are not written keep earlier values. */
export interface FeedBlock {
  readonly channelCount: number;
  readonly frames: number;
  /** Frame of the feed with which the block begins: the number of frames that were written before. */
  readonly firstFrame: number;
  /**
   * The samples of a channel, to be written until the next block is requested. NaN and infinities are played as zeros.
   *
   * @throws {@link WavepoolError} `no-such-channel`; `stale-lease` after the block was sent.
   */
  channel(channel: number): Float32Array;
}

/** Ends feeds whose writer was collected as garbage. */
const forgotten = new FinalizationRegistry<() => void>((end) => end());
/** Tickets that were opened: a second writer of the same ring would overwrite the first one's blocks. */
const opened = new WeakSet<FeedTicket>();

/** Writes a feed on this thread, page or worker. */
export class FeedWriter {
  readonly format: FeedFormat;
  private readonly outlet: FeedOutlet;
  /** Does not refer to the writer. */
  private readonly finish: () => void;
  /** Settles when the page knows that this thread writes. */
  private readonly ready: Promise<unknown>;
  private written = 0;
  /** A loop is running. */
  private writing = false;

  private constructor(format: FeedFormat, outlet: FeedOutlet, finish: () => void, ready: Promise<unknown>) {
    this.format = format;
    this.outlet = outlet;
    this.finish = finish;
    this.ready = ready;
    forgotten.register(this, finish);
  }

  /** On the thread that opened the feed. @internal */
  static here(format: FeedFormat, outlet: FeedOutlet): FeedWriter {
    return new FeedWriter(format, outlet, () => outlet.end(), Promise.resolve());
  }

  /** On the thread that the feed was handed over to. @internal */
  static open(ticket: FeedTicket): FeedWriter {
    if (!isTicket(ticket)) {
      throw new WavepoolError('bad-option', 'Invalid feed ticket: pass what `feed.handOver()` returned, posted together with its ports.');
    }
    if (opened.has(ticket)) throw new WavepoolError('tap-taken', 'This feed ticket was opened before. Write with the first writer.');
    opened.add(ticket);
    const { format, lane, lock, control } = ticket;
    const outlet = openOutlet(lane, format);
    const say = (message: FromWriterControl): void => control.postMessage(message);
    // The page requests the same lock afterwards, and gets it when this thread dies. Without Web Locks the page does not notice that.
    const holding = hold(lock).then(
      (releaseLock) => {
        say('opened');
        return releaseLock;
      },
      () => {
        say('unwatched');
        return () => {};
      },
    );
    control.onmessage = (_: MessageEvent<ToWriterControl>) => {
      outlet.close();
      control.close();
      void holding.then((releaseLock) => releaseLock());
    };
    const finish = (): void => {
      outlet.end();
      say('ended');
    };
    return new FeedWriter(format, outlet, finish, holding);
  }

  /** Times that the writer was late. */
  get underruns(): number {
    return this.outlet.state().underruns;
  }

  /** Live feeds: frames that were dropped because they came later than the latency. */
  get lateFrames(): number {
    return this.outlet.state().lateFrames;
  }

  /** Frames written and not played yet, in whole blocks. */
  get bufferedFrames(): number {
    return this.outlet.state().bufferedFrames;
  }

  /**
   * Blocks to be written, each as soon as one is free; a block is sent when the next one is requested. The loop ends when the feed is
   * closed. Leave it to stop writing (the current block is then not played), and call {@link end} after the last block.
   *
   * @throws {@link WavepoolError} `closed` after {@link end} or the feed's `close`; `tap-taken` while another loop writes.
   */
  async *blocks(): AsyncGenerator<FeedBlock, void, undefined> {
    if (this.outlet.over) throw new WavepoolError('closed', 'This feed has ended. Open another one.');
    if (this.writing) throw new WavepoolError('tap-taken', 'Another loop writes this feed. Leave that one first.');
    this.writing = true;
    let block: Block | null = null;
    try {
      // From the first block on, the page must notice when this thread dies.
      await this.ready;
      while (!this.outlet.over) {
        const channels = this.outlet.free();
        if (channels === null) {
          await this.outlet.arrival();
          continue;
        }
        block = new Block(channels, this.format.frames, this.written);
        yield block;
        block.sent = true;
        if (this.outlet.over) return;
        this.written += this.format.frames;
        this.outlet.send();
      }
    } finally {
      if (block !== null) block.sent = true;
      this.writing = false;
    }
  }

  /** Ends the feed: blocks that were sent are still played, then the node is silent, which is no underrun. Safe to call twice. */
  end(): void {
    if (!this.outlet.over) this.finish();
  }
}

function isTicket(given: FeedTicket | null | undefined): boolean {
  if (!(given?.control instanceof MessagePort)) return false;
  const { lane, format } = given;
  return lane.mode === 'shared' ? lane.ring.byteLength === ringBytes(format) : lane.port instanceof MessagePort;
}

class Block implements FeedBlock {
  /** The samples belong to the worklet then. */
  sent = false;
  readonly channelCount: number;
  readonly frames: number;
  readonly firstFrame: number;
  private readonly channels: readonly Float32Array[];

  constructor(channels: readonly Float32Array[], frames: number, firstFrame: number) {
    this.channels = channels;
    this.channelCount = channels.length;
    this.frames = frames;
    this.firstFrame = firstFrame;
  }

  channel(channel: number): Float32Array {
    if (this.sent) throw new WavepoolError('stale-lease', 'This block of a feed was sent. Write each block before asking for the next.');
    const samples = Number.isInteger(channel) ? this.channels[channel] : undefined;
    if (samples === undefined) throw new NoSuchChannelError(channel, this.channelCount);
    return samples;
  }
}
