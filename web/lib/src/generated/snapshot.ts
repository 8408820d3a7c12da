// Generated from Rust by `cargo xtask generate`; a test compares. Do not edit.

/** What the pool, the bus and the analysis report, about twenty times a second. `null` always means "not measured", never zero. */
export interface Snapshot {
  /** The version of this format: 1. */
  readonly version: number;
  readonly mode: Mode;
  /** Why this mode was chosen, as a sentence. */
  readonly mode_reason: string;
  /** The stream that was opened last; `null` while none is open. */
  readonly stream: StreamFigures | null;
  /** The streams of all open taps and tuners, in the order in which they were opened. */
  readonly streams: readonly StreamFigures[];
  /** The stream that closed last, with its final figures. */
  readonly closed_stream: StreamFigures | null;
  /** The windows with a pitch since the last snapshot, at most 256. */
  readonly notes: readonly Note[];
  /** The level of the last analysed window. */
  readonly level: Level | null;
  readonly pool: PoolMetrics;
  readonly bus: BusFigures;
  /** The times without a delivery of events, by what the control worker did meanwhile. */
  readonly dispatch_gaps: readonly DispatchGap[];
  /** The events since the last snapshot, oldest first, at most 64. */
  readonly events: readonly BusEvent[];
  readonly tally: EventTally;
  readonly modules: readonly ModuleState[];
  readonly memory: MemoryFigures;
  /** JavaScript objects that were made to pass data between JavaScript and this module, by kind. */
  readonly objects: ObjectCounts;
  /** The open feeds. */
  readonly feeds: readonly FeedFigures[];
  /** Buffers that no thread can release any more. */
  readonly leaked: number;
  /** Present twice a second; `null` in the snapshots between. */
  readonly inspection: Inspection | null;
}

/**
 * How the threads of the page share data.
 * - `shared`: Page, worker and worklet have one memory.
 * - `transfer`: Each has a memory of its own.
 */
export type Mode = 'shared' | 'transfer';

/** The figures of the stream of a tap or a tuner. */
export interface StreamFigures {
  /** The stream's number in events and notes. */
  readonly stream: number;
  readonly consumer: StreamConsumer;
  /** In Hz. */
  readonly sample_rate: number;
  readonly channels: number;
  /** Frames per window. */
  readonly window: number;
  /** Frames between the beginnings of two windows. */
  readonly hop: number;
  /** Frames per quantum; `null` before the first quantum. */
  readonly quantum_frames: number | null;
  readonly quanta: number;
  readonly frames: number;
  readonly windows: number;
  /** Windows that were skipped because no buffer was free, or the queue was full. */
  readonly skipped_windows: number;
  /** Windows that were discarded because the stream had a gap. */
  readonly interrupted_windows: number;
  /** Frames in gaps of the stream, whether or not a window was open. */
  readonly lost_frames: number;
  /** `null` before the first window. */
  readonly bytes_copied_per_window: number | null;
  /** Calls of the WebAssembly allocator in the quanta of the audio thread: 0, or the thread may have waited. */
  readonly allocator_calls: number;
}

/**
 * The reader of a stream's windows.
 * - `tuner`: The host, which measures level and pitch.
 * - `reader`: JavaScript: the page, or a worker.
 */
export type StreamConsumer = 'tuner' | 'reader';

/** A window with a pitch. */
export interface Note {
  readonly stream: number;
  /** Beginning of the window, in seconds of the stream. */
  readonly t_s: number;
  /** Letter, accidental, octave: `A4`, `C#5`. */
  readonly note: string;
  readonly hz: number;
  /** Distance from the named note, -50 to 50. */
  readonly cents: number;
  /** 0 (noise) to 1 (periodic). */
  readonly clarity: number;
}

/** The level of a window. */
export interface Level {
  /**
   * Root mean square relative to full scale, in decibels, from -144 (silence) to 770.6 (the largest finite sample). `null`
   * if a sample of the window is infinite or NaN.
   */
  readonly rms_dbfs: number | null;
  /** The largest sample, likewise. */
  readonly peak_dbfs: number | null;
}

