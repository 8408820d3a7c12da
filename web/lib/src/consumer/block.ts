import { StaleLeaseError } from '../shared/refusal.ts';
import type { WindowSource } from './window_source.ts';

/**
 * One window of a tap: `channelCount` × `frames` samples, where the audio thread put them.
 *
 * A block is valid until the next iteration (or the return of the callback), and its object is used again. To use the
 * samples longer, {@link keep} them; to end earlier, {@link release} them. Keep few: a kept window is a buffer that the
 * audio thread does not have, and a stream without buffers skips windows, counted. Closing the tap ends no block; closing the
 * pool takes back, in shared mode, what is still kept.
 *
 * The arrays are to be read. In shared mode they are views of the pool's own memory: once the block is released the same
 * memory holds other sound, which no library can prevent; asking a released block for its samples throws.
 */
export class Block {
  /** Channels of the block. */
  readonly channelCount: number;
  private readonly source: WindowSource;
  private lease = 0;
  private length = 0;
  /** Somebody else owns the lease now. */
  private kept = false;

  /** @internal */
  constructor(source: WindowSource, channelCount: number) {
    this.source = source;
    this.channelCount = channelCount;
  }

  /** Samples per channel: those of a window, but for the last block of a tap that was opened with `flush`. */
  get frames(): number {
    return this.length;
  }

  /** Frame of the stream with which the block begins, counted from the tap's opening. */
  get firstFrame(): number {
    return this.source.firstFrame(this.live());
  }

  /**
   * The samples of one channel, counted from 0: `frames` of them, -1 to 1 at full scale. The array is the same each time
   * the same buffer is used.
   *
   * @throws {@link NoSuchChannelError}, {@link StaleLeaseError}
   */
  channel(channel: number): Float32Array {
    return this.source.channel(this.live(), channel);
  }

  /**
   * A block of its own on the same samples, which is yours until you release it.
   *
   * @throws {@link StaleLeaseError}
   */
  keep(): Block {
    const lease = this.live();
    if (this.kept) throw new StaleLeaseError(lease);
    const own = new Block(this.source, this.channelCount);
    own.begin(lease);
    this.kept = true;
    return own;
  }

  /**
   * Gives the buffer back to the audio thread, also when the tap has been closed meanwhile.
   *
   * @throws {@link StaleLeaseError} when it has been given back before.
   */
  release(): void {
    const { lease } = this;
    if (lease === 0 || this.kept) throw new StaleLeaseError(lease);
    this.lease = 0;
    // A pool that was closed has taken it back.
    if (!this.source.closed) this.source.release(lease);
  }

  /** For `using`: releases the block, unless that has been done. */
  [Symbol.dispose](): void {
    if (this.lease !== 0 && !this.kept) this.release();
    this.lease = 0;
    this.kept = false;
  }

  /** @internal The next window, under this object. */
  begin(lease: number): void {
    this.lease = lease;
    this.length = this.source.frames(lease);
  }

  private live(): number {
    if (this.lease === 0 || this.source.closed) throw new StaleLeaseError(this.lease);
    return this.lease;
  }
}
