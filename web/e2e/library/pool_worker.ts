/** A user's worker that takes buffers and keeps them until it is terminated. */
import { openPool, type PoolTicket } from '../../lib/src/consumer.ts';
import { codeOf } from './sound.ts';

export interface ToPoolWorker {
  readonly ticket: PoolTicket;
  /** A lease of the page's. */
  readonly foreign: number;
}

export interface FromPoolWorker {
  readonly lease: number;
  readonly live: number;
  readonly foreign: string | null;
}

self.onmessage = async ({ data }: MessageEvent<ToPoolWorker>) => {
  const pool = await openPool(data.ticket);
  const [lease] = Array.from({ length: 5 }, () => pool.acquire(2048)) as [number];
  pool.view(lease).fill(1);
  self.postMessage({ lease, live: pool.live, foreign: codeOf(() => pool.release(data.foreign)) } satisfies FromPoolWorker);
};