/**
 * A snapshot of the pool. It costs the audio thread nothing, since it is made from counters that this thread writes
 * anyway.
 *
 * While other threads acquire and release, the counters may be a few operations apart; when the pool is idle they agree.
 */
export interface PoolMetrics {
  /**
   * Requests for a buffer, each channel of a planar buffer counted.
   *
   * Formula: pool_hits + pool_misses.
   */
  readonly total_allocations: number;
  /**
   * Requests served from idle buffers of their own class.
   *
   * Formula: sum of classes.hits.
   */
  readonly pool_hits: number;
  /**
   * Requests not served from their own class.
   *
   * Formula: borrowed + created + exhausted.
   */
  readonly pool_misses: number;
  /**
   * Share of requests served from their own class; none before the first request.
   *
   * Formula: pool_hits / total_allocations x 100.
   */
  readonly hit_rate_percentage: number | null;
  /**
   * Memory the pool holds beyond samples: tables, lists, padding.
   *
   * Formula: allocated bytes - sample_bytes.
   */
  readonly memory_overhead_bytes: number;
  /**
   * Share of the arena that lies free in runs too short for the largest class.
   *
   * Formula: free bytes in coalesced runs shorter than the largest class / bytes_reserved x 100.
   */
  readonly fragmentation_percentage: number;
  /**
   * Garbage the bridge spared JavaScript; none where no crossing was measured.
   *
   * Formula: (1 - bytes really allocated in JavaScript / bytes of the unpooled path for the same crossings) x 100.
   */
  readonly js_gc_pressure_reduction: number | null;
  /**
   * JavaScript objects the bridge created: views, messages, buffers.
   *
   * Formula: counted at each creation.
   */
  readonly wasm_js_boundary_allocations: number;
  /**
   * Requests served by the next larger class.
   *
   * Formula: sum of classes.borrowed.
   */
  readonly borrowed: number;
  /**
   * Requests served by the system allocator, off the audio thread.
   *
   * Formula: sum of classes.created.
   */
  readonly created: number;
  /**
   * Requests refused because no buffer was idle.
   *
   * Formula: sum of classes.exhausted.
   */
  readonly exhausted: number;
  /**
   * Buffers in use.
   *
   * Formula: sum of classes.leased.
   */
  readonly leased: number;
  /**
   * Leases reclaimed from participants that died.
   *
   * Formula: counted at each reclaim.
   */
  readonly leases_reclaimed: number;
  /**
   * Buffers still leased after their owner was gone or their stream closed.
   *
   * Formula: counted at each leak report.
   */
  readonly buffers_leaked: number;
  /**
   * Capacity of the leased buffers.
   *
   * Formula: sum of classes.leased x classes.samples x 4.
   */
  readonly bytes_leased: number;
  /**
   * Capacity of all carved buffers, leased or idle.
   *
   * Formula: sum of classes.carved x classes.samples x 4.
   */
  readonly bytes_held: number;
  /**
   * Sample memory of the arena, carved or free.
   *
   * Formula: sum of region lengths x 4.
   */
  readonly bytes_reserved: number;
  /**
   * Sample memory the pool may grow to.
   *
   * Formula: as configured.
   */
  readonly bytes_limit: number;
  /**
   * All memory for samples: the arena and recycled vectors.
   *
   * Formula: bytes_reserved - padding of carved buffers + capacity of recycled vectors x 4.
   */
  readonly sample_bytes: number;
  /**
   * Overhead against sample memory; none without sample memory.
   *
   * Formula: memory_overhead_bytes / sample_bytes x 100.
   */
  readonly memory_overhead_percentage: number | null;
  /**
   * Longest run of free arena.
   *
   * Formula: longest coalesced free run.
   */
  readonly largest_free_run_samples: number;
  /**
   * Capacity of leased buffers that was not requested; none if no buffer is leased.
   *
   * Formula: (leased capacity - requested samples) / leased capacity x 100.
   */
  readonly internal_waste_percentage: number | null;
  /**
   * One record per size class, smallest first.
   *
   * Formula: see ClassMetrics.
   */
  readonly classes: readonly ClassMetrics[];
}

