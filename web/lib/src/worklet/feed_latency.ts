import type { FeedFormat } from '../shared/feed_protocol.ts';

/** Frames are dropped only after more than the latency was buffered for so long, so that a burst alone drops none. */
const WINDOW_SECONDS = 0.5;
/** Larger than every number of frames that is compared with it, and a small integer for the engine. */
const UNKNOWN = 0x3fff_ffff;

/**
 * Keeps the latency of a live feed, see `docs/decisions/0039-live-feeds-keep-their-latency.md`. All numbers are frames.
 *
 * - **Settling**: when the first frames arrive, the newest one is scheduled one latency into the future. The output stays silent for
 *   about the latency, and frames that arrive above it are dropped: this removes a backlog, and a single late block does not change the
 *   result.
 * - **Playing**: frames are dropped only if more than the latency and one block was buffered throughout a window, or if the ring is
 *   nearly full. An on-time writer meets neither.
 */
export class LatencyKeeper {
  /** False while settling. */
  playing = false;
  /** Frames at the start of this quantum that stay silent. Valid after {@link settle}. */
  silent = 0;
  private readonly latency: number;
  private readonly block: number;
  private readonly nearlyFull: number;
  private readonly window: number;
  /** Frames until the first buffered frame is due; `UNKNOWN` while none was buffered. */
  private due = UNKNOWN;
  /** Remaining frames of settling. */
  private settling = 0;
  /** The smallest number of buffered frames in this window, and the window's age. */
  private least = UNKNOWN;
  private age = 0;

  constructor({ sampleRate, frames, latencyFrames }: FeedFormat) {
    this.latency = latencyFrames;
    this.block = frames;
    this.nearlyFull = 2 * (latencyFrames - frames);
    this.window = WINDOW_SECONDS * sampleRate;
  }

  /** Settles again, because no frame is buffered. */
  rest(): void {
    this.playing = false;
    this.due = UNKNOWN;
    this.silent = 0;
  }

  /** Called once a quantum while not playing. Returns how many of the buffered frames to drop. */
  settle(buffered: number, quantum: number): number {
    this.silent = quantum;
    if (this.due === UNKNOWN) {
      if (buffered === 0) return 0;
      this.settling = this.latency - this.block;
    }
    // The newest frame is due in `due + buffered`, at most in the latency.
    this.due = Math.min(this.due, this.latency - buffered);
    const drop = Math.min(Math.max(-this.due, 0), buffered);
    this.due = Math.max(this.due, 0);
    if (this.settling <= 0 && this.due < quantum) {
      if (buffered === drop) this.rest();
      else this.play();
    } else {
      this.settling -= quantum;
      this.due -= quantum;
    }
    return drop;
  }

  /** Called once a quantum while playing. Returns how many of the buffered frames to drop. */
  excess(buffered: number, quantum: number): number {
    this.least = Math.min(this.least, buffered);
    this.age += quantum;
    const full = buffered > this.nearlyFull;
    if (!full && this.age < this.window) return 0;
    const excess = (full ? buffered : this.least) - this.latency;
    this.least = UNKNOWN;
    this.age = 0;
    return excess >= this.block ? excess : 0;
  }

  private play(): void {
    this.silent = this.due;
    this.playing = true;
    this.least = UNKNOWN;
    this.age = 0;
  }
}
