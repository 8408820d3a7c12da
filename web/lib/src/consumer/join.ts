import { WavepoolError } from '../shared/errors.ts';
import { instantiateBareLater } from '../shared/instance.ts';
import type { FromParticipant, ParticipantWasm, Leave, Ticket, ToParticipant } from '../shared/protocol.ts';

/** The pool, or the tap, that a participant has opened on its thread. */
export interface Joined {
  /** Stops: see {@link Leave}. Settles when the pool's memory is not used any more. May be called again, to revoke. */
  leave(how: Leave): Promise<void>;
  /** After {@link leave}: the user still has leases, and may keep them for as long as they like. */
  readonly held?: boolean;
  /** A reader: settles when it has read so many windows, or no loop reads, with the number of released ones. */
  catchUp?(windows: number): Promise<number>;
  /** Set by {@link join}: leaves on the thread's own initiative. */
  depart?: () => Promise<void>;
}

/** A page has a document, a worker has none. */
const onPage = typeof document !== 'undefined';

/**
 * Makes this thread a participant, until the page ends that. `open` gets the thread's own instance, if `wasm` is given: in shared mode on
 * the page's memory, with its stack at `thread`.
 *
 * @throws {@link WavepoolError} `closed` if the page has closed meanwhile what the ticket is for.
 */
export async function join<T extends Joined>(
  { control, lock }: Ticket,
  wasm: ParticipantWasm | null,
  thread: number,
  open: (exports: WebAssembly.Exports) => T,
): Promise<T> {
  const releaseLock = await hold(lock);
  const say = (message: FromParticipant): void => control.postMessage(message);
  // Messages that arrive before this thread is ready are handled when it is.
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
  // In a later task, so that the user's loop begins to read first.
  setTimeout(() => early.forEach((data) => void receive(data)));
  return joined;
}

/** Holds a Web Lock until the returned function is called. The browser releases it when this thread dies, which others notice. */
export function hold(name: string): Promise<() => void> {
  return new Promise((held, refused) => {
    navigator.locks.request(name, () => new Promise<void>((releaseLock) => held(releaseLock))).catch(refused);
  });
}
