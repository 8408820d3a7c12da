import type { FeedNode } from './feed_node.ts';
import type { FeedTicket } from '../shared/feed_protocol.ts';
import { FeedWriter, type FeedBlock } from '../consumer/feed_writer.ts';

/** A feed that nobody can reach any more is closed when it has played what was written. */
const forgotten = new FinalizationRegistry<FeedNode>((node) => node.forget());

/**
 * The way back: samples that this page, or a worker that the feed is handed over to, writes are what {@link node} plays.
 *
 * When the writer is late the last sample fades out within 64 frames, and what comes after fades in: an underrun is a gap,
 * never a click, and is counted. (Silence alone would click; a held sample alone would be a constant pressure.)
 *
 * A feed ends by itself when its context is closed, and when the worker that writes it dies: see {@link onFault}.
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
  /** Connect it to its destination. */
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

  /** Times that the writer was late. */
  get underruns(): number {
    return this.inner.figures.underruns;
  }

  /** Live feeds: frames that were dropped because they came later than the latency. */
  get lateFrames(): number {
    return this.inner.figures.lateFrames;
  }

  /** Frames written and not played yet. In transfer mode, if another thread writes, as of a quarter of a second ago. */
  get bufferedFrames(): number {
    return this.inner.figures.bufferedFrames;
  }

  /** The latency that the feed keeps, in frames: what was asked for in whole blocks. */
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
   * Called when the feed ends for another reason than `end` or `close`: its context was closed, its writer's worker died, nobody
   * opened its ticket.
   */
  set onFault(callback: (message: string) => void) {
    this.inner.onFault = callback;
  }

  /**
   * Blocks to be written on this thread: see {@link FeedWriter.blocks}.
   *
   * @throws {@link WavepoolError} `tap-taken` when the feed was handed over; `closed`.
   */
  blocks(): AsyncGenerator<FeedBlock, void, undefined> {
    return this.here().blocks();
  }

  /** No more will be written on this thread; what was sent is still played. Safe to call twice. */
  end(): void {
    if (!this.inner.isClosed) this.here().end();
  }

  /**
   * Has another thread write, for good. Post the ticket with its ports, and give it to `openFeed` there, within ten seconds: after
   * that the feed is closed, since the thread may have died before it came, and `onFault` called.
   *
   * @throws {@link WavepoolError} `tap-taken` when it is written here, or was handed over before; `closed`.
   */
  handOver(): FeedTicket {
    return this.inner.handOver();
  }

  /** Takes the node out of the graph and ends its processor; loops that write end, on every thread. Safe to call twice. */
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
