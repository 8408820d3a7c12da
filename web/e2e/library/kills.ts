/** Threads that are ended at random moments: what they held is counted back to the start. */
import type { Mode, Snapshot, Tap } from '../../lib/src/index.ts';
import { Wavepool } from '../../lib/src/index.ts';
import type { ToKillWorker } from './kill_worker.ts';
import { Probe } from './probe.ts';

/** Threads that live at the same time. */
const AT_ONCE = 4;
/** What nobody is reported for so long is lost: a ticket that nobody opened lapses after ten seconds. */
const PATIENCE_MS = 25_000;
/** One in so many is ended before it can have opened its ticket. */
const EARLY = 10;
/** One control worker in so many is ended in the middle of its turn, for which the browser takes two seconds. */
const FORCED = 8;
/** Places for pools and taps. */
const HOLDERS = 16;

type Figures = Readonly<Record<string, unknown>>;

/** What can be held, as it stands now. */
interface Standing {
  readonly leased: number;
  readonly publishers: number;
  readonly streams: number;
  readonly feeds: number;
  readonly locks: number;
}

/** Workers with a pool of their own. */
export async function killPools(mode: Mode, rounds: number): Promise<Figures> {
  const atFirst = await placesAtFirst(mode);
  const wavepool = await Wavepool.create({ mode });
  return killing(wavepool, atFirst, rounds, async (round) => {
    let reported!: () => void;
    const lost = new Promise<void>((resolve) => (reported = resolve));
    const ticket = await wavepool.handOverPool(() => reported());
    await endSoon({ pool: ticket }, ticket.ports, round, lost);
    await lost;
  });
}

/** Workers that read a tap and keep some of its blocks. */
export async function killReaders(mode: Mode, rounds: number): Promise<Figures> {
  const atFirst = await placesAtFirst(mode);
  const wavepool = await Wavepool.create({ mode });
  const { context, source } = tone();
  const figures = await killing(wavepool, atFirst, rounds, async (round) => {
    const tap = await wavepool.tap(source, { window: 1024, hop: 256, channels: 2 });
    const ticket = tap.handOver();
    await endSoon({ tap: ticket }, ticket.ports, round, tap.closed);
    await tap.closed;
  });
  await context.close();
  return figures;
}

/** Workers that write a feed. What they wrote is played, then the feed ends and can be opened anew. */
export async function killWriters(mode: Mode, rounds: number): Promise<Figures> {
  const atFirst = await placesAtFirst(mode);
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext();
  const probe = await Probe.load(context);
  const figures = await killing(wavepool, atFirst, rounds, async (round) => {
    const feed = await wavepool.feed(context, { channels: 2, frames: 128, latencyMs: 10 + 40 * Math.random() });
    feed.node.connect(context.destination);
    const reported = new Promise<void>((fault) => (feed.onFault = () => fault()));
    const ticket = feed.handOver();
    await endSoon({ feed: ticket }, ticket.ports, round, reported);
    await Promise.all([reported, feed.ended, feed.closed]);
  });
  const processors = await probe.called();
  await context.close();
  return { ...figures, processors };
}

/** Worklets that panic, or whose thread the browser ends with their context: at random moments, with windows half full. */
export async function killWorklets(mode: Mode, rounds: number): Promise<Figures> {
  const atFirst = await placesAtFirst(mode);
  const wavepool = await Wavepool.create({ mode });
  const shared = tone();
  const figures = await killing(wavepool, atFirst, rounds, async (round) => {
    // One in eight loses its context, which takes half a second.
    const { context, source } = round % 8 === 0 ? tone() : shared;
    const tap = await wavepool.tap(source, { window: 1024, hop: 256, channels: 2 });
    const read = tap.forEach(() => {});
    if (context === shared.context) {
      // The test has tampered with the worklet: it panics by itself.
      await new Promise<void>((fault) => (tap.onFault = () => fault()));
    } else {
      await pause(30 * Math.random());
      await context.close();
    }
    await tap.close();
    await read;
  });
  await shared.context.close();
  return figures;
}

