/** Taps where time is not what it usually is: on a page whose timers are throttled, and with quanta that are very long. */
import type { Mode, StreamFigures } from '../../lib/src/index.ts';
import { Checker, stage, type Checked } from './sound.ts';

/** A hidden page's timers come once a second. */
const THROTTLED_MS = 1000;

interface Seen {
  readonly seen: Checked;
  readonly figures: StreamFigures;
  readonly leaked: number;
}

/** A page that is hidden for two seconds reads a tap. Timers are slowed down as Chromium does it, but for certain. */
export async function hidden(mode: Mode): Promise<Seen & { longest: number }> {
  const { wavepool, source, end } = await stage(mode);
  const { setTimeout, setInterval } = window;
  const throttled = (native: (act: () => void, ms?: number) => number) => (act: () => void, ms = 0) => native.call(window, act, Math.max(ms, THROTTLED_MS));
  Object.assign(window, { setTimeout: throttled(setTimeout as never), setInterval: throttled(setInterval as never) });
  const tap = await wavepool.tap(source, { window: 2048, hop: 512, channels: 2 });
  const checker = new Checker(512);
  const begun = performance.now();
  let [before, longest] = [begun, 0];
  await tap.forEach((block) => {
    checker.see(block);
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
    if (now - begun > 2000) void tap.close();
  });
  const figures = await tap.close();
  Object.assign(window, { setTimeout, setInterval });
  return { seen: checker.result(), figures, longest, ...(await end()) };
}

/** A live context whose quanta are longer than what one plan covers. */
export async function longQuanta(mode: Mode): Promise<Seen & { quantum: number }> {
  const { wavepool, context, source, end } = await stage(mode, { renderSizeHint: 8192 } as never);
  const { renderQuantumSize: quantum = 128 } = context as { renderQuantumSize?: number };
  const tap = await wavepool.tap(source, { window: 4096, hop: 4096, channels: 2 });
  const checker = new Checker(4096);
  for await (const block of tap.blocks()) {
    checker.see(block);
    if (checker.blocks === 8) break;
  }
  return { quantum, seen: checker.result(), figures: await tap.close(), ...(await end()) };
}
