/** What a feed plays, sample by sample, rendered offline. */
import { Wavepool, type FeedConfig, type Mode } from '../../lib/src/index.ts';
import { Probe } from './probe.ts';

const RATE = 48_000;
const QUANTUM = 128;
/** Fewer than the default latency of 100 ms has, so that all can be written before the rendering begins. */
const FRAMES = 4000;
/** Sound begins within so many frames. */
const FADE = 64;

/** Every bit pattern of a sample is played as it is, or as zero if it is no finite number; after the end come zeros. */
export async function feedBitPatterns(mode: Mode): Promise<readonly object[]> {
  const formats: FeedConfig[] = [
    { channels: 1, frames: 128 },
    { channels: 2, frames: 256 },
    { channels: 5, frames: 100 },
    { channels: 2, frames: 1000 },
    { channels: 1, frames: 1 },
  ];
  const outcomes = [];
  const wavepool = await Wavepool.create({ mode });
  for (const format of formats) {
    const random = bits(format.frames);
    const blocks = Math.ceil(FRAMES / format.frames);
    const written: number[][] = Array.from({ length: format.channels }, () => []);
    const played = await render(wavepool, format, blocks, (samples, channel) => {
      for (let i = 0; i < samples.length; i++) {
        samples[i] = random();
        written[channel]!.push(samples[i]!);
      }
    });
    outcomes.push({ ...format, ...compare(written, played) });
  }
  await wavepool.close();
  return outcomes;
}

/** The writer stops for good after a block that ends with samples that are no numbers. */
export async function feedSilence(mode: Mode): Promise<readonly object[]> {
  const outcomes = [];
  const wavepool = await Wavepool.create({ mode });
  for (const last of [NaN, Infinity, -Infinity, 3.4e38, -1e-40, 0.5]) {
    const [played] = await render(wavepool, { channels: 1, frames: 512 }, 1, (samples) => samples.fill(0.5).fill(last, 100));
    const silent = played!.subarray(512 + FADE);
    outcomes.push({ last, finite: played!.every(Number.isFinite), zeros: silent.every((sample) => sample === 0), played: Math.abs(played![99]! - 0.5) < 1e-6 });
  }
  await wavepool.close();
  return outcomes;
}

/** Finite samples are as they were written; what the browser flushes to zero because it is denormal is as well. */
function compare(written: readonly number[][], played: readonly Float32Array[]): { wrong: number; notFinite: number; afterEnd: number; compared: number } {
  let [wrong, notFinite, afterEnd] = [0, 0, 0];
  const frames = written[0]!.length;
  written.forEach((wanted, channel) => {
    const samples = played[channel]!;
    for (let i = 0; i < samples.length; i++) {
      const sample = samples[i]!;
      if (!Number.isFinite(sample)) notFinite += 1;
      if (i >= frames + FADE && sample !== 0) afterEnd += 1;
      if (i < FADE || i >= frames) continue;
      const expected = Number.isFinite(wanted[i]!) ? wanted[i]! : 0;
      const flushed = Math.abs(expected) < 2 ** -126 && sample === 0;
      if (sample !== expected && !flushed) wrong += 1;
    }
  });
  return { wrong, notFinite, afterEnd, compared: frames };
}

/** Numbers by any 32 bits, the notable ones among them often. */
function bits(seed: number): () => number {
  const word = new Uint32Array(1);
  const float = new Float32Array(word.buffer);
  const notable = [NaN, Infinity, -Infinity, 3.4028234663852886e38, -3.4028234663852886e38, 1e-45, -0, 1e19, 1];
  let state = seed;
  const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
  return () => {
    if (next() % 8 === 0) return notable[(next() >>> 8) % notable.length]!;
    word[0] = next() ^ (next() >>> 16);
    return float[0]!;
  };
}

/** Writes all blocks before the rendering begins. */
async function render(wavepool: Wavepool, config: FeedConfig, blocks: number, write: Write): Promise<readonly Float32Array[]> {
  const context = new OfflineAudioContext(config.channels, QUANTUM * Math.ceil((blocks * config.frames + 1000) / QUANTUM), RATE);
  const probe = await Probe.load(context);
  const feed = await wavepool.feed(context, config);
  feed.node.connect(context.destination);
  const writer = feed.blocks();
  for (let written = 0; written < blocks; written++) {
    const { value } = await writer.next();
    if (value) for (let channel = 0; channel < value.channelCount; channel++) write(value.channel(channel), channel, value.firstFrame);
  }
  // Sends the last block.
  void writer.next();
  // The blocks are messages in transfer mode; they have arrived when later ones were answered.
  for (let i = 0; i < 3; i++) await probe.look();
  return rendered(context);
}

type Write = (samples: Float32Array, channel: number, firstFrame: number) => void;

async function rendered(context: OfflineAudioContext): Promise<readonly Float32Array[]> {
  const buffer = await context.startRendering();
  return Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
}
