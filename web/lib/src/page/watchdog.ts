/** How the page notices that a worker is alive and stuck: see `docs/decisions/0042-stuck-workers-are-reported-only.md`. */

/** Between two looks. A hidden page's timers come once a second, and so do its looks. */
const LOOK_MS = 100;
/** So many looks in a row without progress are reported: a machine that is busy for half a second is no reason for alarm. */
const STUCK_LOOKS = 7;
/** After so many, whatever waits for the worker is refused: nobody waits for ever. */
const REFUSAL_LOOKS = 50;
/** The same for a worker that boots, which compiles and allocates first. */
const REFUSAL_LOOKS_AT_BOOT = 100;

/** What the worker does, by the numbers of `src/web/activity.rs`. */
const ACTIVITIES: readonly ((stream: number) => string)[] = [
  () => 'running its own JavaScript',
  () => 'delivering events',
  (stream) => `analysing a window of stream ${stream}`,
  () => 'exercising the pool',
  () => 'running a control step of the pool',
];

/** Shared mode: words that the worker writes before each piece of its work. */
export class Activity {
  private readonly words: Int32Array;

  constructor(memory: WebAssembly.Memory, address: number) {
    this.words = new Int32Array(memory.buffer, address, 3);
  }

  /** Changes with each piece of work. */
  get progress(): number {
    return Atomics.load(this.words, 0);
  }

  /** In plain words. */
  get description(): string {
    const activity = ACTIVITIES[Atomics.load(this.words, 1)];
    return activity ? activity(Atomics.load(this.words, 2)) : 'doing something that this script does not know';
  }
}

export interface Watched {
  /** There is something that the worker owes: nothing is looked at otherwise. */
  expected(): boolean;
  booting(): boolean;
  /** A number that differs when there was progress. */
  progress(): number;
  /** Asks for a sign of life. */
  ping(): void;
  /** It makes no progress. Called once until it does. */
  stuck(silentMs: number): void;
  /** It has made none for so long that nobody should wait for it. Called again with each look, for those who came since. */
  refuse(silentMs: number): void;
}

/**
 * Looks whether the control worker makes progress, as long as it owes anything: any message is progress, and in shared mode
 * any piece of work. A worker that was silent between two looks is asked for a sign of life.
 */
export class Watchdog {
  private readonly watched: Watched;
  private readonly contexts = new Map<BaseAudioContext, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Looks in a row without progress. */
  private silent = 0;
  private last = 0;
  private progressed = 0;
  private received = false;
  private pinged = false;
  private stopped = false;
  private readonly wake = (): void => this.look();

  constructor(watched: Watched) {
    this.watched = watched;
  }

  /** A message came; a sign of life if it was asked for. */
  receive(answer: boolean): void {
    this.received = true;
    if (answer) this.pinged = false;
  }

  /** Something may be expected from now on. A worker that was stuck when nothing was expected any more still is, unless it moved. */
  look(): void {
    if (this.stopped || this.timer !== undefined || !this.isNeeded()) return;
    if (this.silent === 0 || this.hasMoved) this.reset();
    this.lookAgain();
  }

  /** Streams of this context need the worker while it runs. */
  follow(context: BaseAudioContext): void {
    if (this.stopped) return;
    const streams = this.contexts.get(context) ?? 0;
    this.contexts.set(context, streams + 1);
    if (streams === 0) context.addEventListener('statechange', this.wake);
    this.look();
  }

  unfollow(context: BaseAudioContext): void {
    const streams = (this.contexts.get(context) ?? 0) - 1;
    if (streams > 0) {
      this.contexts.set(context, streams);
      return;
    }
    this.contexts.delete(context);
    context.removeEventListener('statechange', this.wake);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    for (const context of this.contexts.keys()) context.removeEventListener('statechange', this.wake);
    this.contexts.clear();
  }

  private isNeeded(): boolean {
    return this.watched.expected() || [...this.contexts.keys()].some(({ state }) => state === 'running');
  }

  private lookAgain(): void {
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (!this.stopped && this.isNeeded()) this.examine();
    }, LOOK_MS);
  }

  private examine(): void {
    // First of all: what is called below may throw, or stop this.
    this.lookAgain();
    if (this.hasMoved) return this.reset();
    this.silent += 1;
    if (!this.pinged) {
      this.pinged = true;
      this.watched.ping();
    }
    const silentMs = performance.now() - this.progressed;
    if (this.silent >= (this.watched.booting() ? REFUSAL_LOOKS_AT_BOOT : REFUSAL_LOOKS)) this.watched.refuse(silentMs);
    if (this.silent === STUCK_LOOKS) this.watched.stuck(silentMs);
  }

  /** Whether there was progress since the last reset. */
  private get hasMoved(): boolean {
    return this.received || this.watched.progress() !== this.last;
  }

  /** There was progress just now. */
  private reset(): void {
    this.received = false;
    this.silent = 0;
    this.last = this.watched.progress();
    this.progressed = performance.now();
  }
}
