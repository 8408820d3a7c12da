// Generated from Rust by `cargo xtask generate`; a test compares. Do not edit.
import type { Mode, StreamConsumer, AlertKind } from './snapshot.ts';

/** The options of `Host::new`. */
export interface HostOptions {
  readonly mode: Mode;
  /** Why this mode was chosen, as a sentence. */
  readonly mode_reason: string;
  /** The sizing profile of an earlier run, if the page stored one. */
  readonly profile: string | null;
  /**
   * Where the generations of this instance's leases begin, so that those of two pools differ: see
   * `LeaseTable::seed`.
   */
  readonly seed?: number;
}

/** The options of a stream. */
export interface StreamOptions {
  /** In Hz. */
  readonly sample_rate: number;
  readonly channels: number;
  /** Frames per window. */
  readonly window: number;
  /** Frames between the beginnings of two windows. */
  readonly hop: number;
  readonly consumer: StreamConsumer;
}

/** The limits of `StreamOptions`. */
export interface StreamLimits {
  /** The smallest and the largest `window`. */
  readonly window: readonly [number, number];
  readonly most_channels: number;
  /** The most windows that one sample can be in; it limits how small `hop` can be. */
  readonly most_overlap: number;
}

/** A control step of the pool. Times are values of `performance.now` in the control worker. */
export interface ControlStep {
  readonly start_ms: number;
  readonly end_ms: number;
  /** Buffers that were moved or examined. */
  readonly operations: number;
  /** The steps of the sizing plan in words, if one was applied. */
  readonly plan: readonly string[];
  readonly alerts: readonly Alert[];
  readonly defragmented: boolean;
}

/** The beginning or the end of an alert. */
export interface Alert {
  /** The rule. */
  readonly kind: AlertKind;
  /** True if the alert begins, false if it ends. */
  readonly raised: boolean;
  /** The figure that was judged: percent, or for `Exhausted` and `Leaked` the increase since the last observation. */
  readonly value: number;
  /** The threshold. */
  readonly threshold: number;
}

/**
 * The urgency of shrinking.
 * - `none`: Idle memory may stay within the budget.
 * - `moderate`: Idle memory above recent use is returned.
 * - `critical`: Idle memory above present use is returned.
 */
export type MemoryPressure = 'none' | 'moderate' | 'critical';

/** What a sound is, as far as it was analysed. */
export interface SoundSummary {
  /** Frames of the sound. */
  readonly frames: number;
  /**
   * RMS over all channels relative to full scale, in decibels, from -144 (silence) to 770.6. `null` if a sample is infinite or
   * NaN.
   */
  readonly rms_dbfs: number | null;
  /** The largest sample, likewise. */
  readonly peak_dbfs: number | null;
  /** Whole windows: the rest of the sound, which is shorter than a window, has a level only. */
  readonly windows: number;
  /** The notes, most frequent first. */
  readonly notes: readonly NoteCount[];
}

/** A note of a sound. */
export interface NoteCount {
  /** Letter, accidental, octave. */
  readonly note: string;
  /** The number of windows with this note. */
  readonly windows: number;
}
