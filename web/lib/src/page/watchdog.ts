/** How the page notices that a worker is alive and stuck: see `docs/decisions/0042-stuck-workers-are-reported-only.md`. */

/** The time between two checks; once a second on a hidden page, whose timers are throttled. */
const CHECK_MS = 100;
/** The number of checks in a row without progress that is reported. Half a second without progress is normal on a busy machine. */
const STUCK_CHECKS = 7;
/** The number of checks after which pending requests are rejected. */
const REFUSAL_CHECKS = 50;
/** The same while the worker boots, when it compiles and allocates. */
const REFUSAL_CHECKS_AT_BOOT = 100;

/** The worker's activities in words, by the numbers of `web/host/src/control/activity.rs`. */
const ACTIVITIES: readonly ((stream: number) => string)[] = [
  () => 'running its own JavaScript',
  () => 'delivering events',
  (stream) => `analysing a window of stream ${stream}`,
  () => 'exercising the pool',
  () => 'running a control step of the pool',
  () => 'writing the figures for the page',
  () => 'opening or closing a stream or a pool',
  () => 'sleeping until its next turn',
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

  /** The current activity in words. */
  get description(): string {
    const activity = ACTIVITIES[Atomics.load(this.words, 1)];
    return activity ? activity(Atomics.load(this.words, 2)) : 'doing something that this script does not know';
  }
}

export interface Watched {
  /** Whether a request is pending; without one, and without a context that runs, nothing is checked. */
  expected(): boolean;
  booting(): boolean;
  /** A number that changes with each progress. */
  progress(): number;
  /** Sends a message that the worker answers. */
  ping(): void;
  /** The worker makes no progress. Called once until it does. */
  stuck(stuckMs: number): void;
  /** The worker has made no progress for so long that pending requests are rejected. Called at each further check, for new requests. */
  refuse(stuckMs: number): void;
}

/**
 * Checks whether a worker makes progress, as long as that is expected: any message is progress, and in shared mode any piece of work. A
 * worker without progress between two checks is pinged.
 */
export class Watchdog {
  private readonly watched: Watched;
  private readonly contexts = new Map<BaseAudioContext, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Number of checks in a row without progress. */
  private checks = 0;
  private last = 0;
  private progressed = 0;
  private received = false;
  private pinged = false;
  private stopped = false;
  private readonly onStateChange = (): void => this.start();

  constructor(watched: Watched) {
    this.watched = watched;
  }

  /** A message has arrived; `answer`: the response to a ping. */
  receive(answer: boolean): void {
    this.received = true;
    if (answer) this.pinged = false;
  }

  /** Progress may be expected from now on. A worker that was stuck before still is, unless it made progress since. */
  start(): void {
    if (this.stopped || this.timer !== undefined || !this.isNeeded()) return;
    if (this.checks === 0 || this.hasMoved) this.reset();
    this.scheduleCheck();
  }

  /** Streams of this context need the worker while it runs. */
  follow(context: BaseAudioContext): void {
    if (this.stopped) return;
    const streams = this.contexts.get(context) ?? 0;
    this.contexts.set(context, streams + 1);
    if (streams === 0) context.addEventListener('statechange', this.onStateChange);
    this.start();
  }

  unfollow(context: BaseAudioContext): void {
    const streams = (this.contexts.get(context) ?? 0) - 1;
    if (streams > 0) {
      this.contexts.set(context, streams);
      return;
    }
    this.contexts.delete(context);
    context.removeEventListener('statechange', this.onStateChange);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    for (const context of this.contexts.keys()) context.removeEventListener('statechange', this.onStateChange);
    this.contexts.clear();
  }

  private isNeeded(): boolean {
    return this.watched.expected() || [...this.contexts.keys()].some(({ state }) => state === 'running');
  }

  private scheduleCheck(): void {
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (!this.stopped && this.isNeeded()) this.check();
    }, CHECK_MS);
  }

  private check(): void {
    // First, because the callbacks below may throw, or stop this watchdog.
    this.scheduleCheck();
    if (this.hasMoved) return this.reset();
    this.checks += 1;
    if (!this.pinged) {
      this.pinged = true;
      this.watched.ping();
    }
    const stuckMs = performance.now() - this.progressed;
    if (this.checks >= (this.watched.booting() ? REFUSAL_CHECKS_AT_BOOT : REFUSAL_CHECKS)) this.watched.refuse(stuckMs);
    if (this.checks === STUCK_CHECKS) this.watched.stuck(stuckMs);
  }

  /** Whether there was progress since the last reset. */
  private get hasMoved(): boolean {
    return this.received || this.watched.progress() !== this.last;
  }

  /** Begins anew after progress. */
  private reset(): void {
    this.received = false;
    this.checks = 0;
    this.last = this.watched.progress();
    this.progressed = performance.now();
  }
}
