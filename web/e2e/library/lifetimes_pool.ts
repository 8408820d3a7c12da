/** Buffers of the pool, in the page, in workers that come and go, and of pools that come and go. */
import { Wavepool, type Mode, type PoolTicket } from '../../lib/src/index.ts';
import { inTurn, locks, type Lifetime } from './lifetimes.ts';
import type { ToLifetimesPoolWorker } from './lifetimes_pool_worker.ts';

/** Workers at a time; a pool has sixteen participants at most. */
const ABREAST = 4;

function startWorker(ticket: PoolTicket, leave: boolean): { worker: Worker; live: Promise<number> } {
  const worker = new Worker(new URL('./lifetimes_pool_worker.ts', import.meta.url), { type: 'module' });
  const live = new Promise<number>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  });
  worker.postMessage({ ticket, leave } satisfies ToLifetimesPoolWorker, [...ticket.ports]);
  return { worker, live };
}

async function inUse(wavepool: Wavepool): Promise<Record<string, number>> {
  return { leased: (await wavepool.metrics()).leased, locks: await locks() };
}

/** A worker takes buffers, and is ended with them in its hands, or leaves and closes twice. */
export async function poolOfAWorker(mode: Mode): Promise<Lifetime> {
  const wavepool = await Wavepool.create({ mode });
  let lost = 0;
  let left = 0;
  let dead = 0;
  const dies = async (): Promise<void> => {
    let died!: (leases: number) => void;
    const leases = new Promise<number>((resolve) => (died = resolve));
    const { worker, live } = startWorker(await wavepool.handOverPool(died), false);
    await live;
    worker.terminate();
    lost += await leases;
    dead += 1;
  };
  const leaves = async (): Promise<void> => {
    const { worker, live } = startWorker(await wavepool.handOverPool(), true);
    if ((await live) === 0) left += 1;
    worker.terminate();
  };
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, (number) => (number % 2 === 0 ? dies() : leaves())),
    count: () => inUse(wavepool),
    end: async () => ({ lost, dead, left, ...(await wavepool.close()) }),
  };
}

/** The page's own pool is closed (twice, while it opens, with buffers in use) and opened again. */
export async function poolOfThePage(mode: Mode): Promise<Lifetime> {
  const wavepool = await Wavepool.create({ mode });
  let reused = 0;
  const ways: (() => Promise<void>)[] = [
    async () => {
      const pool = await wavepool.pool();
      pool.view(pool.acquire(256)).fill(1);
      await pool.close();
      await pool.close();
    },
    async () => {
      const [pool, same] = await Promise.all([wavepool.pool(), wavepool.pool()]);
      if (pool !== same) reused += 1;
      await Promise.all([pool.close(), same.close()]);
    },
    async () => {
      await using pool = await wavepool.pool();
      using buffer = pool.borrow(512);
      buffer.view()[0] = 1;
      await pool.close();
    },
    async () => {
      const closing = wavepool.pool().then((pool) => pool.close());
      await wavepool.metrics();
      await closing;
    },
  ];
  return {
    rounds: (from, to) => inTurn(from, to, 1, (number) => ways[number % ways.length]!()),
    count: () => inUse(wavepool),
    end: async () => ({ reused, ...(await wavepool.close()) }),
  };
}

/** Whole pools are opened and closed, restarted, and closed while a participant opens or is in a worker. */
export async function poolsThatClose(mode: Mode): Promise<Lifetime> {
  const leaks: number[] = [];
  const ways: (() => Promise<void>)[] = [
    async () => {
      const wavepool = await Wavepool.create({ mode });
      const pool = await wavepool.pool();
      pool.acquire(64);
      leaks.push((await wavepool.close()).leaked);
    },
    async () => {
      const wavepool = await Wavepool.create({ mode });
      const { worker, live } = startWorker(await wavepool.handOverPool(), false);
      await live;
      leaks.push((await wavepool.close()).leaked);
      worker.terminate();
    },
    async () => {
      const wavepool = await Wavepool.create({ mode });
      await wavepool.pool();
      await wavepool.restart();
      const pool = await wavepool.pool();
      pool.acquire(64);
      leaks.push((await wavepool.close()).leaked);
    },
    async () => {
      const wavepool = await Wavepool.create({ mode });
      const opening = wavepool.pool().catch(() => null);
      await wavepool.close();
      await opening;
    },
    async () => {
      const wavepool = await Wavepool.create({ mode });
      await wavepool.pool();
      await wavepool.fault('spin');
      const told = new Promise((resolve) => wavepool.onStuck(resolve));
      const waiting = wavepool.metrics().catch(() => null);
      await told;
      await wavepool.restart();
      await waiting;
      leaks.push((await wavepool.close()).leaked);
    },
  ];
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, (number) => ways[number % ways.length]!()),
    count: async () => ({ locks: await locks() }),
    end: async () => {
      // Nothing is open any more.
      for (const mayStop = performance.now() + 5000; (await locks()) > 0 && performance.now() < mayStop; ) await new Promise((resume) => setTimeout(resume, 100));
      const { held = [], pending = [] } = await navigator.locks.query();
      return { leaks: leaks.filter((leaked) => leaked !== 0), held: held.length, pending: pending.length };
    },
  };
}
