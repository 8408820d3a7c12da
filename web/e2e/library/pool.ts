/** Buffers for JavaScript's own use: used as meant, abused, and in a worker. */
import type { Mode, Snapshot } from '../../lib/src/index.ts';
import { Wavepool } from '../../lib/src/index.ts';
import type { FromPoolWorker, ToPoolWorker } from './pool_worker.ts';
import { codeOf } from './sound.ts';

/** Uses buffers as they are meant to be used. */
export async function buffers(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  const pool = await wavepool.pool();
  const lease = pool.acquire(1000);
  const samples = pool.view(lease);
  const silent = samples.every((sample) => sample === 0);
  samples.fill(0.25);
  pool.endView(lease);
  const shared = pool.share(lease);
  pool.release(lease);
  const kept = pool.view(shared).every((sample) => sample === 0.25);
  const twice = codeOf(() => pool.view(shared));
  const two = pool.live;
  pool.release(shared);
  let array: Float32Array | null = null;
  let sameArray = true;
  for (let i = 0; i < 10_000; i++) {
    const next = pool.acquire(4000);
    const view = pool.view(next);
    if (array !== null && view !== array) sameArray = false;
    array = view;
    pool.release(next);
  }
  let borrowed: Float32Array | null;
  {
    using buffer = pool.borrow(300);
    using other = buffer.share();
    borrowed = other.view();
  }
  const { live } = pool;
  const sizes = [samples.length, borrowed.length];
  // In transfer mode the counts come by message, every now and then.
  await new Promise((resume) => setTimeout(resume, 500));
  const { leased, objects, js_gc_pressure_reduction: pressure } = await wavepool.metrics();
  const { leaked } = await wavepool.close();
  // What was looked at above: arrays and their samples.
  const seen = { arrays: 10_003, samples: 2 * 1000 + 10_000 * 4000 + 300 };
  return { silent, kept, twice, two, sameArray, sizes, live, leased, leaked, seen, views: objects.views, pressure, closed: codeOf(() => pool.acquire(1)) };
}

/** What is no lease, in every way JavaScript can put it. */
function hostile(live: readonly number[], released: number): unknown[] {
  const [first] = live as [number];
  return [
    0, -0, -1, 1, 2 ** 30, 2 ** 31, 2 ** 32, first + 2 ** 30, first + 2 ** 32, first + 0.5, -first, NaN, Infinity, 1e300,
    released, first ^ (1 << 8), first + 100, first ^ (1 << 20),
    String(first), [first], { valueOf: () => first }, null, undefined, true, BigInt(first), Symbol('lease'), () => first,
  ];
}

/** Abuses leases beside live ones: every call must be refused with a typed error, and the live ones stay as they are. */
export async function abuse(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  const pool = await wavepool.pool();
  const live = Array.from({ length: 6 }, (_, i) => {
    const lease = pool.acquire(256);
    pool.view(lease).fill(i + 1);
    pool.endView(lease);
    return lease;
  });
  const released = pool.acquire(256);
  pool.release(released);
  const calls = [pool.view, pool.endView, pool.share, pool.release].map((call) => call.bind(pool) as (lease: unknown) => unknown);
  const codes = new Set<string | null>();
  for (const lease of hostile(live, released)) for (const call of calls) codes.add(codeOf(() => call(lease)));
  const sizes = [0, -1, 0.5, NaN, 2 ** 40, '5', null].map((size) => codeOf(() => pool.acquire(size as number)));
  const tooLarge = codeOf(() => pool.acquire(1 << 20));
  const randoms = new Set<string | null>();
  let state = 0x9e37_79b9;
  for (let i = 0; i < 1_000_000; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const lease = state >>> 0;
    if (!live.includes(lease)) randoms.add(codeOf(() => calls[i % calls.length]!(lease)));
  }
  const others = live[0]! ^ (1 << 26);
  const wrong = codeOf(() => pool.release(others));
  const exhausted = codeOf(() => {
    for (;;) pool.acquire(4096);
  });
  const untouched = live.every((lease, i) => pool.view(lease).every((sample, at) => at >= 256 || sample === i + 1));
  const { leaked } = await wavepool.close();
  return { codes: [...codes].sort(), sizes, tooLarge, randoms: [...randoms].sort(), wrong, exhausted, untouched, leaked };
}