/** The control worker itself, with a tap and a pool open, or about to be. */
export async function killControls(mode: Mode, rounds: number): Promise<Figures> {
  const atFirst = await placesAtFirst(mode);
  const workers: Worker[] = [];
  const Native = globalThis.Worker;
  globalThis.Worker = class extends Native {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      workers.push(this);
    }
  };
  const wavepool = await Wavepool.create({ mode });
  const { context, source } = tone();
  let crashed: () => void = () => {};
  wavepool.onCrash(() => crashed());
  const figures = await killing(
    wavepool,
    atFirst,
    rounds,
    async (round) => {
      const crash = new Promise<void>((resolve) => (crashed = resolve));
      const opening = Promise.allSettled([wavepool.tap(source, { window: 1024, hop: 256, channels: 2 }).then(drain), wavepool.pool()]);
      await pause(40 * Math.random());
      workers.pop()!.terminate();
      // Whatever is asked of it ends its turn, if it sleeps within one.
      if (round % FORCED !== FORCED - 1) wavepool.metrics().catch(() => undefined);
      await crash;
      await opening;
      await wavepool.restart();
    },
    1,
  );
  globalThis.Worker = Native;
  await context.close();
  return figures;
}

async function drain(tap: Tap): Promise<void> {
  await tap.forEach(() => {});
}

/** Does `round` so many times, some at once, and says what is different afterwards. */
async function killing(wavepool: Wavepool, placesAtFirst: number, rounds: number, round: (number: number) => Promise<void>, atOnce = AT_ONCE): Promise<Figures> {
  const watch = watching(wavepool);
  const before = await watch.standing();
  let [next, unnoticed] = [0, 0];
  const failures: string[] = [];
  const line = async (): Promise<void> => {
    while (next < rounds) {
      const late = pause(PATIENCE_MS).then(() => 'late');
      const outcome = await Promise.race([round(next++), late]).catch((thrown: unknown) => failures.push(String(thrown)));
      if (outcome === 'late') unnoticed += 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, line));
  const after = await watch.settled(before);
  const { places, refused } = await placesLeft(wavepool);
  const { pagesGrown } = watch;
  const { leaked } = await wavepool.close();
  return { rounds: next, unnoticed, failures: failures.slice(0, 3), before, after, placesAtFirst, places, refused, pagesGrown, leaked };
}

function watching(wavepool: Wavepool): { standing(): Promise<Standing>; settled(before: Standing): Promise<Standing>; readonly pagesGrown: number } {
  let last: Snapshot | null = null;
  wavepool.onSnapshot((snapshot) => (last = snapshot));
  const standing = async (): Promise<Standing> => {
    // The second one comes after what the first one delivered.
    await wavepool.metrics();
    const { leased } = await wavepool.metrics();
    const { bus, streams, feeds } = last as unknown as Snapshot;
    const { held = [], pending = [] } = await navigator.locks.query();
    return { leased, publishers: bus.publishers, streams: streams.length, feeds: feeds.length, locks: held.length + pending.length };
  };
  return {
    standing,
    async settled(before) {
      // The browser takes its time with a lock of a worker that was ended.
      let after = await standing();
      for (let looks = 0; looks < 50 && JSON.stringify(after) !== JSON.stringify(before); looks++) {
        await pause(100);
        after = await standing();
      }
      return after;
    },
    get pagesGrown() {
      return last === null ? -1 : (last as Snapshot).memory.pages_grown;
    },
  };
}

/** How many pools can be opened where nothing has happened yet. */
async function placesAtFirst(mode: Mode): Promise<number> {
  const wavepool = await Wavepool.create({ mode });
  const { places } = await placesLeft(wavepool);
  await wavepool.close();
  return places;
}

/** How many pools can be opened: each takes a holder's number, a half, a publisher, and a stack. */
async function placesLeft(wavepool: Wavepool): Promise<{ places: number; refused: string }> {
  for (let places = 0; places < HOLDERS + 1; places++) {
    try {
      await wavepool.handOverPool();
    } catch (thrown) {
      return { places, refused: (thrown as Error).message };
    }
  }
  return { places: HOLDERS + 1, refused: '' };
}

/** Gives a worker its ticket, and ends it in the middle of its work; one in ten, and one whose ticket has lapsed, before that. */
async function endSoon(ticket: ToKillWorker, ports: MessagePort[], round: number, lapsed: Promise<unknown>): Promise<void> {
  const worker = new Worker(new URL('./kill_worker.ts', import.meta.url), { type: 'module' });
  const begun = new Promise((resolve) => (worker.onmessage = resolve));
  worker.postMessage(ticket, ports);
  if (round % EARLY !== 0) {
    await Promise.race([begun, lapsed]);
    await pause(40 * Math.random());
  }
  worker.terminate();
}

function tone(): { context: AudioContext; source: AudioNode } {
  const context = new AudioContext();
  const source = new OscillatorNode(context);
  source.start();
  return { context, source };
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
