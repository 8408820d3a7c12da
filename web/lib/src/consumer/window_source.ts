import type { Leave } from '../shared/protocol.ts';

/** Where a consumer's windows come from. Each is leased under a number until it is released; 0 is none. */
export interface WindowSource {
  /** Everything was given back, or taken back: nothing is leased any more. */
  readonly closed: boolean;
  /** It was asked to leave, and no window will come any more but those that {@link take} still gives. */
  readonly ended: boolean;
  /** It was asked to leave, and its user has something that other threads wait for. */
  readonly held: boolean;
  /** Windows that were leased so far, and released. Both wrap around at 2^32. */
  readonly taken: number;
  readonly released: number;
  /** Leases the next window; 0 if none waits. */
  take(): number;
  /** Frame of the stream with which a leased window begins. */
  firstFrame(lease: number): number;
  /** Samples per channel of a leased window. */
  frames(lease: number): number;
  /** The samples of one channel. */
  channel(lease: number, channel: number): Float32Array;
  release(lease: number): void;
  /** Settles when it may be worth looking again, at the latest when the source is asked to leave. */
  arrival(): Promise<void>;
  /**
   * Stops: see {@link Leave}. Settles when nothing of the other threads' is used any more. May be called again, to discard
   * what waits or to revoke what is leased.
   */
  leave(how: Leave): Promise<void>;
}
