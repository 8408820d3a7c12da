/** The frames of a render quantum, if the browser does not tell. */
const USUAL_QUANTUM = 128;
/** How often a later time is tried after the context has refused one. */
const MOST_TRIES = 16;

let warned = false;

/** Warns once. Skipped windows are counted, but the count does not tell the reason. */
function warn(): void {
  if (warned) return;
  warned = true;
  console.warn('Wavepool: this browser cannot suspend an OfflineAudioContext, so its taps and tuners skip windows that are not read in time. See `skipped_windows`.');
}

/** A stream whose windows are read before more of them are rendered. */
export interface Paced {
  /** Frames that can be rendered while no window is read. */
  readonly framesAhead: number;
  /** Settles when all windows that were rendered so far have been read, or will not be. */
  catchUp(): Promise<void>;
}

const pacers = new WeakMap<OfflineAudioContext, OfflinePacer>();

/**
 * An `OfflineAudioContext` renders faster than windows are read. So it is suspended repeatedly, until the windows so far were read: no
 * window is skipped, and memory stays bounded. See
 * `docs/decisions/0040-offline-contexts-wait-for-readers.md`.
 */
export class OfflinePacer {
  private readonly context: OfflineAudioContext;
  private readonly streams = new Set<Paced>();
  /** Frames for which a suspension is scheduled, with what resolves the page's own request for the same frame, if there is one. */
  private readonly scheduled = new Map<number, (() => void) | null>();
  private readonly suspend: (time: number) => Promise<void>;

  private constructor(context: OfflineAudioContext) {
    this.context = context;
    this.suspend = context.suspend.bind(context);
    // A context accepts one suspension for each quantum: one of the page's would be refused where one of ours is.
    const shared = (time: number): Promise<void> =>
      this.suspend(time).catch((refused: unknown) => this.share(time * context.sampleRate) ?? Promise.reject(refused));
    Object.defineProperty(context, 'suspend', { value: shared, configurable: true, writable: true });
  }

  private get quantum(): number {
    return (this.context as { renderQuantumSize?: number }).renderQuantumSize ?? USUAL_QUANTUM;
  }

  /** Shares our suspension at this frame with the page; null if there is none, or it is shared already. */
  private share(at: number): Promise<void> | null {
    for (const [frame, page] of this.scheduled) {
      if (page === null && Math.abs(frame - at) < this.quantum) {
        return new Promise((reached) => this.scheduled.set(frame, reached));
      }
    }
    return null;
  }

  /** Has the context also wait for this stream, if it renders offline and can be suspended. */
  static add(context: BaseAudioContext, stream: Paced): void {
    const offline = typeof OfflineAudioContext === 'function' && context instanceof OfflineAudioContext;
    if (!offline) return;
    if (typeof context.suspend !== 'function') return warn();
    const pacer = pacers.get(context) ?? new OfflinePacer(context);
    pacers.set(context, pacer);
    pacer.streams.add(stream);
    pacer.schedule(stream.framesAhead);
  }

  static delete(context: BaseAudioContext, stream: Paced): void {
    pacers.get(context as OfflineAudioContext)?.streams.delete(stream);
  }

  /** Schedules a suspension at most this number of frames from now. */
  private schedule(ahead: number): void {
    const { quantum } = this;
    const { sampleRate, currentTime } = this.context;
    const now = Math.round(currentTime * sampleRate);
    const frame = now + Math.max(Math.floor(ahead / quantum), 1) * quantum;
    // An earlier suspension will schedule this one.
    for (const other of this.scheduled.keys()) if (other > now && other <= frame) return;
    this.suspendAt(frame, quantum, MOST_TRIES);
  }

  private suspendAt(frame: number, quantum: number, tries: number): void {
    const { context, scheduled } = this;
    if (frame >= context.length || tries === 0) return;
    scheduled.set(frame, null);
    const refused = (): void => {
      scheduled.delete(frame);
      // The page has a suspension there, or the context has rendered beyond it.
      this.suspendAt(frame + quantum * 2 ** (MOST_TRIES - tries), quantum, tries - 1);
    };
    this.suspend(frame / context.sampleRate).then(() => this.pause(frame), refused);
  }

  /** The next suspension is scheduled first, so that it was accepted before the context resumes. */
  private async pause(frame: number): Promise<void> {
    const streams = [...this.streams];
    if (streams.length > 0) this.schedule(Math.min(...streams.map(({ framesAhead }) => framesAhead)));
    await Promise.allSettled(streams.map((stream) => stream.catchUp()));
    const page = this.scheduled.get(frame);
    this.scheduled.delete(frame);
    // If the suspension is shared, the page resumes the context. It may have done so already.
    if (page) page();
    else await this.context.resume().catch(() => undefined);
  }
}
