/** A consumer's face of the instance on the shared memory: numbers in, numbers out. `reader` is a number that is checked. */
export interface ReaderExports {
  /** Leases the next window; 0 if none waits. */
  reader_take(reader: number): number;
  /** Address of a channel of a leased window; 0 if refused. */
  reader_address(reader: number, lease: number, channel: number): number;
  /** First frame of a leased window; -1 if refused. */
  reader_first_frame(reader: number, lease: number): number;
  /** Frames of a leased window; 0 if refused. */
  reader_frames(reader: number, lease: number): number;
  /** 1 while as many windows are leased as can be. */
  reader_is_full(reader: number): number;
  /** Gives a window back; 0, or the refusal's code. */
  reader_release(reader: number, lease: number): number;
  /** The last call: the reader is not used again. */
  reader_leave(reader: number): void;
  /** Windows that are leased. */
  reader_live(reader: number): number;
  /** Where the last refusal is: its code, and three numbers. */
  reader_refusal(reader: number): number;
  /** Reports how many views this side has made so far. */
  reader_views(reader: number, views: number): void;
}
