/** Buffers of the pool in workers that come and go. */
import { Wavepool, type Mode } from '../../lib/src/index.ts';
import { inTurn, locks, type Lifetime } from './lifetimes.ts';
import type { ToPoolWorker } from './pool_worker.ts';

/** Workers at a time; a pool has sixteen participants at most. */
const ABREAST = 4;

/** A worker takes buffers and is ended with them in its hands. */
export async function poolOfAWorkerThatDies(mode: Mode): Promise<Lifetime> {
  const wavepool = await Wavepool.create({ mode });
  let lost = 0;
  const round = async (): Promise<void> => {
    let died!: (leases: number) => void;
    const leases = new Promise<number>((resolve) => (died = resolve));
    const ticket = await wavepool.handOverPool(died);
    const worker = new Worker(new URL('./pool_worker.ts', import.meta.url), { type: 'module' });
    const holding = new Promise((resolve) => (worker.onmessage = resolve));
    worker.postMessage({ ticket, foreign: 0 } satisfies ToPoolWorker, [...ticket.ports]);
    await holding;
    worker.terminate();
    lost += await leases;
  };
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, round),
    count: async () => ({ leased: (await wavepool.metrics()).leased, locks: await locks() }),
    end: async () => ({ lost, ...(await wavepool.close()) }),
  };
}
