import {
  blockCount,
  blocksBetween,
  channelsOf,
  RING,
  ringBlocks,
  type FeedFormat,
  type FeedLane,
  type FeedState,
  type ToFeedWriter,
} from '../shared/feed_protocol.ts';
import { sleep } from './sleep.ts';

/** The shortest sleep: a shorter one would be polling. */
const MIN_SLEEP_MS = 1;

/** The writer's end of a feed. It does not refer to the writer, so that an unreachable writer is collected as garbage. */
export interface FeedOutlet {
  /** No block can be written any more: the writer has ended, or the feed was closed. */
  readonly over: boolean;
  /** The channels of a free block; null if there is none. */
  free(): readonly Float32Array[] | null;
  /** Sends the current block. */
  send(): void;
  /** Settles when a block may be free. */
  arrival(): Promise<unknown>;
  state(): FeedState;
  /** Ends the feed; blocks that were sent are still played. */
  end(): void;
  /** The feed was closed: no block is played any more. */
  close(): void;
}

export function openOutlet(lane: FeedLane, format: FeedFormat): FeedOutlet {
  return lane.mode === 'shared' ? new RingOutlet(lane.ring, format) : new MessageOutlet(lane.port, format);
}

/** The state of a feed over a shared ring. */
export function ringState(ring: Int32Array, { frames }: FeedFormat): FeedState {
  return {
    underruns: Atomics.load(ring, RING.underruns),
    lateFrames: Atomics.load(ring, RING.lateFrames),
    bufferedFrames: frames * blocksBetween(Atomics.load(ring, RING.played), Atomics.load(ring, RING.written)),
  };
}

class RingOutlet implements FeedOutlet {
  over = false;
  private readonly format: FeedFormat;
  private readonly ring: Int32Array;
  private readonly blocks: Float32Array[][];
  private written: number;
  /** Index of the next block to write. Not `written` modulo the ring's length, which would jump where `written` wraps around. */
  private index = 0;

  constructor(ring: SharedArrayBuffer, format: FeedFormat) {
    this.format = format;
    this.ring = new Int32Array(ring, 0, RING.cells);
    this.blocks = ringBlocks(ring, format);
    this.written = Atomics.load(this.ring, RING.written);
  }

  free(): readonly Float32Array[] | null {
    const ahead = blocksBetween(Atomics.load(this.ring, RING.played), this.written);
    return ahead < this.blocks.length ? this.blocks[this.index]! : null;
  }

  send(): void {
    this.written = (this.written + 1) | 0;
    this.index = this.index + 1 === this.blocks.length ? 0 : this.index + 1;
    Atomics.store(this.ring, RING.written, this.written);
  }

  /** The worklet wakes no thread, because that is a system call. It plays a block in a known time, so that the writer polls as often. */
  arrival(): Promise<unknown> {
    const { sampleRate, frames, latencyFrames } = this.format;
    return sleep(Math.max(MIN_SLEEP_MS, (1000 * Math.min(frames, latencyFrames / 4)) / sampleRate));
  }

  state(): FeedState {
    return ringState(this.ring, this.format);
  }

  end(): void {
    if (this.over) return;
    this.over = true;
    Atomics.store(this.ring, RING.ended, 1);
  }

  close(): void {
    this.over = true;
  }
}

class MessageOutlet implements FeedOutlet {
  over = false;
  private readonly port: MessagePort;
  private readonly format: FeedFormat;
  private readonly idle: ArrayBuffer[] = [];
  private reported: FeedState = { underruns: 0, lateFrames: 0, bufferedFrames: 0 };
  private wake: () => void = () => {};

  constructor(port: MessagePort, format: FeedFormat) {
    this.port = port;
    this.format = format;
    for (let i = blockCount(format); i > 0; i--) this.idle.push(new ArrayBuffer(4 * format.channels * format.frames));
    port.onmessage = ({ data }: MessageEvent<ToFeedWriter>) => {
      if (data instanceof ArrayBuffer) this.idle.push(data);
      else this.reported = data;
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
    if (this.over) return Promise.resolve();
    return new Promise((wake) => (this.wake = wake));
  }

  state(): FeedState {
    const bufferedFrames = this.format.frames * (blockCount(this.format) - this.idle.length);
    return { ...this.reported, bufferedFrames };
  }

  end(): void {
    if (this.over) return;
    this.over = true;
    this.port.postMessage(null);
    this.wake();
  }

  close(): void {
    this.over = true;
    this.port.close();
    this.wake();
  }
}
