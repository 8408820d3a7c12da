/** Windows for JavaScript: in the page, in a worker, several at once, kept, and too slowly read. */
import type { Block, Mode, Snapshot, StreamFigures, Tap } from '../../lib/src/index.ts';
import type { ToWorker } from './consumer_worker.ts';
import { Checker, codeOf, stage, type Checked } from './sound.ts';

export interface Outcome {
  readonly seen: Checked;
  readonly figures: StreamFigures;
  readonly leaked: number;
}

const stereo = { window: 2048, hop: 512, channels: 2 };

export async function inThePage(mode: Mode): Promise<Outcome> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  const seen = await read(tap, 100);
  return { seen, figures: await tap.close(), ...(await end()) };
}

export async function byCallback(mode: Mode): Promise<Outcome> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, { ...stereo, window: 256, hop: 256 });
  const checker = new Checker(256);
  let figures: Promise<StreamFigures> | undefined;
  await tap.forEach((block) => {
    checker.see(block);
    if (checker.blocks >= 300) figures ??= tap.close();
  });
  return { seen: checker.result(), figures: await figures!, ...(await end()) };
}

export async function inAWorker(mode: Mode): Promise<Outcome> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  const { worker, seen } = handOver(tap, 100);
  const outcome = { seen: await seen, figures: await tap.close(), ...(await end()) };
  worker.terminate();
  return outcome;
}

/** Two taps and two tuners, in the page and in a worker, on one sound. */
export async function severalAtOnce(mode: Mode): Promise<{
  readonly page: Checked;
  readonly worker: Checked;
  readonly open: readonly StreamFigures[];
  readonly tuned: readonly number[];
  readonly last: Snapshot;
  readonly leaked: number;
}> {
  const { wavepool, source, end } = await stage(mode);
  let last: Snapshot | null = null;
  const levels = new Set<number>();
  wavepool.onSnapshot((snapshot) => {
    last = snapshot;
    for (const { name, data } of snapshot.events) if (name === 'PitchDetected') levels.add(data['stream'] as number);
  });
  const taps = await Promise.all([
    wavepool.tap(source, stereo),
    wavepool.tap(source, { window: 1024, hop: 1024, channels: 2 }),
  ]);
  const tuners = await Promise.all([
    wavepool.tuner(source, { window: 4096, hop: 1024, channels: 1 }),
    wavepool.tuner(source, { window: 2048, hop: 1024, channels: 2 }),
  ]);
  const handed = handOver(taps[1], 60);
  const page = await read(taps[0], 120);
  const worker = await handed.seen;
  const { streams: open } = last as unknown as Snapshot;
  await Promise.all([...taps, ...tuners].map((one) => one.close()));
  handed.worker.terminate();
  return { page, worker, open, tuned: [...levels], last: last as unknown as Snapshot, ...(await end()) };
}

/** Keeps blocks until the audio side has none left, then lets go of them. */
export async function keptTooLong(mode: Mode): Promise<{
  readonly kept: Checked;
  readonly skippedWhileKept: number;
  readonly skippedAfter: number;
  readonly figures: StreamFigures;
  readonly codes: Readonly<Record<string, string | null>>;
  readonly leaked: number;
}> {
  const { wavepool, source, end } = await stage(mode);
  let skipped = 0;
  wavepool.onSnapshot(({ streams }) => (skipped = streams[0]?.skipped_windows ?? skipped));
  const tap = await wavepool.tap(source, stereo);
  const kept: Block[] = [];
  let skippedWhileKept = 0;
  let after = 0;
  let outlived: Block | null = null;
  const codes: Record<string, string | null> = {};
  const checker = new Checker(stereo.hop);
  const mayStop = performance.now() + 10_000;
  const loop = (async () => {
    for await (const block of tap.blocks()) {
      if (skippedWhileKept === 0) kept.push(block.keep());
      else if (++after === 40) {
        outlived = block.keep();
        codes['kept twice'] = codeOf(() => block.keep());
        codes['released by another'] = codeOf(() => block.release());
        break;
      }
    }
  })();
  // With every buffer kept no block comes: the count has to come by itself.
  while (skippedWhileKept === 0 && performance.now() < mayStop) {
    await new Promise((resume) => setTimeout(resume, 50));
    skippedWhileKept = skipped;
  }
  for (const block of kept) {
    checker.see(block);
    block.release();
  }
  codes['released twice'] = codeOf(() => kept[0]!.release());
  codes['looked at after release'] = codeOf(() => kept[0]!.channel(0));
  const skippedBefore = skipped;
  await loop;
  codes['no such channel'] = codeOf(() => outlived!.channel(2));
  const figures = await tap.close();
  codes['looked at after close'] = codeOf(() => outlived!.channel(0));
  codes['read after close'] = await tap.blocks().next().then(({ done }) => (done ? 'done' : 'a block'));
  return { kept: checker.result(), skippedWhileKept, skippedAfter: figures.skipped_windows - skippedBefore, figures, codes, ...(await end()) };
}

/** A tap is read in one place by one loop. */
export async function readTwice(mode: Mode): Promise<Readonly<Record<string, string | null>>> {
  const { wavepool, source, end } = await stage(mode);
  const here = await wavepool.tap(source, stereo);
  const first = here.blocks();
  await first.next();
  const second = await here.blocks().next().then(() => null, (thrown: { code: string }) => thrown.code);
  const handed = codeOf(() => here.handOver());
  const never = await wavepool.tap(source, stereo);
  const refused = await wavepool.tap(source, { ...stereo, window: 100 }).then(() => null, (thrown: { code: string }) => thrown.code);
  await Promise.all([here.close(), never.close()]);
  const { leaked } = await end();
  return { second, handed, refused, leaked: String(leaked) };
}

async function read(tap: Tap, blocks: number): Promise<Checked> {
  const checker = new Checker(stereo.hop);
  for await (const block of tap.blocks()) {
    checker.see(block);
    if (checker.blocks === blocks) break;
  }
  return checker.result();
}

function handOver(tap: Tap, blocks: number): { readonly worker: Worker; readonly seen: Promise<Checked> } {
  const worker = new Worker(new URL('./consumer_worker.ts', import.meta.url), { type: 'module' });
  const seen = new Promise<Checked>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<Checked>) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  const ticket = tap.handOver();
  worker.postMessage({ ticket, blocks } satisfies ToWorker, ticket.ports);
  return { worker, seen };
}
