/**
 * Instances of this audio context whose tap or processor was closed, kept for the next one of the same module. A browser has few
 * memories, and frees one only when it collects this thread's garbage: see
 * `docs/decisions/0043-one-wasm-instance-per-processor-or-tap.md`.
 */

/** The most instances that are kept; further ones replace the oldest. */
const MOST_IDLE = 16;

const idle: { readonly key: string; readonly exports: WebAssembly.Exports }[] = [];

/** Removes and returns an idle instance of the module with this key. */
export function takeInstance(key: string): WebAssembly.Exports | undefined {
  const at = idle.findIndex((instance) => instance.key === key);
  return at < 0 ? undefined : idle.splice(at, 1)[0]!.exports;
}

/** Keeps an instance in which nothing is open, and which has not trapped. */
export function keepInstance(key: string, exports: WebAssembly.Exports): void {
  idle.push({ key, exports });
  if (idle.length > MOST_IDLE) idle.shift();
}
