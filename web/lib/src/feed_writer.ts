import { WavepoolError } from './errors.ts';
import { blocksAhead, channelsOf, RING, ringBlocks, type FeedFormat, type FeedLane, type FeedTicket } from './feed_protocol.ts';
import { nap } from './nap.ts';

/** A block to be written: `channelCount` × `frames` samples, -1 to 1 at full scale. What is not written is what was there before. */
export interface FeedBlock {
  readonly channelCount: number;
  readonly frames: number;
  /** Frame of the feed with which the block begins: the sum of what was written before. */
  readonly firstFrame: number;
  channel(channel: number): Float32Array;
}

/** Where the writer's blocks come from and go to. */
interface Outlet {
  /** The channels of a block that is free; null if none is. */
  free(): readonly Float32Array[] | null;
  /** The block at hand is complete. */
  send(): void;
  arrival(): Promise<void>;
  end(): void;
}

/** Writes a feed on this thread, page or worker. */
export class FeedWriter {
  readonly format: FeedFormat;
  private readonly outlet: Outlet;
  private written = 0;
  private ended = false;

  private constructor(format: FeedFormat, outlet: Outlet) {
    this.format = format;
    this.outlet = outlet;
  }

  /** @internal */
  static open({ format, lane }: FeedTicket): FeedWriter {
    return new FeedWriter(format, openOutlet(lane, format));
  }

  /**
   * Blocks to be written, each as soon as there is room; a block is on its way when the next one is asked for. Leave the
   * loop to stop writing (the block at hand is then not played), and call {@link end} when there is no more to come.
   *
   * @throws {@link WavepoolError} `closed` after {@link end}.
   */
  async *blocks(): AsyncGenerator<FeedBlock, void, undefined> {
    if (this.ended) throw new WavepoolError('closed', 'This feed has ended. Open another one.');
    const { channels: channelCount, frames } = this.format;
    while (!this.ended) {
      const channels = this.outlet.free();
      if (channels === null) {
        await this.outlet.arrival();
        continue;
      }
      const channel = (index: number): Float32Array => {
        const samples = channels[index];
        if (samples) return samples;
        throw new WavepoolError('no-such-channel', `There is no channel ${index}: the feed has ${channelCount}, counted from 0.`);
      };
      yield { channelCount, frames, firstFrame: this.written, channel };
      this.written += frames;
      this.outlet.send();
    }
  }

  /** What was written is still played; then the node falls silent, which is no underrun. */
  end(): void {
    this.ended = true;
    this.outlet.end();
  }
}

function openOutlet(lane: FeedLane, format: FeedFormat): Outlet {
  return lane.mode === 'shared' ? new RingOutlet(lane.ring, format) : new MessageOutlet(lane.port, format);
}

class RingOutlet implements Outlet {
  private readonly state: Int32Array;
  private readonly blocks: Float32Array[][];
  private written = 0;

  constructor(ring: SharedArrayBuffer, format: FeedFormat) {
    this.state = new Int32Array(ring, 0, RING.words);
    this.blocks = ringBlocks(ring, format);
  }

  free(): readonly Float32Array[] | null {
    const ahead = this.written - Atomics.load(this.state, RING.played);
    return ahead === this.blocks.length ? null : this.blocks[this.written % this.blocks.length]!;
  }

  send(): void {
    this.written += 1;
    Atomics.store(this.state, RING.written, this.written);
  }

  arrival(): Promise<void> {
    return nap();
  }

  end(): void {
    Atomics.store(this.state, RING.ended, 1);
  }
}

class MessageOutlet implements Outlet {
  private readonly port: MessagePort;
  private readonly format: FeedFormat;
  private readonly idle: ArrayBuffer[] = [];
  private wake: () => void = () => {};

  constructor(port: MessagePort, format: FeedFormat) {
    this.port = port;
    this.format = format;
    for (let i = blocksAhead(format); i > 0; i--) this.idle.push(new ArrayBuffer(4 * format.channels * format.frames));
    port.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
      this.idle.push(data);
      this.wake();
    };
  }

  free(): readonly Float32Array[] | null {
    const [block] = this.idle;
    return block ? channelsOf(block, this.format) : null;
  }

  send(): void {
    const block = this.idle.shift()!;
    this.port.postMessage(block, [block]);
  }

  arrival(): Promise<void> {
    return new Promise((wake) => (this.wake = wake));
  }

  end(): void {
    this.port.postMessage(null);
    this.wake();
  }
}
