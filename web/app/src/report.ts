import type { BusFigures, DispatchGap, EventTally, MemoryFigures, Mode, ModuleState, Note, ObjectCounts, PoolMetrics, Snapshot, StreamFigures } from '../../lib/src/index.ts';

/** Notes kept of one stream: about seven minutes at 47 windows a second. */
const mostNotes = 20_000;

/** What one stream came to, as JSON. `null` means "not measured". */
export interface Report {
  readonly version: 1;
  readonly mode: Mode;
  readonly mode_reason: string;
  readonly source: string | null;
  readonly sample_rate: number | null;
  readonly quantum_frames: number | null;
  readonly channels: number | null;
  readonly window: number | null;
  readonly hop: number | null;
  readonly quanta: number;
  readonly frames: number;
  readonly windows: number;
  readonly skipped_windows: number;
  readonly interrupted_windows: number;
  readonly bytes_copied_per_window: number | null;
  readonly allocator_calls: number;
  readonly notes: readonly Note[];
  /** The oldest ones, once the log is full. */
  readonly notes_forgotten: number;
  readonly pool: PoolMetrics;
  /** JavaScript objects made so far to pass samples. */
  readonly objects: ObjectCounts;
  /** Acquires after the stream's first second, when the pool should be warm. */
  readonly steady: { readonly hits: number; readonly misses: number; readonly hit_rate_percentage: number | null } | null;
  readonly bus: BusFigures;
  /** The times without a delivery of events, by what the control worker did meanwhile. */
  readonly dispatch_gaps: readonly DispatchGap[];
  readonly tally: EventTally;
  readonly modules: readonly ModuleState[];
  readonly memory: MemoryFigures;
  readonly leaked: number;
  readonly underruns: number | null;
}

/** Remembers one stream: its notes, bounded, and the last figures of everything else. */
export class SessionLog {
  #last: Snapshot | null = null;
  #memory: { readonly held: number; readonly peak: number } | null = null;
  #stream: StreamFigures | null = null;
  #source: string | null = null;
  #notes: Note[] = [];
  #forgotten = 0;
  #steady: { readonly from: PoolMetrics; readonly to: PoolMetrics } | null = null;

  /** Forgets the stream before; the pool's own counts go on. */
  open(): void {
    this.#stream = null;
    this.#source = null;
    this.#notes = [];
    this.#forgotten = 0;
    this.#steady = null;
  }

  name(source: string): void {
    this.#source = source;
  }

  add(snapshot: Snapshot): void {
    this.#last = snapshot;
    if (snapshot.inspection) this.#memory = { held: snapshot.pool.bytes_held, peak: snapshot.inspection.peak_bytes };
    if (snapshot.stream) {
      this.#stream = snapshot.stream;
      if (snapshot.stream.frames >= snapshot.stream.sample_rate) this.#steady ??= { from: snapshot.pool, to: snapshot.pool };
    }
    // A pool that counts anew, as one that went with its stream, says nothing of the time measured here.
    if (this.#steady && goesOn(this.#steady.to, snapshot.pool)) this.#steady = { from: this.#steady.from, to: snapshot.pool };
    for (const note of snapshot.notes) this.#notes.push(note);
    // In slices, so that a full log does not move itself along with every window.
    if (this.#notes.length > mostNotes + 1000) {
      this.#forgotten += this.#notes.length - mostNotes;
      this.#notes.splice(0, this.#notes.length - mostNotes);
    }
  }

  /** What the pool holds, and the most that was in use at a time lately; null before the first inspection. */
  get memory(): { readonly held: number; readonly peak: number } | null {
    return this.#memory;
  }

  /** The stream is closed: its final figures are later than those of any snapshot before. */
  close(last: Snapshot): void {
    this.#stream = last.closed_stream ?? this.#stream;
  }

  report(underruns: number | null): Report | null {
    const last = this.#last;
    if (!last) return null;
    const stream = this.#stream;
    return {
      version: 1,
      mode: last.mode,
      mode_reason: last.mode_reason,
      source: this.#source,
      sample_rate: stream?.sample_rate ?? null,
      quantum_frames: stream?.quantum_frames ?? null,
      channels: stream?.channels ?? null,
      window: stream?.window ?? null,
      hop: stream?.hop ?? null,
      quanta: stream?.quanta ?? 0,
      frames: stream?.frames ?? 0,
      windows: stream?.windows ?? 0,
      skipped_windows: stream?.skipped_windows ?? 0,
      interrupted_windows: stream?.interrupted_windows ?? 0,
      bytes_copied_per_window: stream?.bytes_copied_per_window ?? null,
      allocator_calls: stream?.allocator_calls ?? 0,
      notes: this.#notes,
      notes_forgotten: this.#forgotten,
      pool: last.pool,
      objects: last.objects,
      steady: this.#steadyRate(),
      bus: last.bus,
      dispatch_gaps: last.dispatch_gaps,
      tally: last.tally,
      modules: last.modules,
      memory: last.memory,
      leaked: last.leaked,
      underruns,
    };
  }

  #steadyRate(): Report['steady'] {
    if (!this.#steady) return null;
    const { from, to } = this.#steady;
    const hits = to.pool_hits - from.pool_hits;
    const misses = to.pool_misses - from.pool_misses;
    const all = hits + misses;
    return { hits, misses, hit_rate_percentage: all === 0 ? null : (100 * hits) / all };
  }
}

function goesOn(before: PoolMetrics, after: PoolMetrics): boolean {
  return after.pool_hits >= before.pool_hits && after.pool_misses >= before.pool_misses;
}

/** Hands JSON to the person as a file. */
export function saveFile(what: string, json: string): void {
  const url = URL.createObjectURL(new Blob([json], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `wavepool-${what}-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}.json`;
  link.click();
  URL.revokeObjectURL(url);
}
