import type { HostWorker } from './host_worker.ts';
import type { ThreadMemory } from './instance.ts';
import type { FromGuest, Holder, ToGuest } from './protocol.ts';

/** A thread that does not answer for so long is taken to be busy, or gone. */
const GOODBYE_MS = 500;

/**
 * The page's line to a thread that takes part in the pool: this one, or a worker of the page's. The thread holds a Web
 * Lock for as long as it takes part; the page waits for it, and so hears when the thread dies.
 */
export class Guest {
  /** The thread's end, for its ticket. */
  readonly port: MessagePort;
  readonly lock = `wavepool ${crypto.randomUUID()}`;
  /** It will not touch the memory again; a guest that was never invited has stopped. */
  stopped = true;
  /** Called when its thread has died, with the number of leases that were taken back. */
  onLost: (leases: number) => void = () => {};
  private readonly host: HostWorker;
  private readonly control: MessagePort;
  /** What the thread was given in the shared memory, until that is given back. */
  private thread: ThreadMemory | null = null;
  private gone: () => void = () => {};

  constructor(host: HostWorker, holder: Holder) {
    const { port1, port2 } = new MessageChannel();
    this.host = host;
    this.port = port2;
    this.control = port1;
    this.control.onmessage = ({ data }: MessageEvent<FromGuest>) => {
      if (data.kind === 'opened') {
        this.thread = data.thread;
        host.watch(this, holder);
      } else {
        this.depart();
      }
    };
  }

  /** Its ticket is about to leave: from now on it may come at any moment. */
  invite(): void {
    this.stopped = false;
  }

  /** Asks it to go; settles when it has, or does not answer. `late` is called if it goes after that. */
  async leave(late: () => void): Promise<void> {
    if (this.stopped) return;
    await new Promise<void>((resolve) => {
      this.gone = resolve;
      setTimeout(resolve, GOODBYE_MS);
      this.say({ kind: 'leave' });
    });
    this.gone = late;
  }

  /** Its thread is known to be dead. */
  lost(leases: number): void {
    if (this.stopped) return;
    this.stopped = true;
    this.control.close();
    this.gone();
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
