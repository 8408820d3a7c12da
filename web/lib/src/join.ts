import { instantiateBareLater, threadOf } from './instance.ts';
import type { FromGuest, GuestWasm, Ticket, ToGuest } from './protocol.ts';

/** What a thread has that takes part in the pool. */
export interface Joined {
  /** Gives everything back, and touches nothing of the pool's afterwards. */
  leave(): Promise<void>;
}

/**
 * Takes part in the pool on this thread, until the page asks to leave. `open` gets the thread's own instance, if it is to
 * have one.
 */
export async function join<T extends Joined>(
  { control, lock }: Ticket,
  wasm: GuestWasm | null,
  open: (exports: WebAssembly.Exports) => T,
): Promise<T> {
  const letGo = await hold(lock);
  const exports = wasm ? await instantiateBareLater(wasm.module, wasm.memory) : {};
  const joined = open(exports);
  const say = (message: FromGuest): void => control.postMessage(message);
  control.onmessage = async ({ data }: MessageEvent<ToGuest>) => {
    if (data.kind === 'leave') {
      await joined.leave();
      say({ kind: 'left' });
    } else {
      letGo();
      control.close();
    }
  };
  say({ kind: 'opened', thread: wasm?.memory ? threadOf(exports) : null });
  return joined;
}

/** Holds a Web Lock, which the browser takes back when this thread dies: that is how the others know. */
export function hold(name: string): Promise<() => void> {
  return new Promise((held, refused) => {
    navigator.locks.request(name, () => new Promise<void>((letGo) => held(letGo))).catch(refused);
  });
}
