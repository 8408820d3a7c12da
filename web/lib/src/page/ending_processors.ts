/**
 * Bounds how many closed processors of an audio context still have an instance. The audio thread takes an instance back when it receives the
 * close, which can be long after it has created the next ones, and a browser has few memories: see
 * `docs/decisions/0043-one-wasm-instance-per-processor-or-tap.md`.
 */

/** The most closed processors whose end has not been reported when another one is opened. */
export const MOST_ENDING = 8;
/** How long an end is waited for. A context that is not running may not report any. */
export const END_MS = 500;

const ending = new WeakMap<BaseAudioContext, Set<Promise<void>>>();

/** Counts a processor as ending until `ended` resolves. */
export function countEnding(context: BaseAudioContext, ended: Promise<void>): void {
  const all = ending.get(context) ?? new Set();
  ending.set(context, all.add(ended));
  void ended.then(() => all.delete(ended));
}

/** Resolves when fewer than {@link MOST_ENDING} processors are ending; one that is late is waited for once. */
export async function fewAreEnding(context: BaseAudioContext): Promise<void> {
  const all = ending.get(context) ?? new Set();
  while (all.size >= MOST_ENDING) {
    const [oldest] = all;
    await Promise.race([oldest, new Promise((resume) => setTimeout(resume, END_MS))]);
    all.delete(oldest!);
  }
}
