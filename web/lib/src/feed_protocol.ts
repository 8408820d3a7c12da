/** What crosses between whoever writes a feed and the worklet that plays it. */
import { build } from './build.ts';

/** The name under which the worklet file registers its processor. */
export const FEED_PROCESSOR = `wavepool-feed ${build}`;

/** How far a writer can be ahead, in seconds and at least in blocks: what is written later sounds later by so much. */
const SECONDS_AHEAD = 0.1;
const LEAST_BLOCKS = 3;

export interface FeedFormat {
  /** In Hz. */
  readonly sampleRate: number;
  readonly channels: number;
  /** Frames per block. */
  readonly frames: number;
}

/** Blocks that circulate between writer and worklet. */
export function blocksAhead({ sampleRate, frames }: FeedFormat): number {
  return Math.max(LEAST_BLOCKS, Math.ceil((SECONDS_AHEAD * sampleRate) / frames));
}

/** Words in front of a shared ring: blocks written so far, blocks played so far, 1 once the last one was written. */
export const RING = { written: 0, played: 1, ended: 2, words: 4 } as const;

/** Shared mode: one ring of blocks. Transfer mode: blocks go by message, and come back. */
export type FeedLane =
  | { readonly mode: 'shared'; readonly ring: SharedArrayBuffer }
  | { readonly mode: 'transfer'; readonly port: MessagePort };

/** A feed on its way to the thread that will write it: give it to `openFeed` there. */
export interface FeedTicket {
  /** @internal */
  readonly format: FeedFormat;
  /** @internal */
  readonly lane: FeedLane;
  readonly ports: readonly MessagePort[];
}

/** What the worklet gets at once; in transfer mode its port follows as a message. */
export interface FeedOptions {
  readonly format: FeedFormat;
  readonly ring: SharedArrayBuffer | null;
}

export type ToFeed = { readonly port: MessagePort };
export type FromFeed = { kind: 'underrun'; underruns: number } | { kind: 'ended' };

export function ringBytes(format: FeedFormat): number {
  return 4 * (RING.words + blocksAhead(format) * format.channels * format.frames);
}

/** The channels of each of the ring's blocks. */
export function ringBlocks(ring: SharedArrayBuffer, format: FeedFormat): Float32Array[][] {
  const { channels, frames } = format;
  const view = (index: number): Float32Array => new Float32Array(ring, 4 * (RING.words + index * frames), frames);
  return Array.from({ length: blocksAhead(format) }, (_, block) =>
    Array.from({ length: channels }, (_, channel) => view(block * channels + channel)),
  );
}

/** The channels of one transferable block. */
export function channelsOf(block: ArrayBuffer, { channels, frames }: FeedFormat): Float32Array[] {
  return Array.from({ length: channels }, (_, channel) => new Float32Array(block, 4 * channel * frames, frames));
}
