/** What crosses between whoever writes a feed, the worklet that plays it, and the page that opened it. */
import { build } from './build.ts';

/** The name under which the worklet file registers its processor. */
export const FEED_PROCESSOR = `wavepool-feed ${build}`;

export interface FeedFormat {
  /** In Hz. */
  readonly sampleRate: number;
  readonly channels: number;
  /** Frames per block. */
  readonly frames: number;
  /** The latency that the feed keeps, in frames: whole blocks. */
  readonly latencyFrames: number;
  /** Whether the source sets the pace, and not the feed. */
  readonly live: boolean;
}

/** Blocks that circulate between writer and worklet. A live feed has room for what comes in a burst after a delay. */
export function blockCount({ frames, latencyFrames, live }: FeedFormat): number {
  return (latencyFrames / frames) * (live ? 2 : 1);
}

/**
 * 32-bit cells in front of a shared ring. `written` and `played` count blocks and wrap around at 2^32, so they are only ever
 * compared by their wrapping difference, see {@link blocksBetween}. `ended` is 1 once the last block was written.
 * `underruns` and `lateFrames` stop at their maximum.
 */
export const RING = { written: 0, played: 1, ended: 2, underruns: 3, lateFrames: 4, cells: 8 } as const;

/** Blocks written and not played yet: correct across the wrap, because a ring never has 2^31 blocks. */
export function blocksBetween(played: number, written: number): number {
  return (written - played) | 0;
}

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
  /** Web Lock that the writer's thread holds, so that the page learns of its death. @internal */
  readonly lock: string;
  /** The writer's line to the page. @internal */
  readonly control: MessagePort;
  readonly ports: readonly MessagePort[];
}

/** What the worklet gets at once; in transfer mode its port follows as a message. */
export interface FeedOptions {
  readonly format: FeedFormat;
  readonly ring: SharedArrayBuffer | null;
}

/** How a feed is doing. */
export interface FeedState {
  readonly underruns: number;
  readonly lateFrames: number;
  /** Frames written and not played yet. */
  readonly bufferedFrames: number;
}

export type ToFeed = { readonly kind: 'port'; readonly port: MessagePort } | { readonly kind: 'end' | 'close' };
export type FromFeed = { readonly kind: 'state'; readonly state: FeedState } | { readonly kind: 'ended' };

/** Transfer mode, from worklet to writer: a block that was played, or a new state. */
export type ToFeedWriter = ArrayBuffer | FeedState;

/** From the page to a writer on another thread, and back. `unwatched`: opened where there are no locks, so that its death is not noticed. */
export type ToWriterControl = 'closed';
export type FromWriterControl = 'opened' | 'unwatched' | 'ended';

export function ringBytes(format: FeedFormat): number {
  return 4 * (RING.cells + blockCount(format) * format.channels * format.frames);
}

/** The channels of each of the ring's blocks. */
export function ringBlocks(ring: SharedArrayBuffer, format: FeedFormat): Float32Array[][] {
  const { channels, frames } = format;
  const view = (index: number): Float32Array => new Float32Array(ring, 4 * (RING.cells + index * frames), frames);
  return Array.from({ length: blockCount(format) }, (_, block) =>
    Array.from({ length: channels }, (_, channel) => view(block * channels + channel)),
  );
}

/** The channels of one transferable block. */
export function channelsOf(block: ArrayBuffer, { channels, frames }: FeedFormat): Float32Array[] {
  return Array.from({ length: channels }, (_, channel) => new Float32Array(block, 4 * channel * frames, frames));
}
