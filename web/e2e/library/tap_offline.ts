/** Taps and tuners on a context that renders as fast as it can. */
import { Wavepool, type Block, type Mode, type StreamFigures, type Tap, type TapConfig } from '../../lib/src/index.ts';
import type { ToWorker } from './consumer_worker.ts';
import { Checker, play, type Checked } from './sound.ts';

const RATE = 48_000;
const stereo = { window: 2048, hop: 1024, channels: 2 };
/** Frames between two suspensions for such a tap: half of the 23 windows that its queue holds. */
const PACE = 11 * 1024;

interface Studio {
  readonly wavepool: Wavepool;
  readonly context: OfflineAudioContext;
  readonly source: AudioNode;
}

async function studio(mode: Mode, seconds: number, options: object = {}): Promise<Studio> {
  const wavepool = await Wavepool.create({ mode });
  const context = new OfflineAudioContext({ numberOfChannels: 2, length: seconds * RATE, sampleRate: RATE, ...options });
  return { wavepool, context, source: play(context) };
}

interface Received {
  readonly seen: Checked;
  readonly figures: StreamFigures;
  readonly reason: string;
  readonly leaked: number;
}

/** Reads with `look` until the loop ends by itself. */
async function render(mode: Mode, seconds: number, look: (block: Block) => unknown, config: TapConfig = stereo, options: object = {}): Promise<Received> {
  const { wavepool, context, source } = await studio(mode, seconds, options);
  const tap = await wavepool.tap(source, config);
  const checker = new Checker(config.hop);
  const rendering = context.startRendering();
  for await (const block of tap.blocks()) {
    checker.see(block);
    await look(block);
  }
  await rendering;
  return { seen: checker.result(), figures: await tap.close(), reason: await tap.closed, ...(await wavepool.close()) };
}

export function offlineMinute(mode: Mode): Promise<Received> {
  return render(mode, 60, () => undefined);
}

/** The reader lags behind, and keeps some blocks for a while. */
export function offlineSlowly(mode: Mode): Promise<Received> {
  const kept: Block[] = [];
  let blocks = 0;
  return render(mode, 5, async (block) => {
    if (blocks % 3 === 0) kept.push(block.keep());
    if (kept.length > 12) kept.shift()!.release();
    if (blocks++ % 20 === 0) await new Promise((resume) => setTimeout(resume, 20));
    if (blocks === 220) for (const one of kept.splice(0)) one.release();
  });
}

/** Quanta that are longer than what one plan covers. */
export async function offlineLongQuanta(mode: Mode): Promise<Received & { quantum: number }> {
  const { renderQuantumSize: quantum = 128 } = new OfflineAudioContext({ length: 1, sampleRate: RATE, renderSizeHint: 8192 } as never) as { renderQuantumSize?: number };
  return { quantum, ...(await render(mode, 10, () => undefined, { window: 4096, hop: 4096, channels: 2 }, { renderSizeHint: 8192 })) };
}

/** With the frames that fill no window. */
export async function offlineFlush(mode: Mode): Promise<Received & { last: number; end: number }> {
  let [last, end] = [0, 0];
  const look = (block: Block): void => {
    last = block.frames;
    end = block.firstFrame + block.frames;
  };
  const received = await render(mode, 7, look, { window: 4096, hop: 4096, channels: 2, flush: true });
  return { last, end, ...received };
}

/** Two taps, one of them in a worker, and a tuner on one context. */
export async function offlineTogether(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, context, source } = await studio(mode, 8);
  const [here, there] = await Promise.all([wavepool.tap(source, stereo), wavepool.tap(source, { window: 256, hop: 256, channels: 2 })]);
  const tuner = await wavepool.tuner(source, { window: 4096, hop: 1024, channels: 1 });
  const worker = new Worker(new URL('./consumer_worker.ts', import.meta.url), { type: 'module' });
  const theirs = new Promise<Checked>((resolve) => (worker.onmessage = ({ data }: MessageEvent<Checked>) => resolve(data)));
  const ticket = there.handOver();
  worker.postMessage({ ticket, blocks: Infinity } satisfies ToWorker, ticket.ports);
  const mine = read(here);
  await context.startRendering();
  const [page, far] = await Promise.all([mine, theirs]);
  const figures = [await here.close(), await there.close(), (await tuner.close()).closed_stream!];
  worker.terminate();
  const reasons = await Promise.all([here.closed, there.closed, tuner.closed]);
  const windows = figures.map(({ windows }) => windows);
  const skipped = figures.map(({ skipped_windows }) => skipped_windows);
  return { page, far, windows, skipped, reasons, ...(await wavepool.close()) };
}

/** A tap that nobody reads, one that is closed in the middle, and suspensions of the page's own do not keep it. */
export async function offlineUnread(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, context, source } = await studio(mode, 8);
  const [unread, closed] = await Promise.all([wavepool.tap(source, stereo), wavepool.tap(source, stereo)]);
  // At the very frames at which the taps have it suspended.
  const own: number[] = [];
  const suspendAt = (frame: number): void =>
    void context.suspend(frame / RATE).then(() => {
      own.push(frame);
      if (frame + PACE < context.length) suspendAt(frame + PACE);
      return context.resume();
    });
  suspendAt(PACE);
  const rendering = context.startRendering();
  const checker = new Checker(stereo.hop);
  for await (const block of closed.blocks()) {
    checker.see(block);
    if (checker.blocks === 100) void closed.close();
  }
  const { length } = await rendering;
  const reason = await unread.closed;
  const later = await read(unread);
  const { windows, skipped_windows } = await unread.close();
  return { read: checker.result(), length, own: own.length, reason, later, windows, skipped_windows, ...(await wavepool.close()) };
}

async function read(tap: Tap): Promise<Checked> {
  const checker = new Checker(stereo.hop);
  for await (const block of tap.blocks()) checker.see(block);
  return checker.result();
}
