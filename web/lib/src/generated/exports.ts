// Generated from Rust by `cargo xtask generate`; a test compares. Do not edit.

/** The message of a panic, which JavaScript reads after the trap. */
export interface PanicNote {
  /** Address of this thread's message. */
  panic_note(): number;
  /** Bytes of this thread's message; 0 if it has not panicked. */
  panic_note_bytes(): number;
}

/** The exports that a worklet uses: numbers in, numbers out. `tap` is a number that is checked; 0 is none. */
export interface TapExports extends PanicNote {
  readonly memory: WebAssembly.Memory;
  /**
   * Boots an instance of its own and opens a stream on it (transfer mode), with the number that the host gave it. Returns the
   * tap's number; 0 if the options were refused. The page gets the reason from the host, which checks the same options.
   */
  tap_open(stream: number, sampleRateHz: number, channels: number, window: number, hop: number): number;
  /**
   * Plans the copies for a quantum of this many frames, from its frame `from` on, at most `tap_most_frames` of them. Returns
   * the number of spans; -1 in JavaScript, as for the two functions below, if no open tap has the number.
   */
  tap_begin(tap: number, frames: number, from: number): number;
  /** Address of the spans that `tap_begin` planned. */
  tap_spans(tap: number): number;
  /** Ends the quantum; returns the windows it completed. */
  tap_commit(tap: number): number;
  /** A quantum without input; returns the windows it completed. */
  tap_silence(tap: number, frames: number): number;
  /** Delivers the oldest window that is not full, as the last one of the stream. */
  tap_flush(tap: number): void;
  /** The lower 32 bits of the number of delivered windows. */
  tap_windows(tap: number): number;
  /** Transfer mode: pops the next complete window; 0 if there is none. */
  tap_take(tap: number): number;
  /** Writes counts and pending event cells into the header; `wall_ms` is the current `Date.now`. */
  tap_write_header(tap: number, wallMs: number): void;
  /** Sets the numbers of objects that JavaScript has made on this side so far. */
  tap_objects(tap: number, views: number, messages: number, buffers: number): void;
  /** Transfer mode: runs a control step of this side's pool, between quanta. */
  tap_step(tap: number): void;
  /** Transfer mode: ends the stream and releases its open windows. Complete windows can still be popped. */
  tap_close(tap: number): void;
  /** Address of the header. */
  tap_header(tap: number): number;
  /** Address of one channel of the popped window; 0 if there is none. */
  tap_window_address(tap: number, channel: number): number;
  /** Panics, to test what happens then: no other export can. */
  tap_panic(tap: number): void;
  /** Releases the popped window; it counts as skipped if `sent` is 0. */
  tap_give_back(tap: number, sent: number): void;
  /** The worklet's last call; afterwards it does not use the tap any more. */
  tap_leave(tap: number): void;
  /**
   * Transfer mode: frees a tap that was closed, and the pool that it was opened with, so that this instance can open another. Returns
   * 1; 0 if no such tap is open.
   */
  tap_free(tap: number): number;
  /** The most frames that one call of `tap_begin` plans. */
  tap_most_frames(): number;
  /** Bytes of a header. */
  tap_header_bytes(): number;
}

/** The exports that the reader of a tap uses (shared mode): numbers in, numbers out. `reader` is a number that is checked. */
export interface ReaderExports {
  /** Leases the next window; 0 if the queue is empty or no further lease is possible. */
  reader_take(reader: number): number;
  /** Address of one channel of a leased window; 0 if refused. */
  reader_address(reader: number, lease: number, channel: number): number;
  /** First frame of a leased window; -1 if refused. */
  reader_first_frame(reader: number, lease: number): number;
  /** Frames of a leased window; the last window of a stream may have fewer than the others. 0 if refused. */
  reader_frames(reader: number, lease: number): number;
  /** Releases a window; returns 0 or the code of the refusal. */
  reader_release(reader: number, lease: number): number;
  /** 1 while no further lease is possible; windows are not taken from the queue then. */
  reader_is_full(reader: number): number;
  /** Number of leased windows. */
  reader_live(reader: number): number;
  /** Address of the last refusal: its code, and three numbers. */
  reader_refusal(reader: number): number;
  /** Sets the number of views that the consumer has made so far. */
  reader_views(reader: number, views: number): void;
  /** The consumer's last call; afterwards it does not use the reader any more. */
  reader_leave(reader: number): void;
}

/** The exports that a user of buffers uses: numbers in, numbers out. `participant` and leases are numbers that are checked. */
export interface PoolExports extends PanicNote {
  readonly memory: WebAssembly.Memory;
  /**
   * Boots an instance of its own (transfer mode). Its leases contain `holder`, a number below 16, and generations from `seed`
   * on: see `LeaseTable::seed`. Returns the participant's number; 0 if that fails.
   */
  participant_open(holder: number, seed: number): number;
  /** Leases a zeroed buffer; 0 if refused. */
  participant_acquire(participant: number, samples: number): number;
  /** Address of a leased buffer's samples, whose lease is in use from now on; 0 if refused. */
  participant_view(participant: number, lease: number): number;
  /** Address of the sizes of the buffer that was viewed last: its samples, and the requested ones. */
  participant_looked(participant: number): number;
  /** Ends the use of the samples; returns 0 or the code of the refusal. */
  participant_end_view(participant: number, lease: number): number;
  /** Another lease of the same samples, which are frozen from now on; 0 if refused. */
  participant_share(participant: number, lease: number): number;
  /** Ends a lease; returns 0 or the code of the refusal. */
  participant_release(participant: number, lease: number): number;
  /** Number of open leases. */
  participant_live(participant: number): number;
  /** Transfer mode: runs a control step of this pool, writes its counts into the header and returns its address; 0 in shared mode. */
  participant_header(participant: number, nowMs: number): number;
  /** Address of the last refusal: its code, and three numbers. */
  participant_refusal(participant: number): number;
  /** The thread's last call; afterwards it does not use the participant any more. */
  participant_leave(participant: number): void;
  /** Bytes of a header. */
  tap_header_bytes(): number;
}
