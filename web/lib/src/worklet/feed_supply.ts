import { blocksBetween, channelsOf, RING, ringBlocks, type FeedFormat, type FeedState, type ToFeedWriter } from '../shared/feed_protocol.ts';

/** Cells that count, but are compared with nothing, stop here. */
const MAX_CELL = 0x7fff_ffff;

/** Where the worklet's blocks come from. */
export interface FeedSupply {
  /** Whether the others learn what is buffered from reports only. */
  readonly reportsBuffered: boolean;
  /** Blocks that wait, the current one included. */
  waiting(): number;
  /** The channels of the current block; null if none waits. */
  current(): readonly Float32Array[] | null;
  /** The current block was played, or dropped. */
  next(): void;
  /** No further block will come. */
  ended(): boolean;
  /** As if the writer had ended: there is none any more. */
  end(): void;
  /** Notifies the writer. */
  report(state: FeedState): void;
  close(): void;
}

/** Shared mode: numbers in shared memory, and arrays made once. */
export class RingSupply implements FeedSupply {
  readonly reportsBuffered = false;
  private readonly state: Int32Array;
  private readonly blocks: Float32Array[][];
  private played: number;
  /** Of the current block. Not `played` modulo the ring's length, which would jump where `played` wraps around. */
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
