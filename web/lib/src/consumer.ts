/** For a worker of yours: reads taps, writes feeds, and uses buffers of the pool, with tickets of the page. */
import { BlockReader } from './consumer/block_reader.ts';
import { BufferPool } from './consumer/buffer_pool.ts';
import type { FeedTicket } from './shared/feed_protocol.ts';
import { FeedWriter } from './consumer/feed_writer.ts';
import type { PoolTicket, TapTicket } from './shared/protocol.ts';

export { Block } from './consumer/block.ts';
export type { BlockReader } from './consumer/block_reader.ts';
export { WavepoolError, type WavepoolErrorCode } from './shared/errors.ts';
export type { BufferPool } from './consumer/buffer_pool.ts';
export type { FeedTicket } from './shared/feed_protocol.ts';
export type { FeedBlock, FeedWriter } from './consumer/feed_writer.ts';
export type { PooledArray } from './consumer/pooled_array.ts';
export type { PoolTicket, TapTicket } from './shared/protocol.ts';
export * from './shared/refusal.ts';

/**
 * Reads a tap on this thread.
 *
 * @example
 * ```ts
 * import { openTap } from 'wavepool/worker';
 *
 * self.onmessage = async ({ data: ticket }) => {
 *   const tap = await openTap(ticket);
 *   for await (const block of tap.blocks()) {
 *     console.log(block.firstFrame, block.channel(0)[0]);
 *   }
 * };
 * ```
 */
export function openTap(ticket: TapTicket): Promise<BlockReader> {
  return BlockReader.open(ticket);
}

/**
 * Buffers of the pool for this thread's own use: `openPool(ticket)` with the result of `wavepool.handOverPool()`.
 *
 * @example
 * ```ts
 * import { openPool } from 'wavepool/worker';
 *
 * self.onmessage = async ({ data: ticket }) => {
 *   const pool = await openPool(ticket);
 *   using samples = pool.borrow(480);
 *   samples.view().fill(0);
 * };
 * ```
 */
export function openPool(ticket: PoolTicket): Promise<BufferPool> {
  return BufferPool.open(ticket);
}

/**
 * Writes a feed on this thread: `openFeed(ticket)` with the result of `feed.handOver()`.
 *
 * @example
 * ```ts
 * import { openFeed } from 'wavepool/worker';
 *
 * self.onmessage = async ({ data: ticket }) => {
 *   const writer = await openFeed(ticket);
 *   for await (const block of writer.blocks()) block.channel(0).fill(0);
 * };
 * ```
 */
export function openFeed(ticket: FeedTicket): FeedWriter {
  return FeedWriter.open(ticket);
}