/** A snapshot of one size class. */
export interface ClassMetrics {
  /** Samples of each buffer. */
  readonly samples: number;
  /** Buffers that exist: idle and leased. */
  readonly carved: number;
  /** Buffers on a free list: local list, inbox and surplus. */
  readonly idle: number;
  /** Buffers in use. */
  readonly leased: number;
  /** Most buffers ever in use at once. */
  readonly high_water: number;
  /** Most buffers in use at once since the last control step of maintenance. */
  readonly recent_high_water: number;
  /** Requests served from idle buffers of this class. */
  readonly hits: number;
  /** Requests of this class that the next larger one served. */
  readonly borrowed: number;
  /** Requests of this class that the system allocator served, outside the pool. The pool itself counts none. */
  readonly created: number;
  /** Requests of this class that were refused. */
  readonly exhausted: number;
  /** Buffers that return to the arena as soon as they are idle. */
  readonly draining: number;
  /** Whether the class serves no more requests and only waits for its buffers. */
  readonly retired: boolean;
  /** Samples that the holders of the leased buffers requested. */
  readonly requested_samples: number;
}

/** JavaScript objects that were made to pass data, by kind. */
export interface ObjectCounts {
  /** Typed arrays over existing memory. */
  readonly views: number;
  /** Messages. */
  readonly messages: number;
  /** Buffers for transfers: each counts when it is made and whenever it arrives. */
  readonly buffers: number;
  /** Bytes of the contents of messages and buffers, each counted when it is made. */
  readonly content_bytes: number;
}

/** The figures of an open feed. */
export interface FeedFigures {
  /** The page's number of the feed. */
  readonly feed: number;
  readonly sample_rate: number;
  readonly channels: number;
  /** Frames per block. */
  readonly frames: number;
  /** The latency that the feed keeps, in frames. */
  readonly latency_frames: number;
  /** Whether the source sets the pace, and not the feed. */
  readonly live: boolean;
  /** How often the writer was late. */
  readonly underruns: number;
  /**
   * Live feeds: frames that were dropped because they arrived after the latency. A double, which is exact up to 2^53; a 32-bit
   * count of frames would wrap within a day.
   */
  readonly late_frames: number;
}

/**
 * How soon an event must reach its subscribers. A lane is drained only while all higher ones are empty.
 * - `critical`: Within 0.5 ms: events that the audio path must react to.
 * - `high`: Within 5 ms: events that the control side must react to.
 * - `normal`: Within 100 ms: events that people and dashboards read.
 */
export type Priority = 'critical' | 'high' | 'normal';

/**
 * The bus's figures since it was made.
 *
 * Per lane: `published = delivered + unclaimed + dropped + pending`.
 */
export interface BusFigures {
  /** The Critical lanes of all publishers. */
  readonly critical: LaneFigures;
  /** The High lanes of all publishers. */
  readonly high: LaneFigures;
  /** The Normal lanes of all publishers. */
  readonly normal: LaneFigures;
  /**
   * Panics of user code that were caught, on whichever thread: in handlers (inline ones, too), in `Serialize`, and in drops
   * of handlers and of panics' payloads.
   */
  readonly subscriber_panics: number;
  /** Publishers whose lanes are not freed yet. */
  readonly publishers: number;
  /** Bytes in lanes and histograms. */
  readonly bytes_reserved: number;
}

/** The figures of one priority. */
export interface LaneFigures {
  /** Events published while their type had a subscriber. */
  readonly published: number;
  /** Events delivered to at least one subscriber, or forwarded to another instance. */
  readonly delivered: number;
  /** Events lost because the lane was full. */
  readonly dropped: number;
  /** Events whose last subscription ended before they were dispatched. */
  readonly unclaimed: number;
  /** Events that are in the lanes now. */
  readonly pending: number;
  /** Delivered events whose latency exceeded the priority's deadline. */
  readonly late: number;
  /** The time from publishing to the first handler. `null`: no event was delivered yet. */
  readonly latency: Latency | null;
}

/**
 * A distribution of latencies in nanoseconds, each too long by at most one poll of the dispatcher (see
 * `docs/decisions/0001-event-timestamps-from-a-shared-clock-word.md`) and rounded up to 1 %.
 */
