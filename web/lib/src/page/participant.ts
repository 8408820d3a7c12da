import type { HostWorker } from './host_worker.ts';
import { THREAD_END, TICKET_MS, type FromParticipant, type Holder, type Leave, type ThreadEnd, type ToParticipant } from '../shared/protocol.ts';
import { Watchdog } from './watchdog.ts';

/** The most time to wait for a thread's final message: after that it is busy, or gone. */
const FINAL_MESSAGE_MS = 500;
/** The most time that a context which renders offline waits until a reader's thread has joined. */
const JOINED_MS = 10_000;

/**
 * The page's connection to a participant: this thread, or a worker of the page. The participant's thread holds a Web Lock; the page requests
 * the same lock, and so notices the thread's death. See
 * `docs/decisions/0034-thread-lifetime-by-web-lock.md`.
 */
export class Participant {
  /** The thread's port, for its ticket. */
  readonly port: MessagePort;
  readonly lock = `wavepool ${crypto.randomUUID()}`;
  /** Whether its thread may still use the pool; before it has joined, it does not. */
  end: ThreadEnd = THREAD_END.gone;
  /** Called when its thread has died, or did not join in time, with the number of reclaimed leases. */
  onLost: (leases: number) => void = () => {};
  /** Called when its thread has left, on request or on its own initiative. */
  onLeft: () => void = () => {};
  /** Called when its thread is alive and makes no progress: see {@link follow}. */
  onStuck: (stuckMs: number) => void = () => {};
  private readonly host: HostWorker;
  private readonly holder: Holder;
  private readonly control: MessagePort;
  private gone: () => void = () => {};
  /** No ticket is accepted any more. */
  private closed = false;
  private invited = false;
  /** The timer of the ticket; cleared as soon as it is known whether the ticket is opened, because it refers to this object. */
  private lapsing: ReturnType<typeof setTimeout> | undefined;
  private joined = false;
  /** It has left, or is lost. */
  private departed = false;
  /** It has joined on another thread than this page's, and can be watched. */
  private watched = false;
  /** Its thread is watched while this context runs. */
  private context: BaseAudioContext | null = null;
  private readonly watchdog: Watchdog;
  /** It is not waited for any more, although it may still join. */
  private absent = false;
  /** The number of windows with which it is to catch up as soon as it has joined. */
  private missing: number | null = null;
  private caughtUp: (released: number | null) => void = () => {};

  constructor(host: HostWorker, holder: Holder) {
    const { port1, port2 } = new MessageChannel();
    this.host = host;
    this.holder = holder;
    this.port = port2;
    this.control = port1;
    this.control.onmessage = ({ data }: MessageEvent<FromParticipant>) => {
      if (data.kind === 'alive') {
        this.watchdog.receive(true);
      } else if (data.kind === 'joining') {
        this.watched = !data.page;
        this.join();
      } else if (data.kind === 'caughtUp') {
        this.caughtUp(data.released);
      } else if (data.kind === 'leaving') {
        this.gone();
      } else if (data.kind === 'failed') {
        this.host.unwatch(this);
        void this.host.reclaim(this, holder);
      } else {
        this.depart();
      }
    };
    this.watchdog = new Watchdog({
      expected: () => false,
      booting: () => false,
      progress: () => 0,
      ping: () => this.say({ kind: 'ping' }),
      stuck: (stuckMs) => this.onStuck(stuckMs),
      // Every wait for it has a limit of its own.
      refuse: () => {},
    });
  }

  /** Watches its thread from the time it joins, as long as the context runs. */
  follow(context: BaseAudioContext): void {
    this.context = context;
    if (this.joined && this.watched) this.watchdog.follow(context);
  }

  /** Stops watching its thread. */
  unfollow(): void {
    this.watchdog.stop();
  }

  /**
   * Its ticket is given away, so that it may join at any time. A ticket for another thread lapses, because that thread may die before
   * it joins; this page cannot die alone.
   */
  invite(thread: 'page' | 'other'): void {
    this.invited = true;
    if (thread === 'other') this.lapsing = setTimeout(() => this.lapse(), TICKET_MS);
  }

  /** Closes the port, if no ticket was given away: a port with a listener would otherwise stay as long as the page. */
  dismiss(): void {
    if (!this.invited) this.control.close();
  }

  /** The thread holds its lock by now, so that its death is noticed from here on. */
  private join(): void {
    if (this.closed) return this.say({ kind: 'refused' });
    clearTimeout(this.lapsing);
    this.end = THREAD_END.running;
    this.joined = true;
    this.host.watch(this, this.holder);
    this.say({ kind: 'welcome' });
    if (this.context && this.watched) this.watchdog.follow(this.context);
    if (this.missing !== null) this.say({ kind: 'catchUp', windows: this.missing });
  }

  /** The ticket was not opened in time; a thread that still opens it is refused. */
  private lapse(): void {
    this.closed = true;
    void this.host.reclaim(this, this.holder);
  }

  /** It does not use the memory: it has not joined yet, or has left. */
  get stopped(): boolean {
    return this.end !== THREAD_END.running;
  }

  /**
   * Requests that it leaves; settles when it has left, when its user still has leases, or when it does not answer in time. `late` is called
   * once if it leaves after that.
   */
  async leave(how: Leave, late: () => void): Promise<void> {
    this.closed = true;
    clearTimeout(this.lapsing);
    if (this.invited && !this.joined) {
      // For a thread that still opens the ticket. A port with a listener would stay as long as the page.
      this.say({ kind: 'refused' });
      this.control.close();
    }
    if (this.stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, FINAL_MESSAGE_MS);
      this.gone = () => {
        clearTimeout(timer);
        resolve();
      };
      this.say({ kind: how });
    });
    this.gone = this.stopped ? () => {} : late;
  }

  /** Settles when it has read so many windows, with the number of released ones; `null` if there is no thread to wait for. */
  catchUp(windows: number): Promise<number | null> {
    if (this.joined ? this.stopped : this.absent) return Promise.resolve(null);
    return new Promise((resolve) => {
      const timer = this.joined ? undefined : setTimeout(() => this.missed(), JOINED_MS);
      this.caughtUp = (released) => {
        this.missing = null;
        clearTimeout(timer);
        resolve(released);
      };
      if (this.joined) this.say({ kind: 'catchUp', windows });
      else this.missing = windows;
    });
  }

  /** The ticket was not opened; it is not waited for again. */
  private missed(): void {
    this.absent = true;
    this.giveUpCatchingUp();
  }

  giveUpCatchingUp(): void {
    this.caughtUp(null);
  }

  /** Its thread has died, or did not join; `leases` were reclaimed. */
  lost(leases: number): void {
    if (this.departed) return;
    this.departed = true;
    this.closed = true;
    clearTimeout(this.lapsing);
    this.end = THREAD_END.gone;
    this.watchdog.stop();
    // If it has not joined, the port stays open, so that a late thread is refused.
    if (this.joined) this.control.close();
    this.gone();
    this.caughtUp(null);
    this.onLost(leases);
  }

  /** The thread releases its lock after `final`, when the page does not wait for the lock any more. */
  private depart(): void {
    this.departed = true;
    this.end = THREAD_END.left;
    this.host.unwatch(this);
    this.say({ kind: 'final' });
    this.watchdog.stop();
    this.control.close();
    this.gone();
    this.onLeft();
  }

  private say(message: ToParticipant): void {
    this.control.postMessage(message);
  }
}
