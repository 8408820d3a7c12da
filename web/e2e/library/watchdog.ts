/** A control worker that hangs, one that is slow, and one that has nothing to do. */
import type { Mode, Snapshot, StuckThread } from '../../lib/src/index.ts';
import { Wavepool } from '../../lib/src/index.ts';
import { Checker, read, stage } from './sound.ts';

const stereo = { window: 2048, hop: 512, channels: 2 };

/** Between two timers that measure the machine's delay; as far apart as the watchdog's looks. */
const FLOOR_MS = 100;

interface Alarm {
  readonly message: string;
  readonly thread: StuckThread;
  /** From the fault to the call. */
  readonly ms: number;
  /** The machine's own delay meanwhile. */
  readonly lateMs: number;
}

/** From now until the call: how much later than asked for the page's timers came, the machine's own delay. */
function floor(): () => number {
  let last = performance.now();
  let lateMs = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    lateMs += Math.max(0, now - last - FLOOR_MS);
    last = now;
  }, FLOOR_MS);
  return () => {
    clearInterval(timer);
    return lateMs;
  };
}

function alarm(wavepool: Wavepool): Promise<Alarm> {
  const start = performance.now();
  const stopFloor = floor();
  return new Promise((resolve) =>
    wavepool.onStuck((message, thread) => resolve({ message, thread, ms: performance.now() - start, lateMs: stopFloor() })),
  );
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(() => 'done', (thrown: { code?: string }) => thrown.code ?? String(thrown));
}

/** A control step never ends while a tap is read. */
export async function hangs(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const crashes: string[] = [];
  wavepool.onCrash((message) => crashes.push(message));
  const tap = await wavepool.tap(source, stereo);
  let blocks = 0;
  const loop = tap.forEach(() => void (blocks += 1));
  while (blocks < 10) await pause(10);
  const reported = alarm(wavepool);
  await wavepool.fault('spin');
  const alarmed = await reported;
  const waiting = codeOf(wavepool.metrics());
  await wavepool.restart();
  await loop;
  const again = await wavepool.tap(source, stereo);
  const after = await read(again, 20);
  await again.close();
  return { ...alarmed, waiting: await waiting, reason: await tap.closed, crashes, after, ...(await end()) };
}

/** No stream is open: only the calls that wait show it. */
export async function hangsAtARequest(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const before = await locks();
  const wavepool = await Wavepool.create({ mode });
  await wavepool.fault('spin');
  const reported = alarm(wavepool);
  const metrics = await codeOf(wavepool.metrics());
  const { message } = await reported;
  const start = performance.now();
  const again = await codeOf(wavepool.metrics());
  const againMs = performance.now() - start;
  const close = await codeOf(wavepool.close());
  // The browser takes its time with the lock of a worker that was ended.
  for (let looks = 0; looks < 50 && (await locks()) > before; looks++) await pause(200);
  return { message, metrics, again, againMs, close, locksLeft: (await locks()) - before };
}

/** The worker stalls for two seconds (the test has tampered with it) while a tap is read and a call waits, and comes back. */
export async function stalls(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const crashes: string[] = [];
  wavepool.onCrash((message) => crashes.push(message));
  const tap = await wavepool.tap(source, stereo);
  const checker = new Checker(stereo.hop);
  const loop = tap.forEach((block) => checker.see(block));
  while (checker.blocks < 10) await pause(10);
  let alarms = 0;
  const reported = alarm(wavepool);
  await wavepool.fault('spin');
  const alarmed = await reported;
  wavepool.onStuck(() => void (alarms += 1));
  const stalled = checker.blocks;
  const back = nextSnapshot(wavepool);
  const answered = await codeOf(wavepool.metrics());
  await back;
  // What waited is read, and it goes on.
  while (checker.blocks < stalled + 100) await pause(10);
  const figures = await tap.close();
  await loop;
  return { ...alarmed, answered, alarms, crashes, wrong: checker.wrong, figures, ...(await end()) };
}

/** Calls are refused while the worker stalls, which carries them out when it comes back: what they open is closed again. */
export async function refusesAndComesBack(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  let blocks = 0;
  const loop = tap.forEach(() => void (blocks += 1));
  while (blocks < 10) await pause(10);
  const before = await standing(wavepool);
  await wavepool.fault('spin');
  const calls = [wavepool.metrics(), wavepool.tap(source, stereo), wavepool.tuner(source, stereo), wavepool.handOverPool(), wavepool.pool()];
  const refused = await Promise.all(calls.map(codeOf));
  await nextSnapshot(wavepool);
  let after = await standing(wavepool);
  for (let looks = 0; looks < 50 && JSON.stringify(after) !== JSON.stringify(before); looks++) {
    await pause(50);
    after = await standing(wavepool);
  }
  await tap.close();
  await loop;
  return { refused, before, after, ...(await end()) };
}

function nextSnapshot(wavepool: Wavepool): Promise<Snapshot> {
  return new Promise((resolve) => wavepool.onSnapshot(resolve));
}

/** What streams and pools of threads take up in the control worker. */
async function standing(wavepool: Wavepool): Promise<Readonly<Record<string, number>>> {
  const { streams, bus } = await nextSnapshot(wavepool);
  return { streams: streams.length, publishers: bus.publishers };
}

async function locks(): Promise<number> {
  const { held = [], pending = [] } = await navigator.locks.query();
  return held.length + pending.length;
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
  // Few windows a second: each of them may cost a step.
  const { wavepool, source, end } = await stage(mode, { sampleRate: 8000 });
  const alarms: string[] = [];
  const crashes: string[] = [];
  wavepool.onStuck((message) => alarms.push(message));
  wavepool.onCrash((message) => crashes.push(message));
  let snapshots = 0;
  wavepool.onSnapshot(() => void (snapshots += 1));
  const stopFloor = floor();
  const tap = await wavepool.tap(source, { ...stereo, hop: stereo.window });
  let answers = 0;
  for (const mayStop = performance.now() + 3000; performance.now() < mayStop; answers++) await wavepool.metrics();
  await tap.close();
  return { alarms, crashes, answers, snapshots, lateMs: stopFloor(), ...(await end()) };
}

/** A worker that reads a tap is busy for 2.5 s with something else, then goes on. */
export async function readerHangs(mode: Mode): Promise<Readonly<Record<string, unknown>>> {
  const { wavepool, source, end } = await stage(mode);
  const tap = await wavepool.tap(source, stereo);
  const reported: { message: string; thread: StuckThread; ms: number }[] = [];
  let busySince = Infinity;
  wavepool.onStuck((message, thread) => reported.push({ message, thread, ms: performance.now() - busySince }));
  const worker = new Worker(new URL('./stuck_reader_worker.ts', import.meta.url), { type: 'module' });
  const goesOn = new Promise<void>((resolve) => {
    worker.onmessage = ({ data: blocks }: MessageEvent<number>) => {
      if (blocks === 20) busySince = performance.now();
      else resolve();
    };
  });
  const ticket = tap.handOver();
  worker.postMessage(ticket, ticket.ports);
  await goesOn;
  await tap.close();
  worker.terminate();
  return { reported, ...(await end()) };
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
