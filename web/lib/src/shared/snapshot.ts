/**
 * What the pool, the bus and the analysis say about themselves, about twenty times a second.
 *
 * Written by Rust (serde), read here: names and units are Rust's. `null` always means "not measured", never zero.
 */
export interface Snapshot {
  readonly version: 1;
  readonly mode: Mode;
  readonly mode_reason: string;
  /** The one that was opened last; `null` while none is open. */
  readonly stream: StreamFigures | null;
  /** Every open tap and tuner, in the order of their opening. */
  readonly streams: readonly StreamFigures[];
  /** The stream that closed last: its final figures. */
  readonly closed_stream: StreamFigures | null;
  /** One per window that had a pitch, since the last snapshot. */
  readonly notes: readonly Note[];
  readonly level: Level | null;
  readonly pool: PoolMetrics;
  readonly bus: BusFigures;
  /** Since the last snapshot, oldest first, at most 64. */
  readonly events: readonly BusEvent[];
  readonly tally: EventTally;
  readonly modules: readonly ModuleState[];
  readonly memory: MemoryFigures;
  readonly objects: ObjectCounts;
  /** Every open feed. */
  readonly feeds: readonly FeedFigures[];
  /** Buffers that nobody can give back any more. */
  readonly leaked: number;
  /** Twice a second; `null` in the snapshots between. */
  readonly inspection: Inspection | null;
}

/** `shared`: one memory for all threads. `transfer`: blocks travel in buffers that come back. */
export type Mode = 'shared' | 'transfer';

export interface StreamFigures {
  /** Its number in events and notes. */
  readonly stream: number;
  /** A tuner's windows are read by the analysis, a tap's by JavaScript. */
  readonly consumer: 'tuner' | 'reader';
  /** In Hz. */
  readonly sample_rate: number;
  readonly channels: number;
  /** Frames per window. */
  readonly window: number;
  /** Frames between the starts of two windows. */
  readonly hop: number;
  /** Frames per audio callback; `null` before the first. */
  readonly quantum_frames: number | null;
  readonly quanta: number;
  readonly frames: number;
  readonly windows: number;
  /** Windows given up because no buffer, or no room in the queue, was left. */
  readonly skipped_windows: number;
  /** Windows given up because the stream had a gap. */
  readonly interrupted_windows: number;
  /** Frames that never reached the tap: those of gaps, whether or not a window was open then. */
  readonly lost_frames: number;
  /** `null` before the first window. */
  readonly bytes_copied_per_window: number | null;
  /** Calls of the WebAssembly allocator from the audio thread since its first quantum: 0, or it may have waited. */
  readonly allocator_calls: number;
}

export interface Note {
  readonly stream: number;
  /** Start of the window, in seconds of the stream. */
  readonly t_s: number;
  /** Letter, accidental, octave: `A4`, `C#5`. */
  readonly note: string;
  readonly hz: number;
  /** Distance from the named note, -50 to 50. */
  readonly cents: number;
  /** 0 (noise) to 1 (periodic). */
  readonly clarity: number;
}

export interface Level {
  /**
   * Root mean square relative to full scale, in decibels, from -144 (silence) to 770.6 (the largest finite sample). `null` if a sample of the
   * window is infinite or NaN.
   */
  readonly rms_dbfs: number | null;
  /** Largest sample, likewise. */
  readonly peak_dbfs: number | null;
}

/** Declared one by one, with meaning, unit and formula, in `pool_metrics.rs`. */
export interface PoolMetrics {
  readonly total_allocations: number;
  readonly pool_hits: number;
  readonly pool_misses: number;
  readonly hit_rate_percentage: number | null;
  readonly memory_overhead_bytes: number;
  readonly fragmentation_percentage: number;
  readonly js_gc_pressure_reduction: number | null;
  readonly wasm_js_boundary_allocations: number;
  readonly borrowed: number;
  readonly created: number;
  readonly exhausted: number;
  readonly leased: number;
  readonly leases_reclaimed: number;
  readonly buffers_leaked: number;
  readonly bytes_leased: number;
  readonly bytes_held: number;
  readonly bytes_reserved: number;
  readonly bytes_limit: number;
  readonly sample_bytes: number;
  readonly memory_overhead_percentage: number | null;
  readonly largest_free_run_samples: number;
  readonly internal_waste_percentage: number | null;
  readonly classes: readonly ClassMetrics[];
}

/** What {@link Wavepool.metrics} returns: the pools of all threads together, and what stands beside them. */
export interface Metrics extends PoolMetrics {
  readonly objects: ObjectCounts;
  readonly feeds: readonly FeedFigures[];
}

/** JavaScript objects that crossing made necessary so far, in every thread; `wasm_js_boundary_allocations` is their sum. */
export interface ObjectCounts {
  /** Typed arrays over memory that exists. */
  readonly views: number;
  readonly messages: number;
  /** Buffers made for transfers, once more wherever one arrives. */
  readonly buffers: number;
}

