import { channelsOf, RING, ringBlocks, type FeedFormat } from './feed_protocol.ts';

/** Where the worklet's blocks come from. */
export interface FeedSupply {
  /** The channels of the block at hand; null if none waits. */
  current(): readonly Float32Array[] | null;
  /** The block at hand was played. */
  next(): void;
  /** No further block will come. */
  ended(): boolean;
}

/** Shared mode: numbers in shared memory, and arrays made once. */
export class RingSupply implements FeedSupply {
  private readonly state: Int32Array;
  private readonly blocks: Float32Array[][];
  private played = 0;

  constructor(ring: SharedArrayBuffer, format: FeedFormat) {
    this.state = new Int32Array(ring, 0, RING.words);
    this.blocks = ringBlocks(ring, format);
  }

  current(): readonly Float32Array[] | null {
    if (Atomics.load(this.state, RING.written) === this.played) return null;
    return this.blocks[this.played % this.blocks.length]!;
  }

  next(): void {
    this.played += 1;
    Atomics.store(this.state, RING.played, this.played);
  }

  ended(): boolean {
    return Atomics.load(this.state, RING.ended) === 1;
  }
}

/** Transfer mode: each block costs the audio thread its message and its arrays. */
export class MessageSupply implements FeedSupply {
  private readonly port: MessagePort;
  private readonly waiting: { readonly block: ArrayBuffer; readonly channels: readonly Float32Array[] }[] = [];
  private over = false;

  constructor(port: MessagePort, format: FeedFormat) {
    this.port = port;
    port.onmessage = ({ data: block }: MessageEvent<ArrayBuffer | null>) => {
      if (block === null) this.over = true;
      else this.waiting.push({ block, channels: channelsOf(block, format) });
    };
  }

  current(): readonly Float32Array[] | null {
    return this.waiting.length === 0 ? null : this.waiting[0]!.channels;
  }

  next(): void {
    const { block } = this.waiting.shift()!;
    this.port.postMessage(block, [block]);
  }

  ended(): boolean {
    return this.over;
  }
}
