/** `Atomics.waitAsync`, which is younger than the language version that the library is compiled for. */
type WaitAsync = (cell: Int32Array, index: number, value: number, timeoutMs: number) => { readonly async: boolean; readonly value: Promise<string> | string };

let cell: Int32Array | null = null;

/**
 * Settles after about `ms`. Where there is shared memory and the engine has `Atomics.waitAsync`, its timeout is used: unlike a
 * timer it is not throttled to once a second while the page is hidden.
 */
// See `docs/decisions/0036-waiting-for-the-audio-thread.md`.
export function sleep(ms: number): Promise<unknown> {
  const { waitAsync } = Atomics as unknown as { waitAsync?: WaitAsync };
  if (typeof SharedArrayBuffer !== 'function' || !waitAsync) return new Promise((wake) => setTimeout(wake, ms));
  // No thread notifies the cell.
  cell ??= new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  return Promise.resolve(waitAsync(cell, 0, 0, ms).value);
}
