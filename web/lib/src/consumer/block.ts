import { StaleLeaseError } from '../shared/refusal.ts';
import type { WindowSource } from './window_source.ts';

/**
 * One window of a tap: `channelCount` × `frames` samples, where the audio thread put them.
 *
 * A block is valid until the next iteration (or the return of the callback); its object is reused. To use the samples longer,
 * {@link keep} them; to end their use earlier, {@link release} them. Keep few: the audio thread lacks the buffer of a kept window, and a
 * stream without buffers skips windows, which are counted. Closing the tap releases no block; closing the pool, in shared mode, reclaims
 * kept blocks.
 *
 * Only read the arrays. In shared mode they are views of the pool's memory: once the block is released, the same memory is used for
 * other samples, which an old array shows. Requesting the samples of a released block throws.
 */
export class Block {
  /** Channels of the block. */
  readonly channelCount: number;
  private readonly source: WindowSource;
  private lease = 0;
  private length = 0;
  /** Another object owns the lease now. */
  private kept = false;

  /** @internal */
  constructor(source: WindowSource, channelCount: number) {
    this.source = source;
    this.channelCount = channelCount;
  }

  /** Samples per channel: those of a window, except in the last block of a tap that was opened with `flush`. */
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
   * @example
   * ```ts
   * const [left, right] = [block.channel(0), block.channel(1)];
   * ```
   * @throws {@link NoSuchChannelError}, {@link StaleLeaseError}
   */
  channel(channel: number): Float32Array {
    return this.source.channel(this.live(), channel);
  }

  /**
   * Another block with the same samples, which stays valid until you release it.
   *
   * @example
   * ```ts
   * const kept = block.keep();
   * setTimeout(() => kept.release(), 1000);
   * ```
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
   * Returns the buffer to the audio thread, also after the tap was closed.
   *
   * @example
   * ```ts
   * block.release();
   * ```
   * @throws {@link StaleLeaseError} if the block was released before.
   */
  release(): void {
    const { lease } = this;
    if (lease === 0 || this.kept) throw new StaleLeaseError(lease);
    this.lease = 0;
    // A pool that was closed has reclaimed it.
    if (!this.source.closed) this.source.release(lease);
  }

  /** For `using`: releases the block, unless it was released before. */
  [Symbol.dispose](): void {
    if (this.lease !== 0 && !this.kept) this.release();
    this.lease = 0;
    this.kept = false;
  }

  /** @internal Reuses this object for the next window. */
  begin(lease: number): void {
    this.lease = lease;
    this.length = this.source.frames(lease);
  }

  private live(): number {
    if (this.lease === 0 || this.source.closed) throw new StaleLeaseError(this.lease);
    return this.lease;
  }
}
