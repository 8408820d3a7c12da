import { blocksBetween, channelsOf, RING, ringBlocks, type FeedFormat, type FeedState, type ToFeedWriter } from '../shared/feed_protocol.ts';

/** Counters in the ring that are not compared with others stop here. */
const MAX_CELL = 0x7fff_ffff;

/** The worklet's end of a feed. */
export interface FeedSupply {
  /** Whether other threads can get the number of buffered frames from reports only. */
  readonly reportsBuffered: boolean;
  /** Number of blocks that were written and not played, including the current one. */
  waiting(): number;
  /** The channels of the current block; null if there is none. */
  current(): readonly Float32Array[] | null;
  /** Releases the current block, which was played or dropped. */
  next(): void;
  /** Whether the writer has ended the feed. */
  ended(): boolean;
  /** Ends the feed in place of a writer that is gone. */
  end(): void;
  /** Reports the state to the writer. */
  report(state: FeedState): void;
  close(): void;
}

/** Shared mode: counters in shared memory, and arrays that are made once. */
export class RingSupply implements FeedSupply {
  readonly reportsBuffered = false;
  private readonly state: Int32Array;
  private readonly blocks: Float32Array[][];
  private played: number;
  /** Index of the current block. Not `played` modulo the ring's length, which would jump where `played` wraps around. */
  private index = 0;

  constructor(ring: SharedArrayBuffer, format: FeedFormat) {
    this.state = new Int32Array(ring, 0, RING.cells);
    this.blocks = ringBlocks(ring, format);
    this.played = Atomics.load(this.state, RING.played);
  }

  waiting(): number {
    return blocksBetween(this.played, Atomics.load(this.state, RING.written));
  }

  current(): readonly Float32Array[] | null {
    return this.waiting() > 0 ? this.blocks[this.index]! : null;
  }

  next(): void {
    this.played = (this.played + 1) | 0;
    this.index = this.index + 1 === this.blocks.length ? 0 : this.index + 1;
    Atomics.store(this.state, RING.played, this.played);
  }

  ended(): boolean {
    return Atomics.load(this.state, RING.ended) === 1;
  }

  end(): void {
    Atomics.store(this.state, RING.ended, 1);
  }

  report({ underruns, lateFrames }: FeedState): void {
    Atomics.store(this.state, RING.underruns, Math.min(underruns, MAX_CELL));
    Atomics.store(this.state, RING.lateFrames, Math.min(lateFrames, MAX_CELL));
  }

  close(): void {}
}

/** Transfer mode: each block costs the audio thread its message and its arrays. */
export class MessageSupply implements FeedSupply {
  readonly reportsBuffered = true;
  private readonly port: MessagePort;
  private readonly blocks: { readonly block: ArrayBuffer; readonly channels: readonly Float32Array[] }[] = [];
  private over = false;

  constructor(port: MessagePort, format: FeedFormat) {
    this.port = port;
    port.onmessage = ({ data: block }: MessageEvent<ArrayBuffer | null>) => {
      if (block === null) this.over = true;
      else this.blocks.push({ block, channels: channelsOf(block, format) });
    };
  }

  waiting(): number {
    return this.blocks.length;
  }

  current(): readonly Float32Array[] | null {
    return this.blocks.length === 0 ? null : this.blocks[0]!.channels;
  }

  next(): void {
    const { block } = this.blocks.shift()!;
    this.port.postMessage(block, [block]);
  }

  ended(): boolean {
    return this.over;
  }

  end(): void {
    this.over = true;
  }

  report(state: FeedState): void {
    this.port.postMessage(state satisfies ToFeedWriter);
  }

  close(): void {
    this.port.close();
  }
}
