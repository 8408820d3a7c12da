/**
 * Instances of this audio context whose tap or processor was closed in order, kept for the next one of the same module. A browser
 * has few memories, and frees one only when it collects this thread's garbage: see
 * `docs/decisions/0043-one-wasm-instance-per-processor-or-tap.md`.
 */

/** The instance that has waited longest is dropped when there are more. */
const MOST_IDLE = 16;

const idle: { readonly key: string; readonly exports: WebAssembly.Exports }[] = [];

/** An idle instance of the module that `key` stands for. */
export function takeInstance(key: string): WebAssembly.Exports | undefined {
  const at = idle.findIndex((instance) => instance.key === key);
  return at < 0 ? undefined : idle.splice(at, 1)[0]!.exports;
}

/** Nothing in the instance is open any more, and it has not trapped. */
export function keepInstance(key: string, exports: WebAssembly.Exports): void {
  idle.push({ key, exports });
  if (idle.length > MOST_IDLE) idle.shift();
}