export interface Latency {
  /** The median. */
  readonly p50_ns: number;
  /** The 99th percentile. */
  readonly p99_ns: number;
  /** The 99.9th percentile. */
  readonly p999_ns: number;
  /** The maximum. */
  readonly max_ns: number;
}

/** The JSON form of one delivered event. */
export interface BusEvent {
  /** The version of this format: `EventRecord::VERSION`. */
  readonly version: number;
  /** The event's name: `Event::NAME`. */
  readonly name: string;
  /** The event's priority: `Event::PRIORITY`. */
  readonly priority: Priority;
  /**
   * The event's number among those of its publisher and lane, from 0. It has no gaps, unless events were forwarded from
   * another instance and some were lost on the way.
   */
  readonly seq: number;
  /** The publisher's number; the highest bit is set if the event was forwarded from another instance. */
  readonly publisher: number;
  /** The event's fields. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** The deliveries that had to wait for one kind of activity. */
export interface DispatchGap {
  /** What the worker did meanwhile; `idle` is its own JavaScript. */
  readonly activity: Activity;
  /** Deliveries after this activity. */
  readonly deliveries: number;
  /** Those of them for which a Critical event can have waited longer than its deadline. */
  readonly late: number;
  /** The events that were delivered late then. */
  readonly late_events: number;
  /** The longest time without a delivery. */
  readonly max_ms: number;
}

/**
 * A piece of work. The page uses the same numbers: `ACTIVITIES` of `web/lib/src/page/watchdog.ts`.
 * - `idle`: Code of JavaScript.
 * - `events`: Delivering events.
 * - `window`: Analysing a window of the stream with the number in the third word.
 * - `exercise`: The requests of the exercise.
 * - `control_step`: The pool's control step.
 * - `report`: Writing the figures for the page.
 * - `request`: Opening or closing a stream or a participant.
 * - `sleep`: Asleep until the next poll.
 */
export type Activity = 'idle' | 'events' | 'window' | 'exercise' | 'control_step' | 'report' | 'request' | 'sleep';

/** The counts in events beside the counts of the pools: equal, unless events were lost. */
export interface EventTally {
  readonly allocation_events: number;
  readonly allocations_counted: number;
  readonly recycling_events: number;
  readonly recyclings_counted: number;
}

/** A module's health under its name. Serialises flat: `{name, version, state, detail?}`. */
export interface ModuleState {
  /** The module's name: `ModuleDescriptor::name`. */
  readonly name: string;
  /** The module's version: `ModuleDescriptor::version`. */
  readonly version: string;
  /**
   * The health of a module.
   * - `healthy`: The module works as intended.
   * - `degraded`: The module works with restrictions, which the text names.
   * - `failed`: The module does not work, for the reason in the text.
   */
  readonly state: 'healthy' | 'degraded' | 'failed';
  readonly detail?: string;
}

/** The number of pages at boot, and the growth since then. */
export interface MemoryFigures {
  /** Pages of 64 KiB when boot ended. */
  readonly pages_at_boot: number;
  /** Pages added since then: 0 in shared mode, otherwise cached views are stale. */
  readonly pages_grown: number;
}

/** What people look at twice a second. In transfer mode all but the accounts describes the pool of the control worker only. */
export interface Inspection {
  /**
   * The most sample memory in use at a time over the last three seconds with requests. In transfer mode with the peaks of the worklets'
   * pools since they were opened.
   */
  readonly peak_bytes: number;
  /** What each user of a pool with a stated need holds. In transfer mode with those of the worklets' pools. */
  readonly accounts: readonly HalfAccount[];
  /** What recycled vectors need, beside the buffers of the arena. */
  readonly vectors: VectorAccount;
  readonly arena: ArenaMap;
  readonly demand: readonly ClassDemand[];
  /** Requested sizes in samples, rounded up to a cache line, with the number of requests. */
  readonly sizes: readonly Bar[];
  /** The optimizer's last plan; `null` before the first. */
  readonly plan: AppliedPlan | null;
  readonly alerts: readonly AlertState[];
  /** `null` while no requests are recorded. */
  readonly recording: RecordingFigures | null;
  /** The profile for the next start as JSON, which the page stores. */
  readonly profile: string;
  /** The source of the costs of JavaScript objects; `null` if there is none, and `js_gc_pressure_reduction` with it. */
  readonly unit_costs: string | null;
}

/** The account of one half. */
export interface HalfAccount {
  /** The user of the half, for example `stream 3 capture`. */
  readonly name: string;
  /** The sample memory that the user stated as its need when it was opened. */
  readonly bytes_stated: number;
  /** The sample memory of the half's buffers, idle or in use, at the last control step. */
  readonly bytes_held: number;
  /** The part of it that was in use. */
  readonly bytes_leased: number;
  /** The most that was in use at a time. An upper bound if the half uses several classes: the sum of their peaks. */
  readonly bytes_peak: number;
}

/** How much memory recycled vectors need. */
export interface VectorAccount {
  /** The sample memory of all vectors, idle or in use. */
  readonly bytes_held: number;
  /** The part of it that is in use. A vector that was dropped instead of recycled counts as in use. */
  readonly bytes_leased: number;
  /** The most that was in use at a time. */
  readonly bytes_peak: number;
}

/**
 * What a stretch of the arena is at the moment.
 * - `free`: Carved into no buffer.
 * - `idle`: Buffers on a list.
 * - `leased`: Buffers in use.
 */
export type SpanState = 'free' | 'idle' | 'leased';

/**
 * Neighbouring buffers of one class in one state, or one free run.
 *
 * Serialises as `[region, first sample, samples of one, how many, state]`.
 */
export type ArenaSpan = readonly [number, number, number, number, SpanState];

/** The arena at one moment; other threads go on taking and giving back meanwhile. */
export interface ArenaMap {
  /** Length of each region in samples. */
  readonly regions: readonly number[];
  /** By region and place. */
  readonly spans: readonly ArenaSpan[];
  /** Spans beyond the requested number. */
  readonly left_off: number;
}

/** A value, and how often it was counted. */
export type Bar = readonly [number, number];

/** The demand of a size class over the last ten seconds with requests, as histograms in ascending order. */
export interface ClassDemand {
  /** Samples of the class. */
  readonly samples: number;
  /** Buffers in use, counted once per control step. */
  readonly concurrent: readonly Bar[];
  /** Mean time between two requests in microseconds, counted once per control step with requests. */
  readonly pause_us: readonly Bar[];
}

/** The size of a recording that is under way. */
export interface RecordingFigures {
  readonly requests: number;
  /** Requests after the recording was full. */
  readonly dropped: number;
}

/** An applied sizing plan. */
export interface AppliedPlan {
  /** The steps and their reasons in words, in the order in which they were applied. */
  readonly steps: readonly string[];
  /** The time since it was applied. */
  readonly age_s: number;
  readonly before: Effect;
  readonly expected: Effect;
  /** `null` until a window has passed. */
  readonly measured: Effect | null;
}

/** The figures that a plan changes. */
export interface Effect {
  /** Bytes carved into buffers. */
  readonly bytes_held: number;
  /**
   * The share of requests that their own class serves. Expected: the share of observed control steps whose peak the
   * targets cover, weighted by requests.
   */
  readonly hit_rate_percentage: number | null;
  /** The share of acquired capacity that was not requested. */
  readonly internal_waste_percentage: number | null;
}

/**
 * The kind of an alert.
 * - `hit_rate_low`: Too many requests missed their class in the last window.
 * - `memory_overhead_high`: Tables and lists need too much memory compared with the samples.
 * - `fragmentation`: Too much of the arena is in runs that are too short for the largest class.
 * - `exhausted`: Requests failed.
 * - `leaked`: Buffers leaked: they are in use after their holder has ended.
 */
export type AlertKind = 'hit_rate_low' | 'memory_overhead_high' | 'fragmentation' | 'exhausted' | 'leaked';

/** The state of a rule. */
export interface AlertState {
  /** The rule. */
  readonly kind: AlertKind;
  /** Whether the alert was raised and has not ended. */
  readonly raised: boolean;
  /** The figure that was judged last; `null` if it was not judged or not measured. */
  readonly value: number | null;
  /** The alert is raised beyond this value. */
  readonly raise: number;
  /** The alert ends when the figure is better than this value; `null` for an alert that ends after a time, or never. */
  readonly clear: number | null;
}
