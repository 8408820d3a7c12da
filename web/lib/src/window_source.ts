/** Where a consumer's windows come from. Each is leased under a number until it is released; 0 is none. */
export interface WindowSource {
  /** Nothing is leased any more. */
  readonly closed: boolean;
  /** Leases the next window; 0 if none waits. */
  take(): number;
  /** Frame of the stream with which a leased window begins. */
  firstFrame(lease: number): number;
  /** The samples of one channel. */
  channel(lease: number, channel: number): Float32Array;
  release(lease: number): void;
  /** Settles when it may be worth looking again, at the latest when the source is closed. */
  arrival(): Promise<void>;
  /** Gives everything back; settles when nothing of the other threads' is used any more. */
  close(): Promise<void>;
}
