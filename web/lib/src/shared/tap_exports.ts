export interface PanicNote {
  /** Address and bytes of what a panic said; 0 bytes if none happened. */
  panic_note(): number;
  panic_note_bytes(): number;
}

/** The worklet's face of the WebAssembly instance: numbers in, numbers out. `tap` is a number that is checked, 0 is none. */
export interface TapExports extends PanicNote {
  readonly memory: WebAssembly.Memory;
  /** Boots an instance of its own and opens a stream on it (transfer mode). 0 if the options were refused. */
  tap_open(stream: number, sampleRate: number, channels: number, window: number, hop: number): number;
  /** The most frames that one call of `tap_begin` plans. */
  tap_most_frames(): number;
  /**
   * Plans the copies for a quantum of this many frames, from the frame `from` on; returns the number of spans. Negative, as for
   * the two below: the tap is not open.
   */
  tap_begin(tap: number, frames: number, from: number): number;
  /** Address of the spans that `tap_begin` planned. */
  tap_spans(tap: number): number;
  /** Ends the quantum; returns the windows it completed. */
  tap_commit(tap: number): number;
  /** A quantum without input. */
  tap_silence(tap: number, frames: number): number;
  /** Delivers the oldest window that is not full, as the last one of the stream. */
  tap_flush(tap: number): void;
  /** Windows delivered so far. */
  tap_windows(tap: number): number;
  /** Transfer mode: takes the next finished window; 0 if there is none. */
  tap_take(tap: number): number;
  /** Writes counts and waiting event cells into the header; `wallMs` is `Date.now()`. */
  tap_write_header(tap: number, wallMs: number): void;
  /** Reports how many JavaScript objects of each kind this side has made so far. */
  tap_objects(tap: number, views: number, messages: number, buffers: number): void;
  tap_header(tap: number): number;
  tap_header_bytes(): number;
  /** Address of a channel of the taken window. */
  tap_window_address(tap: number, channel: number): number;
  /** Transfer mode: ends the stream; what was finished can still be taken. */
  tap_close(tap: number): void;
  /** Shared mode, the last call: the tap is not used again. */
  tap_leave(tap: number): void;
  /** Transfer mode: frees a tap that was closed, and all that it opened, so that another can be opened. 0 if that cannot be. */
  tap_free(tap: number): number;
  /** Gives the taken window back; `sent` 0 counts it as skipped. */
  tap_give_back(tap: number, sent: number): void;
}
