/** Messages and shared memory between the writer of a feed, the worklet that plays it, and the page that opened it. */
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
  /** Whether the source sets the pace, instead of the feed. */
  readonly live: boolean;
}

/** Number of blocks that circulate between writer and worklet. A live feed has more, for bursts after a delay. */
export function blockCount({ frames, latencyFrames, live }: FeedFormat): number {
  return (latencyFrames / frames) * (live ? 2 : 1);
}

/**
 * 32-bit cells in front of a shared ring. `written` and `played` count blocks and wrap around at 2^32, so that they are compared by their
 * wrapping difference only, see {@link blocksBetween}. `ended` is 1 after the last block was written.
 * `underruns` and `lateFrames` stop at their maximum.
 */
export const RING = { written: 0, played: 1, ended: 2, underruns: 3, lateFrames: 4, cells: 8 } as const;

/** Number of blocks that were written and not played yet. Correct when a count wraps around, because a ring has fewer than 2^31 blocks. */
export function blocksBetween(played: number, written: number): number {
  return (written - played) | 0;
}

/** Shared mode: a ring of blocks. Transfer mode: a port by which blocks are sent and returned. */
export type FeedLane =
  | { readonly mode: 'shared'; readonly ring: SharedArrayBuffer }
  | { readonly mode: 'transfer'; readonly port: MessagePort };

/** A ticket for the thread that is to write the feed: pass it to `openFeed` there. */
export interface FeedTicket {
  /** @internal */
  readonly format: FeedFormat;
  /** @internal */
  readonly lane: FeedLane;
  /** Web Lock that the writer's thread holds, so that the page notices its death. @internal */
  readonly lock: string;
  /** The writer's port to the page. @internal */
  readonly control: MessagePort;
  /** The list to transfer: mutable, since `postMessage` accepts no readonly array. */
  readonly ports: MessagePort[];
}

/** The options of the worklet's processor; in transfer mode its port follows as a message. */
export interface FeedOptions {
  readonly format: FeedFormat;
  readonly ring: SharedArrayBuffer | null;
}

/** The state of a feed. */
export interface FeedState {
  /** How often the writer was late. */
  readonly underruns: number;
  /** Live feeds: frames that were dropped because they arrived after the latency. */
  readonly lateFrames: number;
  /** Frames written and not played yet. */
  readonly bufferedFrames: number;
}

export type ToFeed = { readonly kind: 'port'; readonly port: MessagePort } | { readonly kind: 'end' | 'close' };
export type FromFeed = { readonly kind: 'state'; readonly state: FeedState } | { readonly kind: 'ended' };

/** Transfer mode, from worklet to writer: a block that was played, or a new state. */
export type ToFeedWriter = ArrayBuffer | FeedState;

/** From the page to a writer on another thread, and back. `unwatched`: opened without Web Locks, so that the page does not notice its death. */
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
