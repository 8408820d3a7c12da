import { WavepoolError } from '../shared/errors.ts';
import { openOutlet, type FeedOutlet } from './feed_outlet.ts';
import { ringBytes, type FeedFormat, type FeedTicket, type FromWriterControl, type ToWriterControl } from '../shared/feed_protocol.ts';
import { hold } from './join.ts';
import { NoSuchChannelError } from '../shared/refusal.ts';

/** A block to be written: `channelCount` × `frames` samples, -1 to 1 at full scale. What is not written is what was there before. */
export interface FeedBlock {
  readonly channelCount: number;
  readonly frames: number;
  /** Frame of the feed with which the block begins: the sum of what was written before. */
  readonly firstFrame: number;
  /**
   * Its samples, to be written until the next block is asked for. NaN and infinities are played as zeros.
   *
   * @throws {@link WavepoolError} `no-such-channel`; `stale-lease` when the block is on its way already.
   */
  channel(channel: number): Float32Array;
}

/** A writer that nobody can use any more has ended. */
const forgotten = new FinalizationRegistry<() => void>((end) => end());
/** A copied ticket would make a second writer of the same ring. */
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
  /** A loop writes at this moment. */
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
    // The page waits for the lock once it is held, and so learns when this thread dies. Where there are no locks it does not learn it.
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
   * Blocks to be written, each as soon as there is room; a block is on its way when the next one is asked for. The loop ends
   * when the feed is closed. Leave it to stop writing (the current block is then not played), and call {@link end} when there
   * is no more to come.
   *
   * @throws {@link WavepoolError} `closed` after {@link end} or the feed's `close`; `tap-taken` while another loop writes.
   */
  async *blocks(): AsyncGenerator<FeedBlock, void, undefined> {
    if (this.outlet.over) throw new WavepoolError('closed', 'This feed has ended. Open another one.');
    if (this.writing) throw new WavepoolError('tap-taken', 'Another loop writes this feed. Leave that one first.');
    this.writing = true;
    let block: Block | null = null;
    try {
      // Before the first block: the page learns of the death of a thread that has written anything.
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

  /** What was sent is still played; then the node falls silent, which is no underrun. Safe to call twice. */
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
  /** The samples are the worklet's from then on. */
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
