/** The way back: a tap hears what was written into a feed. */
import { Wavepool, type Mode } from '../../lib/src/index.ts';
import type { ToFeedWorker } from './feed_worker.ts';

const STEP = 2 ** -22;
const format = { channels: 1, frames: 512 };

/** The page writes a count of frames and ends; every sample that is played after the fade in must follow its neighbour. */
export async function feedFromThePage(mode: Mode): Promise<Readonly<Record<string, number>>> {
  const { wavepool, context, played, listen } = await studio(mode);
  const feed = await wavepool.feed(context, format);
  await listen(feed.node);
  const blocks = 100;
  let written = 0;
  for await (const block of feed.blocks()) {
    const samples = block.channel(0);
    for (let i = 0; i < block.frames; i++) samples[i] = (block.firstFrame + i + 1) * STEP;
    if (++written > blocks) break;
  }
  feed.end();
  await feed.ended;
  await pause(300);
  const samples = played();
  let steps = 0;
  for (let i = 1; i < samples.length; i++) if (Math.round((samples[i]! - samples[i - 1]!) / STEP) === 1) steps += 1;
  const { underruns } = feed;
  feed.close();
  return { steps, frames: blocks * format.frames, underruns, ...(await close(wavepool, context)) };
}

/** A worker writes a sine with breaks: gaps, counted, and no step anywhere. */
export async function feedUnderruns(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, context, played, listen } = await studio(mode);
  const feed = await wavepool.feed(context, format);
  await listen(feed.node);
  const worker = new Worker(new URL('./feed_worker.ts', import.meta.url), { type: 'module' });
  const ticket = feed.handOver();
  const hz = 440;
  worker.postMessage({ ticket, hz, blocks: 120, breakAfter: 40 } satisfies ToFeedWorker, ticket.ports);
  await feed.ended;
  await pause(300);
  worker.terminate();
  const samples = played();
  let loudest = 0;
  let largestStep = 0;
  for (let i = 1; i < samples.length; i++) {
    loudest = Math.max(loudest, Math.abs(samples[i]!));
    largestStep = Math.max(largestStep, Math.abs(samples[i]! - samples[i - 1]!));
  }
  // Of the sine itself, and of a fade over 64 frames.
  const steepest = (Math.PI * hz) / context.sampleRate + 0.5 / 64;
  const { underruns } = feed;
  const [reported] = (await wavepool.metrics()).feeds.map(({ channels, frames, underruns }) => ({ channels, frames, underruns }));
  feed.close();
  await pause(50);
  const closed = (await wavepool.metrics()).feeds.length;
  return { loudest, largestStep, steepest, underruns, reported, closed, ...(await close(wavepool, context)) };
}

/** A context, and a tap that remembers all it hears. */
async function studio(mode: Mode): Promise<{
  readonly wavepool: Wavepool;
  readonly context: AudioContext;
  readonly played: () => Float32Array;
  readonly listen: (node: AudioNode) => Promise<void>;
}> {
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext();
  const windows: Float32Array[] = [];
  const listen = async (node: AudioNode): Promise<void> => {
    const tap = await wavepool.tap(node, { window: 1024, hop: 1024, channels: 1 });
    void tap.forEach((block) => windows.push(block.channel(0).slice()));
  };
  const played = (): Float32Array => {
    const all = new Float32Array(windows.length * 1024);
    windows.forEach((window, i) => all.set(window, i * 1024));
    return all;
  };
  return { wavepool, context, played, listen };
}

async function close(wavepool: Wavepool, context: AudioContext): Promise<{ leaked: number }> {
  const end = await wavepool.close();
  await context.close();
  return end;
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
