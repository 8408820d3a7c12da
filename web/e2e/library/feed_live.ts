/** Live feeds: their latency, measured to the frame by the sound itself, which counts frames. */
import { Wavepool, type Feed, type FeedConfig, type Mode, type Tap } from '../../lib/src/index.ts';

const STEP = 2 ** -22;
const format = { channels: 1, frames: 256 };
const FEEDS = 5;
/** Long enough to settle, and for a correction. */
const SETTLE_MS = 700;
const STALL_MS = 300;

interface Measured {
  /** Of each feed in frames. */
  readonly latency: readonly number[];
  readonly late: readonly number[];
  readonly underruns: readonly number[];
}

/** Five identical feeds, each written in the page from a tap of the same sound; then the page stops for a while. */
export async function feedLatency(mode: Mode, options: Partial<FeedConfig> = { live: true }): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext();
  const source = count(context);
  const merger = new ChannelMergerNode(context, { numberOfInputs: FEEDS + 1 });
  source.connect(merger, 0, 0);
  const feeds: Feed[] = [];
  for (let i = 0; i < FEEDS; i++) {
    const tap = await wavepool.tap(source, { window: format.frames, hop: format.frames, channels: 1 });
    const feed = await wavepool.feed(context, { ...format, ...options });
    feed.node.connect(merger, 0, i + 1);
    void copy(tap, feed);
    feeds.push(feed);
  }
  const recorder = await wavepool.tap(merger, { window: 1024, hop: 1024, channels: FEEDS + 1 });
  let latest: Float32Array = new Float32Array(FEEDS + 1);
  void recorder.forEach((block) => {
    latest = Float32Array.from({ length: FEEDS + 1 }, (_, channel) => block.channel(channel)[block.frames - 1]!);
  });
  const mayStop = performance.now() + 10_000;
  const measure = async (): Promise<Measured> => {
    await pause(SETTLE_MS);
    let latency = latencies(latest);
    // A busy machine may have made a gap at this very moment.
    for (let before = ''; before !== String(latency) && performance.now() < mayStop; latency = latencies(latest)) {
      before = String(latency);
      await pause(60);
    }
    return {
      latency,
      late: feeds.map(({ lateFrames }) => lateFrames),
      underruns: feeds.map(({ underruns }) => underruns),
    };
  };
  const start = await measure();
  const onTime = await measure();
  const stallEnds = performance.now() + STALL_MS;
  while (performance.now() < stallEnds);
  const afterStall = await measure();
  const { latencyFrames } = feeds[0]!;
  const reported = (await wavepool.metrics()).feeds.map(({ live, latency_frames }) => ({ live, latency_frames }));
  const last = await wavepool.close();
  await context.close();
  return { start, onTime, afterStall, latencyFrames, reported, ...last };
}

/** How far each feed is behind the source, in frames. */
function latencies(samples: Float32Array): number[] {
  return Array.from(samples.slice(1), (sample) => Math.round((samples[0]! - sample) / STEP));
}

/** A sound whose samples count its frames. */
function count(context: AudioContext): AudioBufferSourceNode {
  const buffer = new AudioBuffer({ length: 20 * context.sampleRate, sampleRate: context.sampleRate });
  buffer.getChannelData(0).forEach((_, frame, samples) => (samples[frame] = (frame + 1) * STEP));
  const source = new AudioBufferSourceNode(context, { buffer });
  source.start();
  return source;
}

/** What comes from the tap goes into the feed, as soon as there is room. */
async function copy(tap: Tap, feed: Feed): Promise<void> {
  const blocks = feed.blocks();
  for await (const window of tap.blocks()) {
    const { value, done } = await blocks.next();
    if (done) return;
    value.channel(0).set(window.channel(0));
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
