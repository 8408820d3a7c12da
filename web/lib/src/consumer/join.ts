import { WavepoolError } from '../shared/errors.ts';
import { instantiateBareLater } from '../shared/instance.ts';
import type { FromParticipant, ParticipantWasm, Leave, Ticket, ToParticipant } from '../shared/protocol.ts';

/** What a thread has that takes part in the pool. */
export interface Joined {
  /** Stops as it is asked to; settles when it touches nothing of the pool's any more. May be called again, to revoke. */
  leave(how: Leave): Promise<void>;
  /** After the call of {@link leave}: its user still has something, for as long as that pleases. */
  readonly held?: boolean;
  /** A reader: settles when it has seen so many windows, or nobody reads, with how many it has given back. */
  catchUp?(windows: number): Promise<number>;
  /** Set by {@link join}: leaves without having been asked to. */
  depart?: () => Promise<void>;
}

/** A page has a document, a worker has none. */
const onPage = typeof document !== 'undefined';

/**
 * Takes part in the pool on this thread, until the page asks to leave. `open` gets the thread's own instance, if it is to
 * have one: on the memory at `thread`, where it joins the page's.
 *
 * @throws {@link WavepoolError} `closed` when the page has closed the place meanwhile.
 */
export async function join<T extends Joined>(
  { control, lock }: Ticket,
  wasm: ParticipantWasm | null,
  thread: number,
  open: (exports: WebAssembly.Exports) => T,
): Promise<T> {
  const releaseLock = await hold(lock);
  const say = (message: FromParticipant): void => control.postMessage(message);
  // Messages of the page that arrive before this thread is ready are handled then.
  const early: ToParticipant[] = [];
  const welcome = await new Promise<boolean>((answered) => {
    control.onmessage = ({ data }: MessageEvent<ToParticipant>) => {
      if (data.kind === 'welcome' || data.kind === 'refused') answered(data.kind === 'welcome');
      else early.push(data);
    };
    say({ kind: 'joining', page: onPage });
  });
  if (!welcome) {
    releaseLock();
    control.close();
    throw new WavepoolError('closed', 'What this ticket is for was closed before it was opened. Ask the page for another ticket.');
  }
  let joined: T;
  try {
    joined = open(wasm ? await instantiateBareLater(wasm.module, wasm.memory, thread) : {});
  } catch (thrown) {
    say({ kind: 'failed' });
    releaseLock();
    throw thrown;
  }
  let gone = false;
  const receive = async (data: ToParticipant): Promise<void> => {
    if (data.kind === 'final') {
      releaseLock();
      return control.close();
    }
    if (data.kind === 'catchUp') {
      return say({ kind: 'caughtUp', released: (await joined.catchUp?.(data.windows)) ?? 0 });
    }
    if (data.kind === 'ping') return say({ kind: 'alive' });
    if (data.kind === 'welcome' || data.kind === 'refused') return;
    const left = joined.leave(data.kind);
    if (joined.held) say({ kind: 'leaving' });
    await left;
    if (gone) return;
    gone = true;
    say({ kind: 'left' });
  };
  control.onmessage = ({ data }: MessageEvent<ToParticipant>) => void receive(data);
  joined.depart = () => receive({ kind: 'leave' });
  // Whoever opened it begins to read first.
  setTimeout(() => early.forEach((data) => void receive(data)));
  return joined;
}

/** Holds a Web Lock, which the browser takes back when this thread dies: that is how the others know. */
export function hold(name: string): Promise<() => void> {
  return new Promise((held, refused) => {
    navigator.locks.request(name, () => new Promise<void>((releaseLock) => held(releaseLock))).catch(refused);
  });
}
