/** A user's worker that takes buffers, and gives them back with its part in the pool, or keeps them until it is ended. */
import { PoolExhaustedError, openPool, type BufferPool, type PoolTicket } from '../../lib/src/consumer.ts';

export interface ToLifetimesPoolWorker {
  readonly ticket: PoolTicket;
  readonly leave: boolean;
}

self.onmessage = async ({ data: { ticket, leave } }: MessageEvent<ToLifetimesPoolWorker>) => {
  const pool = await openPool(ticket);
  for (const samples of [64, 512, 1024]) take(pool, samples);
  if (leave) await Promise.all([pool.close(), pool.close()]);
  self.postMessage(pool.live);
};

/** A pool whose participants come and go quickly may have no buffer of a size at this moment. */
function take(pool: BufferPool, samples: number): void {
  try {
    pool.view(pool.acquire(samples)).fill(1);
  } catch (thrown) {
    if (!(thrown instanceof PoolExhaustedError)) throw thrown;
  }
}
