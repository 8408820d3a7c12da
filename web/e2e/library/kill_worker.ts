/** A user's worker that never stops using what it was handed, until it is ended. */
import {
  openFeed,
  openPool,
  openTap,
  PoolExhaustedError,
  type BlockReader,
  type BufferPool,
  type FeedTicket,
  type FeedWriter,
  type PoolTicket,
  type TapTicket,
} from '../../lib/src/consumer.ts';

export type ToKillWorker = { readonly pool: PoolTicket } | { readonly tap: TapTicket } | { readonly feed: FeedTicket };

/** Uses between two turns, in which messages are received. */
const USES = 200;

self.onmessage = async ({ data }: MessageEvent<ToKillWorker>) => {
  if ('pool' in data) {
    const pool = await openPool(data.pool);
    self.postMessage('begun');
    await usePool(pool);
  } else if ('tap' in data) {
    const tap = await openTap(data.tap);
    self.postMessage('begun');
    await readTap(tap);
  } else {
    await writeFeed(openFeed(data.feed));
  }
};

/** Keeps the feed as full as it can be. */
async function writeFeed(feed: FeedWriter): Promise<void> {
  for await (const block of feed.blocks()) {
    if (block.firstFrame === 0) self.postMessage('begun');
    for (let channel = 0; channel < block.channelCount; channel++) block.channel(channel).fill(0.1);
  }
}

/** Leases, shares and releases without an end: when it is ended it is most likely in the middle of one of these. */
async function usePool(pool: BufferPool): Promise<never> {
  const held: number[] = [];
  for (;;) {
    for (let use = 0; use < USES; use++) {
      const lease = acquired(pool);
      if (lease === null) {
        // Of a class that was learned a moment ago there may be none yet.
        held.splice(0).forEach((kept) => pool.release(kept));
        break;
      }
      pool.view(lease)[0] = 1;
      pool.endView(lease);
      const shared = pool.share(lease);
      if (Math.random() < 0.5) pool.release(lease);
      else held.push(lease);
      held.push(shared);
      while (held.length > 8) pool.release(held.splice(Math.floor(Math.random() * held.length), 1)[0]!);
    }
    await new Promise((resume) => setTimeout(resume));
  }
}

function acquired(pool: BufferPool): number | null {
  try {
    return pool.acquire(1 + Math.floor(Math.random() * 2048));
  } catch (thrown) {
    if (thrown instanceof PoolExhaustedError) return null;
    throw thrown;
  }
}

async function readTap(tap: BlockReader): Promise<void> {
  const kept: { release(): void }[] = [];
  for await (const block of tap.blocks()) {
    if (block.channel(0).length === 0) return;
    if (Math.random() < 0.5) kept.push(block.keep());
    if (kept.length > 4) kept.splice(Math.floor(Math.random() * kept.length), 1)[0]!.release();
  }
}
