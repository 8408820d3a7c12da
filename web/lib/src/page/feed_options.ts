import { WavepoolError } from '../shared/errors.ts';
import { blockCount, type FeedFormat } from '../shared/feed_protocol.ts';

export interface FeedConfig {
  /** 1 to 32. */
  readonly channels: number;
  /** Frames per block, 1 to 65536: a multiple of 128 is best. */
  readonly frames: number;
  /**
   * The time from writing to playing, in milliseconds, during which samples are buffered. Default: 100; at most 10000. Rounded up to whole
   * blocks, at least three: see `Feed.latencyFrames`.
   */
  readonly latencyMs?: number;
  /**
   * What sets the pace. `false` (the default): the feed. The writer waits for a free block, is never further ahead than the latency, and
   * every frame is played. `true`: the source, such as a microphone or a network. The feed begins with the newest frames, keeps the
   * latency, and drops frames that arrive later; `Feed.lateFrames` counts them.
   */
  readonly live?: boolean;
}

const MAX_CHANNELS = 32;
const MAX_FRAMES = 1 << 16;
const MAX_LATENCY_MS = 10_000;
const DEFAULT_LATENCY_MS = 100;
/** One block that is played, one that is buffered, one that is being written. */
const MIN_BLOCKS = 3;
/** 256 MiB of samples. */
const MAX_BUFFER_SAMPLES = 1 << 26;

/**
 * Checks the options of a feed.
 *
 * @throws {@link WavepoolError} `bad-option` with the option, the value and the limits.
 */
export function feedFormat(context: BaseAudioContext, config: FeedConfig): FeedFormat {
  if (!isObject(context) || typeof (context as BaseAudioContext).sampleRate !== 'number') {
    throw invalid('context must be an AudioContext or an OfflineAudioContext', context);
  }
  if (!isObject(config)) throw invalid('options must be an object with channels and frames', config);
  const { channels, frames, latencyMs = DEFAULT_LATENCY_MS, live = false } = config;
  requireWhole('channels', channels, MAX_CHANNELS);
  requireWhole('frames', frames, MAX_FRAMES);
  if (typeof latencyMs !== 'number' || !(latencyMs > 0 && latencyMs <= MAX_LATENCY_MS)) {
    throw invalid(`latencyMs must be above 0, at most ${MAX_LATENCY_MS}`, latencyMs);
  }
  if (typeof live !== 'boolean') throw invalid('live must be true or false', live);
  const { sampleRate } = context;
  const blocks = Math.max(MIN_BLOCKS, Math.ceil((latencyMs * sampleRate) / 1000 / frames));
  const format = { sampleRate, channels, frames, latencyFrames: blocks * frames, live };
  const samples = blockCount(format) * frames * channels;
  if (samples > MAX_BUFFER_SAMPLES) throw invalid(`channels, frames and latencyMs must need at most ${MAX_BUFFER_SAMPLES} samples together`, samples);
  return format;
}

function requireWhole(name: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) throw invalid(`${name} must be a whole number from 1 to ${most}`, value);
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function invalid(rule: string, value: unknown): WavepoolError {
  return new WavepoolError('bad-option', `Invalid feed format: ${rule} (got ${show(value)}).`);
}

/** Does not throw, as `String` does for objects without a prototype. */
function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return isObject(value) || typeof value === 'function' ? `a value of type ${typeof value}` : String(value);
}
