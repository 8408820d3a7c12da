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
  worker.postMessage({ ticket, leave } satisfies ToLifetimesPoolWorker, ticket.ports);
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

/** A control worker dies in each of so many rounds but one: there it hangs, and keeps a core busy for a second until it is ended. */
const STUCK_EVERY = 25;

/** Whole pools are opened and closed, restarted, closed while a participant opens or is in a worker, and their control workers die. */
export async function poolsThatClose(mode: Mode): Promise<Lifetime> {
  const leaks: number[] = [];
  let [dead, stuck] = [0, 0];
  const start = controlWorkers();
  const create = (): ReturnType<typeof start> => start(() => Wavepool.create({ mode }));
  const close = async (wavepool: Wavepool): Promise<void> => {
    const [{ leaked }] = await Promise.all([wavepool.close(), wavepool.close()]);
    leaks.push(leaked);
  };
  const restart = (wavepool: Wavepool): Promise<unknown> =>
    start(async () => {
      await wavepool.restart();
      return wavepool;
    });
  const dies = async (): Promise<void> => {
    const [wavepool, control] = await create();
    await wavepool.pool();
    const reported = new Promise<string>((resolve) => wavepool.onCrash(resolve));
    control.terminate();
    await reported;
    dead += 1;
    await wavepool.close().catch(() => null);
  };
  const ways: ((number: number) => Promise<void>)[] = [
    async function closed() {
      const [wavepool] = await create();
      (await wavepool.pool()).acquire(64);
      await close(wavepool);
    },
    async function closedWhileAWorkerHasBuffers() {
      const [wavepool] = await create();
      const { worker, live } = startWorker(await wavepool.handOverPool(), false);
      await live;
      await close(wavepool);
      worker.terminate();
    },
    async function restarted() {
      const [wavepool] = await create();
      await wavepool.pool();
      await restart(wavepool);
      (await wavepool.pool()).acquire(64);
      await close(wavepool);
    },
    async function closedWhileAPoolOpens() {
      const [wavepool] = await create();
      const opening = wavepool.pool().catch(() => null);
      await close(wavepool);
      await opening;
    },
    async function withoutControlWorker(number) {
      if (Math.floor(number / ways.length) % STUCK_EVERY !== 0) return dies();
      const [wavepool] = await create();
      await wavepool.pool();
      await wavepool.fault('spin');
      const reported = new Promise((resolve) => wavepool.onStuck(resolve));
      const waiting = wavepool.metrics().catch(() => null);
      await reported;
      stuck += 1;
      await restart(wavepool);
      await waiting;
      await close(wavepool);
    },
  ];
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, (number) => ways[number % ways.length]!(number)),
    count: async () => ({ locks: await locks() }),
    end: async () => ({ leaks: leaks.filter((leaked) => leaked !== 0), dead, stuck }),
  };
}

/** Runs what starts a control worker, one at a time, so that its worker is known: the one that was started last. */
function controlWorkers(): (begin: () => Promise<Wavepool>) => Promise<readonly [Wavepool, Worker]> {
  let newest: Worker;
  globalThis.Worker = class extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      if (!String(given[0]).includes('lifetimes_pool_worker')) newest = this;
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  return (begin) => {
    const begun = last.then(async () => [await begin(), newest] as const);
    last = begun.catch(() => undefined);
    return begun;
  };
}
