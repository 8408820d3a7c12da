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

/** The same when nobody knocks before the answer is there. */
export async function answersUnknocked(mode: Mode): Promise<readonly number[]> {
  const { add } = Atomics;
  const late: (() => void)[] = [];
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, tapped);
  const waits: number[] = [];
  for (let request = 0; request < 3; request++) {
    await pause(BETWEEN_MS);
    Atomics.add = ((...given: Parameters<typeof add>) => late.push(() => add(...given))) as typeof add;
    const asked = performance.now();
    await wavepool.metrics();
    waits.push(performance.now() - asked);
    Atomics.add = add;
    for (const knock of late.splice(0)) knock();
  }
  await tap.close();
  await end();
  return waits.sort((a, b) => a - b);
}

/** Closes nothing. */
export async function leftOpen(mode: Mode): Promise<void> {
  const { wavepool, source } = await stage(mode);
  await wavepool.tap(source, tapped);
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
