/** Feeds: every way in which one is opened, used and ended, a round each. */
import { Wavepool, type Feed, type Mode } from '../../lib/src/index.ts';
import type { ToLoopWorker } from './feed_loop_worker.ts';
import { inTurn, locks, type Lifetime } from './lifetimes.ts';
import { Probe } from './probe.ts';

const ABREAST = 4;
const format = { channels: 1, frames: 256, latencyMs: 20 };

/** Closed, ended or forgotten, in a context that goes on. */
export async function feeds(mode: Mode): Promise<Lifetime> {
  const wavepool = await Wavepool.create({ mode });
  const context = new AudioContext();
  const probe = await Probe.load(context);
  const worker = loopWorker();
  let deaths = 0;
  const open = async (): Promise<Feed> => {
    const feed = await wavepool.feed(context, format);
    feed.node.connect(context.destination);
    return feed;
  };
  const ways: readonly (() => Promise<unknown>)[] = [
    async function neverWritten() {
      const feed = await open();
      feed.close();
      feed.close();
    },
    async function closedWhileALoopWrites() {
      const feed = await open();
      const loop = write(feed);
      await pause(5);
      feed.close();
      await loop;
    },
    async function closedWhileAWorkerWrites() {
      const feed = await open();
      await worker.writing(feed);
      const loop = worker.ended();
      feed.close();
      await loop;
    },
    async function ended() {
      const feed = await open();
      await writeOnce(feed);
      feed.end();
      await feed.ended;
      feed.close();
    },
    async function forgotten() {
      await open();
    },
    async function forgottenWhenWritten() {
      await writeOnce(await open());
    },
    async function forgottenByAWorker() {
      worker.forget(await open());
    },
    async function workerDies() {
      const feed = await open();
      feed.onFault = () => (deaths += 1);
      const dying = loopWorker();
      await dying.writing(feed);
      dying.terminate();
      await feed.closed;
    },
  ];
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, async (round) => void (await ways[round % ways.length]!())),
    async count() {
      // Chromium refers to the processor that ended last by itself until another one goes.
      await ways[0]!();
      return { called: await probe.called(), feeds: (await wavepool.metrics()).feeds.length, locks: await locks() };
    },
    async end() {
      const last = await wavepool.close();
      worker.terminate();
      await context.close();
      return { deaths, ...last };
    },
  };
}

/** Their context closes, while they open or while a loop writes them. */
export async function feedsOfContextsThatClose(mode: Mode): Promise<Lifetime> {
  const wavepool = await Wavepool.create({ mode });
  let faults = 0;
  const round = async (number: number): Promise<void> => {
    const context = new AudioContext();
    const opening = wavepool.feed(context, format);
    if (number % 2 === 0) {
      const feed = await opening;
      feed.node.connect(context.destination);
      feed.onFault = () => (faults += 1);
      const loop = write(feed);
      await context.close();
      await Promise.all([feed.closed, loop]);
    } else {
      const outcome = opening.then((feed) => feed.closed, (thrown: { code?: string }) => {
        if (thrown.code !== 'context-closed') throw thrown;
      });
      await context.close();
      await outcome;
    }
  };
  return {
    rounds: (from, to) => inTurn(from, to, ABREAST, round),
    count: async () => ({ feeds: (await wavepool.metrics()).feeds.length, locks: await locks() }),
    end: async () => ({ faults, ...(await wavepool.close()) }),
  };
}

async function write(feed: Feed): Promise<void> {
  for await (const block of feed.blocks()) block.channel(0).fill(0.1);
}

/** One block, which is sent as the loop is left by asking for a second one. */
async function writeOnce(feed: Feed): Promise<void> {
  let written = 0;
  for await (const block of feed.blocks()) {
    if (++written > 1) break;
    block.channel(0).fill(0.1);
  }
}

/** A worker that writes feeds, and what it answers. */
function loopWorker(): { writing(feed: Feed): Promise<void>; ended(): Promise<void>; forget(feed: Feed): void; terminate(): void } {
  const worker = new Worker(new URL('./feed_loop_worker.ts', import.meta.url), { type: 'module' });
  const waiting: Record<string, (() => void)[]> = { writing: [], ended: [] };
  worker.onmessage = ({ data }: MessageEvent<string>) => waiting[data]?.shift()?.();
  const reported = (what: string): Promise<void> => new Promise((resolve) => waiting[what]!.push(resolve));
  const give = (feed: Feed, use: ToLoopWorker['use']): void => {
    const ticket = feed.handOver();
    worker.postMessage({ ticket, use } satisfies ToLoopWorker, ticket.ports);
  };
  return {
    writing(feed) {
      give(feed, 'write');
      return reported('writing');
    },
    ended: () => reported('ended'),
    forget: (feed) => give(feed, 'forget'),
    terminate: () => worker.terminate(),
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resume) => setTimeout(resume, ms));
}
