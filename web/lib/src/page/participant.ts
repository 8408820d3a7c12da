import type { HostWorker } from './host_worker.ts';
import { THREAD_END, TICKET_MS, type FromParticipant, type Holder, type Leave, type ThreadEnd, type ToParticipant } from '../shared/protocol.ts';
import { Watchdog } from './watchdog.ts';

/** A thread that does not answer for so long is taken to be busy, or gone. */
const FINAL_MESSAGE_MS = 500;
/** A context that renders offline waits so long for a reader's thread to take part at all. */
const JOINED_MS = 10_000;

/**
 * The page's line to a thread that takes part in the pool: this one, or a worker of the page's. The thread holds a Web
 * Lock for as long as it takes part; the page waits for that lock, and so learns of the thread's death. See
 * `docs/decisions/0034-thread-lifetime-by-web-lock.md`.
 */
export class Participant {
  /** The thread's end, for its ticket. */
  readonly port: MessagePort;
  readonly lock = `wavepool ${crypto.randomUUID()}`;
  /** What is known of its end; a participant that has not joined has none to wait for. */
  end: ThreadEnd = THREAD_END.gone;
  /** Called when its thread has died, or did not come in time, with the number of leases that were taken back. */
  onLost: (leases: number) => void = () => {};
  /** Called when its thread has left, whether it was asked to or not. */
  onLeft: () => void = () => {};
  /** Called when its thread is alive and does not answer: see {@link follow}. */
  onStuck: (silentMs: number) => void = () => {};
  private readonly host: HostWorker;
  private readonly holder: Holder;
  private readonly control: MessagePort;
  private gone: () => void = () => {};
  /** No ticket is accepted any more. */
  private closed = false;
  private invited = false;
  /** Ends as soon as it is known whether the ticket is opened, because it refers to all of this. */
  private lapsing: ReturnType<typeof setTimeout> | undefined;
  private joined = false;
  /** It has left, or is lost. */
  private departed = false;
  /** It has joined on another thread than this page's, which cannot watch itself. */
  private watched = false;
  /** It is watched while this context runs. */
  private context: BaseAudioContext | null = null;
  private readonly watchdog: Watchdog;
  /** Nobody waits for it, though it may still come. */
  private absent = false;
  /** It is to catch up with so many windows as soon as it has joined. */
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
      stuck: (silentMs) => this.onStuck(silentMs),
      // Nothing waits for it without a limit of its own.
      refuse: () => {},
    });
  }

  /** Watches over its thread from the time it joins, as long as the context runs: windows wait to be read. */
  follow(context: BaseAudioContext): void {
    this.context = context;
    if (this.joined && this.watched) this.watchdog.follow(context);
  }

  /** Nobody waits for it any more. */
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

  /** There will be nobody: a port that is listened to would otherwise stay for as long as the page. */
  dismiss(): void {
    if (!this.invited) this.control.close();
  }

  /** It holds its lock by now, so that its death is noticed from here on. */
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

  /** It has not joined in time; should it still come, it is refused. */
  private lapse(): void {
    this.closed = true;
    void this.host.reclaim(this, this.holder);
  }

  /** It does not touch the memory: it has not joined yet, or has left. */
  get stopped(): boolean {
    return this.end !== THREAD_END.running;
  }

  /**
   * Asks it to go; settles when it has, when it says that its user still has something, or when it does not answer. `late` is
   * called once if it goes after that.
   */
  async leave(how: Leave, late: () => void): Promise<void> {
    this.closed = true;
    clearTimeout(this.lapsing);
    if (this.invited && !this.joined) {
      // Read by whoever opens the ticket all the same; a port that is listened to would stay for as long as the page.
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

  /** Settles when it has seen so many windows, with how many it has given back; `null` when there is nobody to wait for. */
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

  /** Whoever was given the ticket does not open it: nobody waits for that again. */
  private missed(): void {
    this.absent = true;
    this.giveUpCatchingUp();
  }

  giveUpCatchingUp(): void {
    this.caughtUp(null);
  }

  /** Its thread is known to be dead, or did not come; `leases` were taken back. */
  lost(leases: number): void {
    if (this.departed) return;
    this.departed = true;
    this.closed = true;
    clearTimeout(this.lapsing);
    this.end = THREAD_END.gone;
    this.watchdog.stop();
    // A thread that comes too late is answered.
    if (this.joined) this.control.close();
    this.gone();
    this.caughtUp(null);
    this.onLost(leases);
  }

  /** It releases its lock only when the page no longer waits for it. */
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
