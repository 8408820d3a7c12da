/** A user's worker that takes buffers, and gives them back with its part in the pool, or keeps them until it is ended. */
import { openPool, type PoolTicket } from '../../lib/src/consumer.ts';

export interface ToLifetimesPoolWorker {
  readonly ticket: PoolTicket;
  readonly leave: boolean;
}

self.onmessage = async ({ data: { ticket, leave } }: MessageEvent<ToLifetimesPoolWorker>) => {
  const pool = await openPool(ticket);
  for (const samples of [64, 512, 1024]) pool.view(pool.acquire(samples)).fill(1);
  if (leave) await Promise.all([pool.close(), pool.close()]);
  self.postMessage(pool.live);
};
