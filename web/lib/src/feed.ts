import { WavepoolError } from './errors.ts';
import { FEED_PROCESSOR, ringBytes, type FeedFormat, type FeedOptions, type FeedTicket, type FromFeed, type ToFeed } from './feed_protocol.ts';
import { FeedWriter, type FeedBlock } from './feed_writer.ts';
import { workletNode } from './worklet_file.ts';

/**
 * The way back: samples that this page, or a worker that the feed is handed over to, writes are what {@link node} plays.
 *
 * When the writer is late the last sample fades out within 64 frames, and what comes after fades in: an underrun is a gap,
 * never a click, and is counted. (Silence alone would click; a held sample alone would be a constant pressure.)
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
  /** Connect it to whatever is to hear it. */
  readonly node: AudioWorkletNode;
  /** Times that the writer was late. */
  underruns = 0;
  /** Called at each of them. */
  onUnderrun: (underruns: number) => void = () => {};
  /** Settles when everything was played after the writer's `end`, or the feed was closed. */
  readonly ended: Promise<void>;
  /** Settles when the feed was closed. */
  readonly closed: Promise<void>;
  private settleClosed: () => void = () => {};
  private readonly tell: (underruns: number) => void;
  private settleEnded: () => void = () => {};
  private ticket: FeedTicket | null;
  private writer: FeedWriter | null = null;

  /** @internal */
  constructor(context: BaseAudioContext, format: FeedFormat, shared: boolean, tell: (underruns: number) => void) {
    this.tell = tell;
    this.closed = new Promise((settle) => (this.settleClosed = settle));
    const ring = shared ? new SharedArrayBuffer(ringBytes(format)) : null;
    this.ended = new Promise((settle) => (this.settleEnded = settle));
    this.node = workletNode(context, FEED_PROCESSOR, {
      numberOfInputs: 0,
      numberOfOutputs: 1,
      outputChannelCount: [format.channels],
      processorOptions: { format, ring } satisfies FeedOptions,
    });
    if (ring) {
      this.ticket = { format, lane: { mode: 'shared', ring }, ports: [] };
    } else {
      const { port1, port2 } = new MessageChannel();
      this.node.port.postMessage({ port: port1 } satisfies ToFeed, [port1]);
      this.ticket = { format, lane: { mode: 'transfer', port: port2 }, ports: [port2] };
    }
    this.node.port.onmessage = ({ data }: MessageEvent<FromFeed>) => {
      if (data.kind === 'ended') return this.settleEnded();
      this.underruns = data.underruns;
      this.tell(data.underruns);
      this.onUnderrun(data.underruns);
    };
  }

  /**
   * Blocks to be written on this thread: see {@link FeedWriter.blocks}.
   *
   * @throws {@link WavepoolError} `tap-taken` when the feed was handed over.
   */
  blocks(): AsyncGenerator<FeedBlock, void, undefined> {
    return this.here().blocks();
  }

  /** No more will be written on this thread; what was written is still played. */
  end(): void {
    this.here().end();
  }

  /**
   * Has another thread write, for good. Post the ticket with its ports, and give it to `openFeed` there.
   *
   * @throws {@link WavepoolError} `tap-taken` when it is written here, or was handed over before.
   */
  handOver(): FeedTicket {
    const { ticket } = this;
    if (ticket === null) throw taken();
    this.ticket = null;
    return ticket;
  }

  /** Takes the node out of the graph; loops that write end. */
  close(): void {
    this.node.disconnect();
    this.node.port.close();
    this.writer?.end();
    this.settleEnded();
    this.settleClosed();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private here(): FeedWriter {
    if (this.ticket !== null) this.writer = FeedWriter.open(this.handOver());
    if (this.writer === null) throw taken();
    return this.writer;
  }
}

function taken(): WavepoolError {
  return new WavepoolError('tap-taken', 'This feed was handed over to another thread. Write it there, or open a second feed.');
}
