import type { HostWorker } from './host_worker.ts';
import type { ThreadMemory } from './instance.ts';
import type { FromGuest, Holder, Leave, ToGuest } from './protocol.ts';

/** A thread that does not answer for so long is taken to be busy, or gone. */
const GOODBYE_MS = 500;
/** A context that renders offline waits so long for a reader's thread to take part at all. */
const JOINED_MS = 10_000;

/**
 * The page's line to a thread that takes part in the pool: this one, or a worker of the page's. The thread holds a Web
 * Lock for as long as it takes part; the page waits for it, and so hears when the thread dies.
 */
export class Guest {
  /** The thread's end, for its ticket. */
  readonly port: MessagePort;
  readonly lock = `wavepool ${crypto.randomUUID()}`;
  /** It does not touch the memory: it has not joined yet, or has left. */
  stopped = true;
  /** Called when its thread has died, with the number of leases that were taken back. */
  onLost: (leases: number) => void = () => {};
  private readonly host: HostWorker;
  private readonly control: MessagePort;
  /** What the thread was given in the shared memory, until that is given back. */
  private thread: ThreadMemory | null = null;
  private gone: () => void = () => {};
  /** No ticket is accepted any more. */
  private closed = false;
  private invited = false;
  private joined = false;
  /** Nobody waits for it, though it may still come. */
  private absent = false;
  /** It is to catch up with so many windows as soon as it has joined. */
  private missing: number | null = null;
  private caughtUp: (released: number | null) => void = () => {};

  constructor(host: HostWorker, holder: Holder) {
    const { port1, port2 } = new MessageChannel();
    this.host = host;
    this.port = port2;
    this.control = port1;
    this.control.onmessage = ({ data }: MessageEvent<FromGuest>) => {
      if (data.kind === 'joining') {
        this.join(holder);
      } else if (data.kind === 'opened') {
        this.thread = data.thread;
      } else if (data.kind === 'caughtUp') {
        this.caughtUp(data.released);
      } else if (data.kind === 'leaving') {
        this.gone();
      } else {
        this.depart();
      }
    };
  }

  /** Its ticket is about to leave: from now on it may come at any moment. */
  invite(): void {
    this.invited = true;
  }

  /** There will be nobody: a port that is listened to would otherwise stay for as long as the page. */
  dismiss(): void {
    if (!this.invited) this.control.close();
  }

  /** It holds its lock by now, so that its death is noticed from here on. */
  private join(holder: Holder): void {
    if (this.closed) return this.say({ kind: 'refused' });
    this.stopped = false;
    this.joined = true;
    this.host.watch(this, holder);
    this.say({ kind: 'welcome' });
    if (this.missing !== null) this.say({ kind: 'catchUp', windows: this.missing });
  }

  /**
   * Asks it to go; settles when it has, when it says that its user still has something, or when it does not answer. `late` is
   * called once if it goes after that.
   */
  async leave(how: Leave, late: () => void): Promise<void> {
    this.closed = true;
    if (this.stopped) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GOODBYE_MS);
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

  /** Its thread is known to be dead. */
  lost(leases: number): void {
    if (this.stopped) return;
    this.stopped = true;
    this.control.close();
    this.gone();
    this.caughtUp(null);
    this.onLost(leases);
  }

  /** The thread's memory, once: for whoever gives it back. */
  takeThread(): ThreadMemory[] {
    if (!this.stopped || this.thread === null) return [];
    const { thread } = this;
    this.thread = null;
    return [thread];
  }

  /** It lets go of its lock only when nobody waits for that any more. */
  private depart(): void {
    this.stopped = true;
    this.host.unwatch(this);
    this.say({ kind: 'farewell' });
    this.control.close();
    this.gone();
  }

  private say(message: ToGuest): void {
    this.control.postMessage(message);
  }
}
