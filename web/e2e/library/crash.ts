/** What dies, and what goes on. */
import type { Mode, Snapshot, Tap } from '../../lib/src/index.ts';
import type { ToWorker } from './consumer_worker.ts';
import { read, stage } from './sound.ts';

const stereo = { window: 2048, hop: 512, channels: 2 };

/** A worker is terminated that holds blocks of a tap; another tap is read all along. */
export async function consumerDies(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  let last: Snapshot | null = null;
  let reported = 0;
  wavepool.onSnapshot((snapshot) => {
    last = snapshot;
    for (const { name, data } of snapshot.events) if (name === 'LeasesReclaimed') reported += data['count'] as number;
  });
  const [mine, theirs] = await Promise.all([wavepool.tap(source, stereo), wavepool.tap(source, stereo)]);
  const worker = new Worker(new URL('./consumer_worker.ts', import.meta.url), { type: 'module' });
  const holding = new Promise((resolve) => (worker.onmessage = resolve));
  const ticket = theirs.handOver();
  worker.postMessage({ ticket, blocks: 5, keep: true } satisfies ToWorker, ticket.ports);
  await holding;
  const fault = new Promise<string>((resolve) => (theirs.onFault = resolve));
  worker.terminate();
  const message = await fault;
  await theirs.closed;
  const after = await read(mine, 40);
  const open = (last as unknown as Snapshot).streams.length;
  await mine.close();
  const { leased, leases_reclaimed } = (last as unknown as Snapshot).pool;
  return { message, after, open, leased, reclaimed: leases_reclaimed, reported, ...(await end()) };
}

/** One of two worklets traps (the test has tampered with it); the other one's tap is read all along. */
export async function processorTraps(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  let last: Snapshot | null = null;
  let reported = 0;
  wavepool.onSnapshot((snapshot) => {
    last = snapshot;
    for (const { name, data } of snapshot.events) if (name === 'LeasesReclaimed') reported += data['count'] as number;
  });
  const taps = await Promise.all([wavepool.tap(source, stereo), wavepool.tap(source, stereo)]);
  const fault = (tap: Tap): Promise<{ trapped: Tap; message: string }> =>
    new Promise((resolve) => (tap.onFault = (message) => resolve({ trapped: tap, message })));
  const { trapped, message } = await Promise.race(taps.map(fault));
  const other = taps.find((tap) => tap !== trapped)!;
  const refused = await wavepool.tap(source, { ...stereo, window: 1 }).then(() => '', (thrown: Error) => thrown.message);
  await trapped.close();
  const after = await read(other, 40);
  await other.close();
  const { leased, leases_reclaimed: reclaimed } = (last as unknown as Snapshot).pool;
  return { message, refused, after, leased, reclaimed, reported, ...(await end()) };
}

/** Workers are ended before they can have opened what they were given: more of them than there are places. */
export async function neverOpened(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  let lost = 0;
  const pool = async (): Promise<void> => {
    let tell!: (leases: number) => void;
    const reported = new Promise<number>((resolve) => (tell = resolve));
    const ticket = await wavepool.handOverPool(tell);
    const worker = new Worker(new URL('./pool_worker.ts', import.meta.url), { type: 'module' });
    worker.postMessage({ ticket, foreign: 0 }, ticket.ports);
    worker.terminate();
    if ((await reported) === 0) lost += 1;
  };
  const tap = async (): Promise<void> => {
    const theirs = await wavepool.tap(source, stereo);
    const ticket = theirs.handOver();
    const worker = new Worker(new URL('./consumer_worker.ts', import.meta.url), { type: 'module' });
    worker.postMessage({ ticket, blocks: 5 } satisfies ToWorker, ticket.ports);
    worker.terminate();
    await theirs.closed;
  };
  // Their tickets lapse, and there is room for as many again.
  await Promise.all([tap(), tap(), ...Array.from({ length: 8 }, pool)]);
  for (let place = 0; place < 8; place++) await wavepool.handOverPool();
  const { leased } = await wavepool.metrics();
  return { lost, leased, ...(await end()) };
}

/** The context is closed while windows are half full and blocks are out. */
export async function contextCloses(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, context, source } = await stage(mode);
  let last: Snapshot | null = null;
  wavepool.onSnapshot((snapshot) => (last = snapshot));
  const tap = await wavepool.tap(source, stereo);
  const blocks = tap.blocks();
  const first = await blocks.next();
  const kept = first.done ? null : first.value.keep();
  await context.close();
  await tap.close();
  return { kept: kept !== null, leased: (last as unknown as Snapshot).pool.leased, ...(await wavepool.close()) };
}

/** Somebody ends the control worker; the page is notified, and begins anew on the same sound. */
export async function controlWorkerDies(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const workers: Worker[] = [];
  const Native = globalThis.Worker;
  globalThis.Worker = class extends Native {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      workers.push(this);
    }
  };
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  const before = await read(tap, 10);
  const crash = new Promise<string>((resolve) => wavepool.onCrash(resolve));
  workers[0]!.terminate();
  const message = await crash;
  const refused = await wavepool.tap(source, stereo).then(() => null, (thrown: { code: string }) => thrown.code);
  await wavepool.restart();
  const again = await wavepool.tap(source, stereo);
  const after = await read(again, 20);
  const figures = await again.close();
  globalThis.Worker = Native;
  return { before, message, refused, after, windows: figures.windows, ...(await end()) };
}

/** A reader dies, and the control worker traps as it takes back what that held (the test has tampered with it). */
export async function reclaimTraps(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const theirs = await wavepool.tap(source, stereo);
  const worker = new Worker(new URL('./consumer_worker.ts', import.meta.url), { type: 'module' });
  const holding = new Promise((resolve) => (worker.onmessage = resolve));
  const ticket = theirs.handOver();
  worker.postMessage({ ticket, blocks: 5, keep: true } satisfies ToWorker, ticket.ports);
  await holding;
  const crash = new Promise<string>((resolve) => wavepool.onCrash(resolve));
  worker.terminate();
  const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error('nothing was reported for 5 seconds')), 5000));
  const message = await Promise.race([crash, late]);
  const refused = await wavepool.metrics().then(() => null, (thrown: { code: string }) => thrown.code);
  await wavepool.restart();
  const again = await wavepool.tap(source, stereo);
  const after = await read(again, 20);
  await again.close();
  return { message, refused, after, ...(await end()) };
}