export interface FeedFigures {
  readonly feed: number;
  /** In Hz. */
  readonly sample_rate: number;
  readonly channels: number;
  /** Frames per block. */
  readonly frames: number;
  /** The latency that the feed keeps, in frames. */
  readonly latency_frames: number;
  /** Whether the source sets the pace, and not the feed. */
  readonly live: boolean;
  /** Times that the writer was late. */
  readonly underruns: number;
  /** Live feeds: frames that were dropped because they came later than the latency. */
  readonly late_frames: number;
}

export interface ClassMetrics {
  readonly samples: number;
  readonly carved: number;
  readonly idle: number;
  readonly leased: number;
  readonly high_water: number;
  readonly recent_high_water: number;
  readonly hits: number;
  readonly borrowed: number;
  readonly created: number;
  readonly exhausted: number;
  /** Superseded by learned classes; goes when its last buffer is back. */
  readonly retired: boolean;
  readonly requested_samples: number;
  /** Go back to the arena as soon as they are idle. */
  readonly draining: number;
}

export type Priority = 'critical' | 'high' | 'normal';

export type BusFigures = Readonly<Record<Priority, LaneFigures>> & {
  /** Threads' ways into the bus that are open. */
  readonly publishers: number;
};

export interface LaneFigures {
  readonly published: number;
  readonly delivered: number;
  readonly dropped: number;
  /** Their last subscriber left before they were dispatched. */
  readonly unclaimed: number;
  /** In the lane now. */
  readonly pending: number;
  /** Delivered after the lane's deadline. */
  readonly late: number;
  /** From publishing to the first handler; `null` before anything was delivered. */
  readonly latency: Latency | null;
}

export interface Latency {
  readonly p50_ns: number;
  readonly p99_ns: number;
  readonly p999_ns: number;
  readonly max_ns: number;
}

export interface BusEvent {
  readonly seq: number;
  readonly name: string;
  readonly priority: Priority;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What the events said happened beside what the pool itself counted: equal, or events were lost. */
export interface EventTally {
  readonly allocation_events: number;
  readonly allocations_counted: number;
  readonly recycling_events: number;
  readonly recyclings_counted: number;
}

export interface ModuleState {
  readonly name: string;
  readonly version: string;
  readonly state: string;
}

/** Pages of 64 KiB of the worker's memory, which in shared mode is everybody's. */
export interface MemoryFigures {
  readonly pages_at_boot: number;
  /** 0 in shared mode: views would be stale otherwise. */
  readonly pages_grown: number;
}

/** What people look at, not what anything depends on. In transfer mode the worker's pool alone. */
export interface Inspection {
  readonly arena: ArenaMap;
  readonly demand: readonly ClassDemand[];
  /** Sizes asked for, in samples rounded up to 16, and how often. */
  readonly sizes: readonly Bar[];
  /** The optimizer's last plan; `null` before the first. */
  readonly plan: AppliedPlan | null;
  readonly alerts: readonly AlertState[];
  /** `null` while demand is not recorded. */
  readonly recording: { readonly requests: number; readonly dropped: number } | null;
  /** What a next start should begin with, as JSON. */
  readonly profile: string;
  /** Which measurement says what JavaScript objects weigh; `null` while none does, and `js_gc_pressure_reduction` with it. */
  readonly unit_costs: string | null;
}

export type SpanState = 'leased' | 'idle' | 'free';

/** Region, first sample, samples of each, how many side by side, state. */
export type ArenaSpan = readonly [number, number, number, number, SpanState];

export interface ArenaMap {
  /** Length of each region in samples. */
  readonly regions: readonly number[];
  /** By region and place; together they cover every sample. */
  readonly spans: readonly ArenaSpan[];
  /** Spans beyond the most that a snapshot carries. */
  readonly left_off: number;
}

/** A value and how often it was seen. */
export type Bar = readonly [number, number];

/** Over the last ten seconds with requests. */
export interface ClassDemand {
  readonly samples: number;
  /** Buffers in use at once, one count for each control step. */
  readonly concurrent: readonly Bar[];
  /** Mean pause between two requests in microseconds. */
  readonly pause_us: readonly Bar[];
}

export interface AppliedPlan {
  /** What was done and why, in words. */
  readonly steps: readonly string[];
  readonly age_s: number;
  readonly before: Effect;
  readonly expected: Effect;
  /** `null` until a window has passed. */
  readonly measured: Effect | null;
}

export interface Effect {
  readonly bytes_held: number;
  readonly hit_rate_percentage: number | null;
  readonly internal_waste_percentage: number | null;
}

export type AlertKind = 'hit_rate_low' | 'memory_overhead_high' | 'fragmentation' | 'exhausted' | 'leaked';

export interface AlertState {
  readonly kind: AlertKind;
  readonly raised: boolean;
  /** `null` before it was judged, or when it cannot be. */
  readonly value: number | null;
  /** Raised beyond this. */
  readonly raise: number;
  /** Over once on the good side of this; `null` for what ends by time, or not at all. */
  readonly clear: number | null;
}