/** A worker takes part: its leases are its own, and go home when it dies holding them. */
export async function poolInAWorker(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  let last: Snapshot | null = null;
  let reported = 0;
  wavepool.onSnapshot((snapshot) => {
    last = snapshot;
    for (const { name, data } of snapshot.events) if (name === 'LeasesReclaimed') reported += data['count'] as number;
  });
  const crashed = new Promise<never>((_, reject) => wavepool.onCrash((message) => reject(new Error(message))));
  const page = await wavepool.pool();
  const mine = page.acquire(512);
  let lost!: (leases: number) => void;
  const died = new Promise<number>((resolve) => (lost = resolve));
  const ticket = await wavepool.handOverPool(lost);
  const worker = new Worker(new URL('./pool_worker.ts', import.meta.url), { type: 'module' });
  const answer = new Promise<FromPoolWorker>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<FromPoolWorker>) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.postMessage({ ticket, foreign: mine } satisfies ToPoolWorker, ticket.ports);
  const { lease, live, foreign } = await answer;
  const here = codeOf(() => page.release(lease));
  await new Promise((resume) => setTimeout(resume, 400));
  const leasedBefore = leased(last);
  worker.terminate();
  const reclaimed = await Promise.race([died, crashed]);
  await new Promise((resume) => setTimeout(resume, 400));
  const leasedAfter = leased(last);
  page.release(mine);
  await new Promise((resume) => setTimeout(resume, 400));
  const end = { leasedAtEnd: leased(last), reclaimedInAll: (last as unknown as Snapshot | null)?.pool.leases_reclaimed, views: (last as unknown as Snapshot | null)?.objects.views };
  return { live, foreign, here, leasedBefore, reclaimed, leasedAfter, reported, ...end, ...(await wavepool.close()) };
}

/** A worker dies, and another one gets its holder's number; then the page closes the first one's place, and everything. */
export async function stalePlace(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  const errors: string[] = [];
  const begin = async (onLost?: (leases: number) => void): Promise<{ worker: Worker; live: number }> => {
    const ticket = await wavepool.handOverPool(onLost);
    const worker = new Worker(new URL('./pool_worker.ts', import.meta.url), { type: 'module' });
    const answer = new Promise<FromPoolWorker>((resolve) => (worker.onmessage = ({ data }: MessageEvent<FromPoolWorker>) => resolve(data)));
    worker.onerror = (event) => errors.push(event.message);
    worker.postMessage({ ticket, foreign: 0 } satisfies ToPoolWorker, ticket.ports);
    return { worker, live: (await answer).live };
  };
  let lost!: (leases: number) => void;
  const died = new Promise<number>((resolve) => (lost = resolve));
  const first = await begin(lost);
  if (mode === 'transfer') await new Promise((resume) => setTimeout(resume, 400));
  first.worker.terminate();
  const reclaimed = await died;
  const { live } = await begin();
  wavepool.onCrash((message) => errors.push(message));
  const { leaked } = await wavepool.close();
  return { reclaimed, live, errors, leaked };
}

/** Two pools on one page: leases of the one are given to the other. */
export async function foreignLeases(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepools = await Promise.all([Wavepool.create({ mode }), Wavepool.create({ mode })]);
  const pools = await Promise.all(wavepools.map((wavepool) => wavepool.pool()));
  const leases = pools.map((pool) =>
    Array.from({ length: 64 }, (_, i) => {
      const lease = pool.acquire(i < 32 ? 256 : 1024);
      return [lease, pool.share(lease)];
    }).flat(),
  );
  const codes = new Set<string | null>();
  for (const [at, pool] of pools.entries()) {
    for (const lease of leases[1 - at]!) {
      for (const call of [pool.view, pool.endView, pool.share, pool.release]) codes.add(codeOf(() => call.call(pool, lease)));
    }
  }
  const live = pools.map((pool) => pool.live);
  const leased = (await Promise.all(wavepools.map((wavepool) => wavepool.metrics()))).map((metrics) => metrics.leased);
  const leaked = (await Promise.all(wavepools.map((wavepool) => wavepool.close()))).map((end) => end.leaked);
  return { codes: [...codes], live, leased, leaked };
}

/** What a participant tells of its counts is as long as it likes; what is not a header is refused. */
export async function longHeader(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const wavepool = await Wavepool.create({ mode });
  let answers = 0;
  for (const header of [new ArrayBuffer(0), new ArrayBuffer(4095), new ArrayBuffer(4097), new ArrayBuffer(1 << 20), null, 'header', { byteLength: 4096 }]) {
    const { counts } = await wavepool.handOverPool();
    counts!.postMessage(header);
    await new Promise((resume) => setTimeout(resume, 20));
    await wavepool.metrics();
    answers += 1;
  }
  // What a reader hands on to the control worker is checked as well.
  const context = new AudioContext();
  const source = new OscillatorNode(context);
  source.start();
  const tap = await wavepool.tap(source, { window: 1024, hop: 1024, channels: 1 });
  const { lane } = tap.handOver() as unknown as { lane: { host: MessagePort } };
  const damaged = new ArrayBuffer(4096 + 4096);
  new Uint8Array(damaged).fill(255);
  for (const block of [new ArrayBuffer(0), new ArrayBuffer(4095), new ArrayBuffer(1 << 20), 'block', damaged]) {
    lane.host.postMessage(block);
    await new Promise((resume) => setTimeout(resume, 20));
    await wavepool.metrics();
    answers += 1;
  }
  await tap.close();
  await context.close();
  return { answers, ...(await wavepool.close()) };
}

function leased(snapshot: Snapshot | null): number | null {
  return snapshot && snapshot.pool.leased;
}
