/** A control worker that hangs, one that is slow, and one that has nothing to do. */
import type { HostFailure, Mode } from '../../lib/src/index.ts';
import { Wavepool } from '../../lib/src/index.ts';
import { read, stage } from './sound.ts';

const stereo = { window: 2048, hop: 512, channels: 2 };

/** Between two timers that measure the machine's delay; as far apart as the watchdog's looks. */
const FLOOR_MS = 100;

interface Alarm {
  readonly message: string;
  readonly failure: HostFailure;
  /** From the fault to the call. */
  readonly ms: number;
  /** How much later than asked for the page's timers came meanwhile: the machine's own delay. */
  readonly lateMs: number;
}

function alarm(wavepool: Wavepool): Promise<Alarm> {
  const start = performance.now();
  let last = start;
  let lateMs = 0;
  const floor = setInterval(() => {
    const now = performance.now();
    lateMs += Math.max(0, now - last - FLOOR_MS);
    last = now;
  }, FLOOR_MS);
  return new Promise((resolve) =>
    wavepool.onCrash((message, failure) => {
      clearInterval(floor);
      resolve({ message, failure, ms: performance.now() - start, lateMs });
    }),
  );
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(() => 'done', (thrown: { code?: string }) => thrown.code ?? String(thrown));
}

/** A control step never ends while a tap is read. */
export async function hangs(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  let blocks = 0;
  const loop = tap.forEach(() => void (blocks += 1));
  while (blocks < 10) await pause(10);
  const told = alarm(wavepool);
  await wavepool.fault('spin');
  const alarmed = await told;
  await loop;
  const refused = await Promise.all([codeOf(wavepool.metrics()), codeOf(wavepool.tap(source, stereo)), codeOf(wavepool.pool())]);
  await wavepool.restart();
  const again = await wavepool.tap(source, stereo);
  const after = await read(again, 20);
  await again.close();
  return { ...alarmed, refused, after, ...(await end()) };
}

/** No stream is open: only the call that waits shows it. */
export async function hangsAtARequest(mode: Mode): Promise<Readonly<Record<'metrics' | 'close', Alarm & { readonly code: string }>>> {
  const outcome = async (request: 'metrics' | 'close'): Promise<Alarm & { readonly code: string }> => {
    const wavepool = await Wavepool.create({ mode });
    await wavepool.fault('spin');
    const told = alarm(wavepool);
    const code = await codeOf(wavepool[request]());
    return { ...(await told), code };
  };
  return { metrics: await outcome('metrics'), close: await outcome('close') };
}

/** Somebody knows better than the watchdog, and begins anew at once. */
export async function restartsWhileItHangs(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  let blocks = 0;
  const loop = tap.forEach(() => void (blocks += 1));
  await wavepool.fault('spin');
  const waiting = codeOf(wavepool.metrics());
  const start = performance.now();
  await Promise.all([wavepool.restart(), wavepool.restart()]);
  const ms = performance.now() - start;
  await loop;
  const again = await wavepool.tap(source, stereo);
  const after = await read(again, 20);
  await again.close();
  return { code: await waiting, ms, after, ...(await end()) };
}

/** The worker is slow (the test has tampered with it): whatever it is asked, it answers in the end. */
export async function isSlow(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const alarms: string[] = [];
  wavepool.onCrash((message) => alarms.push(message));
  let snapshots = 0;
  wavepool.onSnapshot(() => void (snapshots += 1));
  const tap = await wavepool.tap(source, stereo);
  let answers = 0;
  for (const mayStop = performance.now() + 3000; performance.now() < mayStop; answers++) await wavepool.metrics();
  await tap.close();
  return { alarms, answers, snapshots, ...(await end()) };
}

/** A worker that reads a tap is busy for 2.5 s with something else, then goes on. */
export async function readerHangs(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  const told: { message: string; ms: number }[] = [];
  let busySince = Infinity;
  wavepool.onStuck((message) => told.push({ message, ms: performance.now() - busySince }));
  const worker = new Worker(new URL('./stuck_reader_worker.ts', import.meta.url), { type: 'module' });
  const goesOn = new Promise<void>((resolve) => {
    worker.onmessage = ({ data: blocks }: MessageEvent<number>) => {
      if (blocks === 20) busySince = performance.now();
      else resolve();
    };
  });
  const ticket = tap.handOver();
  worker.postMessage(ticket, [...ticket.ports]);
  await goesOn;
  await tap.close();
  worker.terminate();
  return { told, ...(await end()) };
}

/** Timers that the page sets within half a second: when nothing is open, when only a pool is, when the context is suspended. */
export async function timers(mode: Mode): Promise<Readonly<Record<string, number>>> {
  const native = globalThis.setTimeout;
  let set = 0;
  const count = async (): Promise<number> => {
    // What ran before ends first.
    await new Promise((resume) => native(resume, 300));
    set = 0;
    await new Promise((resume) => native(resume, 500));
    return set;
  };
  const { wavepool, context, source, end } = await stage(mode);
  globalThis.setTimeout = ((...given: Parameters<typeof setTimeout>) => {
    set += 1;
    return native(...given);
  }) as typeof setTimeout;
  try {
    const idle = await count();
    await wavepool.pool();
    const pool = await count();
    const tap = await wavepool.tap(source, stereo);
    const running = await count();
    await context.suspend();
    const suspended = await count();
    await context.resume();
    const resumed = await count();
    await tap.close();
    const closed = await count();
    await end();
    return { idle, pool, running, suspended, resumed, closed, over: await count() };
  } finally {
    globalThis.setTimeout = native;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
