import type { FeedNode } from './feed_node.ts';
import type { FeedTicket } from '../shared/feed_protocol.ts';
import { FeedWriter, type FeedBlock } from '../consumer/feed_writer.ts';

/** Closes feeds that were collected as garbage, after they have played what was written. */
const forgotten = new FinalizationRegistry<FeedNode>((node) => node.forget());

/**
 * Plays samples that this page, or a worker with the feed's ticket, writes: {@link node} is their source.
 *
 * When the writer is late, the last sample fades out within 64 frames, and the next block fades in: an underrun is a gap without a click,
 * and is counted. (A step to zero would click; a repeated sample alone would be a constant offset.)
 *
 * A feed is closed when its context is closed, and when the worker that writes it dies: see {@link onFault}.
 *
 * @example
 * ```ts
 * const feed = await wavepool.feed(context, { channels: 1, frames: 512 });
 * feed.node.connect(context.destination);
 * for await (const block of feed.blocks()) {
 *   const samples = block.channel(0);
 *   for (let i = 0; i < block.frames; i++) samples[i] = Math.sin((block.firstFrame + i) / 20);
 * }
 * ```
 */
export class Feed {
  /** The source of the sound: connect it to a destination. */
  readonly node: AudioWorkletNode;
  /** Settles when everything was played after the writer's `end`, or the feed was closed. */
  readonly ended: Promise<void>;
  /** Settles when the feed was closed. */
  readonly closed: Promise<void>;
  private readonly inner: FeedNode;
  private writer: FeedWriter | null = null;

  /** @internal */
  constructor(inner: FeedNode) {
    this.inner = inner;
    this.node = inner.node;
    this.ended = inner.ended;
    this.closed = inner.closed;
    forgotten.register(this, inner);
  }

  /** How often the writer was late. */
  get underruns(): number {
    return this.inner.figures.underruns;
  }

  /** Live feeds: frames that were dropped because they arrived after the latency. */
  get lateFrames(): number {
    return this.inner.figures.lateFrames;
  }

  /** Frames written and not played yet. In transfer mode, if another thread writes, the number is up to a quarter of a second old. */
  get bufferedFrames(): number {
    return this.inner.figures.bufferedFrames;
  }

  /** The latency that the feed keeps, in frames: the requested one, rounded up to whole blocks. */
  get latencyFrames(): number {
    return this.inner.format.latencyFrames;
  }

  /** Called at each underrun with their number. */
  get onUnderrun(): (underruns: number) => void {
    return this.inner.onUnderrun;
  }

  set onUnderrun(callback: (underruns: number) => void) {
    this.inner.onUnderrun = callback;
  }

  /**
   * Called when the feed ends for another reason than `end` or `close`: its context was closed, its writer's worker died, or its ticket
   * was not opened in time.
   */
  set onFault(callback: (message: string) => void) {
    this.inner.onFault = callback;
  }

  /**
   * Blocks to be written on this thread: see {@link FeedWriter.blocks}.
   *
   * @example
   * ```ts
   * for await (const block of feed.blocks()) {
   *   block.channel(0).fill(0.1);
   *   if (block.firstFrame > 48_000) feed.end();
   * }
   * ```
   * @throws {@link WavepoolError} `tap-taken` when the feed was handed over; `closed`.
   */
  blocks(): AsyncGenerator<FeedBlock, void, undefined> {
    return this.here().blocks();
  }

  /**
   * Ends the feed: blocks that were sent on this thread are still played. Safe to call twice.
   *
   * @example
   * ```ts
   * feed.end();
   * ```
   */
  end(): void {
    if (!this.inner.isClosed) this.here().end();
  }

  /**
   * Lets another thread write, permanently. Post the ticket with its ports, and pass it to `openFeed` there, within ten seconds: after
   * that the feed is closed and `onFault` called, because the thread may have died.
   *
   * @example
   * ```ts
   * const ticket = feed.handOver();
   * worker.postMessage(ticket, ticket.ports);
   * ```
   * @throws {@link WavepoolError} `tap-taken` when it is written here, or was handed over before; `closed`.
   */
  handOver(): FeedTicket {
    return this.inner.handOver();
  }

  /**
   * Disconnects the node and ends its processor; loops that write end, on every thread. Safe to call twice.
   *
   * @example
   * ```ts
   * feed.close();
   * ```
   */
  close(): void {
    this.inner.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private here(): FeedWriter {
    this.writer ??= FeedWriter.here(this.inner.format, this.inner.openOutlet());
    return this.writer;
  }
}
