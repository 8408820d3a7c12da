import type { Leave } from '../shared/protocol.ts';

/** The source of a consumer's windows. Each is leased under a number until it is released; 0 is none. */
export interface WindowSource {
  /** All windows were released or reclaimed. */
  readonly closed: boolean;
  /** {@link leave} was called: no window follows but those that {@link take} still returns. */
  readonly ended: boolean;
  /** {@link leave} was called, and windows are leased that other threads wait for. */
  readonly held: boolean;
  /** Windows that were leased so far, and released. Both wrap around at 2^32. */
  readonly taken: number;
  readonly released: number;
  /** Leases the next window; returns 0 if the queue is empty. */
  take(): number;
  /** Frame of the stream with which a leased window begins. */
  firstFrame(lease: number): number;
  /** Samples per channel of a leased window. */
  frames(lease: number): number;
  /** The samples of one channel. */
  channel(lease: number, channel: number): Float32Array;
  release(lease: number): void;
  /** Settles when a window may have arrived, at the latest when {@link leave} is called. */
  arrival(): Promise<void>;
  /**
   * Stops: see {@link Leave}. Settles when no memory or block of other threads is used any more. May be called again, to discard
   * queued windows or to revoke leased ones.
   */
  leave(how: Leave): Promise<void>;
}
