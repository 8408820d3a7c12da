import { controlWorker } from './assets.ts';
import { WavepoolError, messageOf } from '../shared/errors.ts';
import { signal, newWakeCounter } from '../shared/wake_counter.ts';
import type { FromHost, Holder, HostAnswers, HostRequest, ToHost } from '../shared/protocol.ts';
import { Activity, Watchdog } from './watchdog.ts';

/** A worker whose script does not run after so long will not run: it failed to load without an error, or its thread was ended. */
const START_MS = 60_000;

type Waiting = {
  readonly kind: HostRequest['kind'];
  readonly resolve: (value: never) => void;
  readonly reject: (error: WavepoolError) => void;
  /** Called with an answer that arrived after the request was rejected. */
  readonly late: (value: never) => void;
  /** The worker has begun with it. */
  begun: boolean;
};

/** A thread that holds a Web Lock for as long as it has leases. */
export interface LockHolder {
  readonly lock: string;
  /** Called when the thread is gone, with the number of leases that were reclaimed. */
  lost(leases: number): void;
}

/** The thread that is alive and makes no progress: the library's control worker, or a worker of the page that reads a tap. */
export type StuckThread = 'control-worker' | 'reader';

/** The page's connection to the control worker: one answer or refusal per request. */
export class HostWorker {
  onSnapshot: (json: string) => void = () => {};
  onCrash: (message: string) => void = () => {};
  /** Called when the control worker, or a worker of the page that reads a tap, is alive and makes no progress. */
  onStuck: (message: string, thread: StuckThread) => void = () => {};
  readonly watchdog: Watchdog;
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  /** Requests that were rejected because the worker was stuck; it may still answer them. */
  private readonly refused = new Map<number, Waiting>();
  private readonly participants = new Set<LockHolder>();
  /** Shared mode: wakes the worker, which sleeps without returning to its event loop. */
  private wakeCounter: Int32Array | null = null;
  private nextId = 1;
  /** Its files are loaded: a worker whose files are slow to load is not stuck. */
  private started = false;
  private startLimit: ReturnType<typeof setTimeout> | undefined;
  private booted = false;
  /** Shared mode: the worker's current activity. */
  private activity: Activity | null = null;
  /** The error of every further request, after the worker has died. */
  private dead: WavepoolError | null = null;

  constructor() {
    this.worker = controlWorker();
    this.worker.onmessage = (event: MessageEvent<FromHost>) => this.receive(event.data);
    this.worker.onerror = (event) => {
      this.fail(`The control worker failed: ${event.message || 'its script did not load'}.`);
    };
    this.watchdog = new Watchdog({
      expected: () => this.started && this.waiting.size > 0,
      booting: () => !this.booted,
      progress: () => this.activity?.progress ?? 0,
      ping: () => this.post({ kind: 'ping' }),
      stuck: (stuckMs) => this.onStuck(this.stuck(stuckMs), 'control-worker'),
      refuse: (stuckMs) => this.refuse(stuckMs),
    });
  }

  /** Boots the worker, and watches it from then on. */
  async boot(request: Omit<Extract<HostRequest, { kind: 'boot' }>, 'kind' | 'lock' | 'wakeCounter'>): Promise<HostAnswers['boot']> {
    const lock = `wavepool ${crypto.randomUUID()}`;
    this.wakeCounter = request.mode === 'shared' ? newWakeCounter() : null;
    const late = `The control worker did not start within ${START_MS / 1000} seconds: its files did not load, or its thread was ended. Try again, or reload the page.`;
    this.startLimit = setTimeout(() => this.fail(late), START_MS);
    const answer = await this.request<'boot'>({ kind: 'boot', lock, wakeCounter: this.wakeCounter, ...request });
    this.booted = true;
    if (answer.memory) this.activity = new Activity(answer.memory, answer.activity);
    navigator.locks
      .request(lock, () => this.fail('The control worker is gone.'))
      .catch((thrown: unknown) => this.fail(`The control worker cannot be watched: ${messageOf(thrown)}.`));
    return answer;
  }

