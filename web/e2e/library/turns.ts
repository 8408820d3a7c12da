/** The control worker's turns, in which it sleeps and does not return to the browser while a stream is open. */
import type { Mode } from '../../lib/src/index.ts';
import { stage } from './sound.ts';

const tapped = { window: 2048, hop: 512, channels: 2 };
/** Between an answer and the next request: well into the next turn, well before its end. */
const BETWEEN_MS = 40;

/** How long the page waits for answers, sorted. */
export async function answers(mode: Mode): Promise<readonly number[]> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, tapped);
  const waits: number[] = [];
  for (let request = 0; request < 20; request++) {
    await pause(BETWEEN_MS);
    const asked = performance.now();
    await wavepool.metrics();
    waits.push(performance.now() - asked);
  }
  await tap.close();
  await end();
  return waits.sort((a, b) => a - b);
}

/** Whether an answer came within a second without a signal, and how long it took after the signal. */
export async function answerUnsignalled(mode: Mode): Promise<{ early: boolean; afterSignal: number }> {
  const { add } = Atomics;
  const late: (() => void)[] = [];
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, tapped);
  await pause(BETWEEN_MS);
  Object.assign(Atomics, { add: (cell: Int32Array, index: number, by: number) => late.push(() => add(cell, index, by)) });
  const answered = wavepool.metrics().then(() => performance.now());
  const early = await Promise.race([answered.then(() => true), pause(1000).then(() => false)]);
  Object.assign(Atomics, { add });
  const signalled = performance.now();
  for (const signal of late) signal();
  const afterSignal = (await answered) - signalled;
  await tap.close();
  await end();
  return { early, afterSignal };
}

/** Closes nothing. */
export async function leftOpen(mode: Mode): Promise<void> {
  const { wavepool, source } = await stage(mode);
  await wavepool.tap(source, tapped);
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