  /**
   * Rejected with `host-stuck` when the worker makes no progress for long. If the worker executes the request later, `late` is called with
   * the answer.
   */
  request<K extends HostRequest['kind']>(
    request: Extract<HostRequest, { kind: K }>,
    transfer: Transferable[] = [],
    late: (answer: HostAnswers[K]) => void = () => {},
  ): Promise<HostAnswers[K]> {
    if (this.dead) return Promise.reject(this.dead);
    const id = this.nextId++;
    return new Promise<HostAnswers[K]>((resolve, reject) => {
      this.waiting.set(id, { kind: request.kind, resolve, reject, late, begun: false });
      this.post({ ...request, id } satisfies ToHost, transfer);
      this.watchdog.start();
    });
  }

  private post(message: ToHost, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer);
    if (this.wakeCounter) signal(this.wakeCounter);
  }

  /** Reclaims the participant's leases when its thread dies. */
  watch(participant: LockHolder, holder: Holder): void {
    this.participants.add(participant);
    void navigator.locks.request(participant.lock, async () => {
      // The lock is free after the thread has left, and is not watched any more, or has died.
      if (this.participants.delete(participant)) await this.reclaim(participant, holder);
    });
  }

  /** Has the worker reclaim the leases of a participant whose thread is gone. */
  async reclaim(participant: LockHolder, holder: Holder): Promise<void> {
    const reclaimed = ({ leases }: HostAnswers['reclaim']): void => participant.lost(leases);
    // A worker that has died reclaims nothing; its death is reported by `onCrash`. One that is stuck may reclaim later.
    await this.request<'reclaim'>({ kind: 'reclaim', holder }, [], reclaimed).then(reclaimed, () => undefined);
  }

  /** The participant has left. */
  unwatch(participant: LockHolder): void {
    this.participants.delete(participant);
  }

  /** Throws if the worker has died. */
  check(): void {
    if (this.dead) throw this.dead;
  }

  /** Terminates the worker at once, even if it is stuck. */
  terminate(why = 'The pool was closed.'): void {
    this.worker.terminate();
    // A worker that sleeps ends only after it wakes.
    if (this.wakeCounter) signal(this.wakeCounter);
    this.fail(why, 'closed');
  }

  private receive(message: FromHost): void {
    this.watchdog.receive(message.kind === 'alive');
    switch (message.kind) {
      case 'alive':
        this.started = true;
        clearTimeout(this.startLimit);
        return this.watchdog.start();
      case 'begun': {
        const request = this.waiting.get(message.id) ?? this.refused.get(message.id);
        if (request) request.begun = true;
        return;
      }
      case 'snapshot':
        return this.onSnapshot(message.json);
      case 'crash':
        return this.fail(`The control worker stopped: ${message.message}.`);
      case 'answer':
        this.take(this.waiting, message.id)?.resolve(message.value as never);
        this.take(this.refused, message.id)?.late(message.value as never);
        return;
      case 'refusal':
        this.take(this.waiting, message.id)?.reject(new WavepoolError('stream-refused', message.message));
        this.refused.delete(message.id);
    }
  }

  private take(requests: Map<number, Waiting>, id: number): Waiting | undefined {
    const request = requests.get(id);
    requests.delete(id);
    return request;
  }

  /** Describes what a worker that makes no progress was doing. */
  private stuck(stuckMs: number): string {
    const begun = [...this.waiting.values(), ...this.refused.values()].filter((request) => request.begun).map(({ kind }) => kind);
    const own = 'at work between requests (windows of open streams, a control step of the pool, events)';
    const doing = this.activity?.description ?? (begun.length > 0 ? 'answering a request' : own);
    const requests = begun.length > 0 ? `; requests begun and not answered: ${begun.join(', ')}` : '';
    return `The control worker is stuck: no progress for ${Math.round(stuckMs)} ms while ${doing}${requests}.`;
  }

  /** Rejects all pending requests. The worker is not terminated, because it may make progress later and answer then. */
  private refuse(stuckMs: number): void {
    const error = new WavepoolError('host-stuck', `${this.stuck(stuckMs)} This call is not waited for any longer; \`restart()\` terminates that worker and starts another one.`);
    for (const [id, request] of this.waiting) {
      this.refused.set(id, request);
      request.reject(error);
    }
    this.waiting.clear();
  }

  private fail(message: string, code: 'host-failed' | 'closed' = 'host-failed'): void {
    if (this.dead) return;
    this.watchdog.stop();
    clearTimeout(this.startLimit);
    this.dead = new WavepoolError(code, message);
    for (const { reject } of this.waiting.values()) reject(this.dead);
    this.waiting.clear();
    this.refused.clear();
    if (code !== 'closed') this.onCrash(message);
  }
}
